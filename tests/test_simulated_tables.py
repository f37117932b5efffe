from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from trace_builders import Kernel

import collectors
from collectors.records import ENGINE_NAMES
from collectors.simulated.intervals import merge
from collectors.simulated.tables import profile_of
from collectors.simulated.traffic import union_area
from simulator.api import scheduled
from simulator.machine.facts import machine
from simulator.trace import Region


def simulate(kernel):
    return scheduled(kernel.trace())


def small(lnc=1, tiles=3):
    """Load, compute on the vector engine, store; both cores alike."""
    kernel = Kernel(lnc=lnc)
    source = kernel.tensor("hbm", 4096, role="input")
    sink = kernel.tensor("hbm", 4096 * tiles, role="output")
    for core in range(lnc):
        for k in range(tiles):
            tile, out = kernel.tensor("sbuf", 4096, core=core), kernel.tensor("sbuf", 4096, core=core)
            kernel.move(source, tile, core=core)
            kernel.add("vector", "max8", 2048, writes=(out,), reads=(tile,), core=core, macs=5)
            kernel.move(out, Region(sink, 0, 128, k * 4096, k * 4096 + 4096), core=core)
    return kernel


@pytest.fixture
def profile():
    return profile_of(simulate(small()), "abc")


def columns_of_schema():
    text = (Path(collectors.__file__).parent / "store" / "migrations" / "0001_first.sql").read_text()
    tables = re.findall(r"CREATE TABLE (\w+) \((.*?)\);", text, re.S)
    return {
        name: set(re.findall(r"(?:^|,)\s*(\w+) (?:TEXT|INTEGER|BIGINT|DOUBLE|BOOLEAN)", body))
        for name, body in tables
    }


def test_every_column_is_one_of_the_store(profile):
    schema = columns_of_schema()
    for name, table in profile.tables.items():
        assert set(table.column_names) <= schema[name], name


def test_every_row_carries_the_profile_s_id(profile):
    for table in profile.tables.values():
        assert set(table.column("profile_id").to_pylist()) <= {"abc"}


def test_bytes_are_those_of_the_transfers(profile):
    assert profile.hbm_read_bytes == profile.hbm_write_bytes == 3 * 128 * 4096
    assert profile.dma_transfers == 6
    moved = profile.tables["DmaPacketAggregated"].column("transfer_bytes").to_pylist()
    assert sum(moved) == profile.dma_bytes
    assert sum(profile.tables["DmaPacket"].column("transfer_bytes").to_pylist()) == profile.dma_bytes


def test_necessary_bytes_leave_out_what_is_loaded_again(profile):
    assert profile.raw["necessary_hbm_bytes"] == 128 * 4096 + 3 * 128 * 4096


def test_hbm_bytes_of_instructions_add_up_to_the_profile_s(profile):
    rows = profile.tables["Instruction"]
    assert sum(rows.column("hbm_read_bytes").to_pylist()) == profile.hbm_read_bytes
    assert sum(rows.column("hbm_write_bytes").to_pylist()) == profile.hbm_write_bytes


def test_active_fraction_is_the_union_over_both_cores():
    one, two = (profile_of(simulate(small(lnc)), "x") for lnc in (1, 2))
    assert two.engines["vector"] == pytest.approx(one.engines["vector"], rel=0.05)
    assert set(two.engines) == set(ENGINE_NAMES)
    assert two.engines["tensor"] == 0


def test_active_time_rows_add_up_to_the_fraction(profile):
    rows = profile.tables["ActiveTime"].to_pylist()
    busy = sum(r["duration_ns"] for r in rows if r["engine"] == "vector")
    assert busy / profile.duration_ns == pytest.approx(profile.engines["vector"], rel=0.01)


def test_the_interval_is_what_this_kind_of_kernel_has_earned_and_says_so(profile):
    share = machine("trn2").constants[f"interval.{profile.bound}"].value
    assert profile.low_ns == pytest.approx(profile.list_scheduled_ns * (1 - share), abs=2)
    assert profile.high_ns == pytest.approx(profile.list_scheduled_ns * (1 + share), abs=2)
    assert "estimated" in profile.interval_basis
    assert f"{share:.0%}" in profile.interval_basis


def test_rows_show_both_schedules_and_when_data_was_ready(profile):
    rows = profile.tables["Instruction"].to_pylist()
    assert [r["idx"] for r in rows] == list(range(9))
    assert all(r["start_ts"] >= r["ready_ts"] for r in rows)
    assert max(r["other_end_ts"] for r in rows) <= profile.as_written_ns
    assert rows[0]["nki_source_location"] == "kernel.py:1"


def test_what_a_consumer_waited_for_last_is_the_transfer_that_fed_it(profile):
    flow = {r["out_id"]: r for r in profile.tables["Flow"].to_pylist()}
    waited = flow["0:1"]
    assert (waited["in_table"], waited["in_id"]) == ("DmaPacketAggregated", "dma:0:0")
    assert waited["gap_time"] == pytest.approx(machine("trn2").semaphores.transfer_ns, abs=1)
    known = set(profile.tables["DmaPacketAggregated"].column("id").to_pylist())
    assert waited["in_id"] in known


def test_a_kernel_busy_on_one_engine_is_bound_by_it():
    kernel = Kernel()
    a, b = kernel.tensor("sbuf", 4096), kernel.tensor("sbuf", 4096)
    for _ in range(20):
        kernel.add("vector", "max8", 2048, writes=(b,), reads=(a,))
    assert profile_of(simulate(kernel), "x").bound == "vector"


def test_a_kernel_of_large_loads_is_bound_by_data_movement():
    kernel = Kernel()
    source = kernel.tensor("hbm", 65536, role="input")
    for _ in range(20):
        kernel.load(source, kernel.tensor("sbuf", 65536))
    assert profile_of(simulate(kernel), "x").bound == "dma"


def test_a_kernel_that_mostly_waits_is_bound_by_latency():
    kernel = Kernel()
    source = kernel.tensor("hbm", 64, role="input")
    kernel.load(source, kernel.tensor("sbuf", 64))
    assert profile_of(simulate(kernel), "x").bound == "latency"


def test_a_table_load_is_a_row_after_the_kernel_s_own():
    kernel = Kernel()
    a, b = kernel.tensor("sbuf", 2048), kernel.tensor("sbuf", 2048)
    kernel.add("scalar", "activation", 512, writes=(b,), reads=(a,), op="exp")
    rows = profile_of(simulate(kernel), "x").tables["Instruction"].to_pylist()
    assert [r["opcode"] for r in rows] == ["ACTIVATION", "ACT_TABLE_LOAD"]
    assert rows[1]["idx"] == 1
    assert rows[0]["scalar_activation_fn"] == "exp"


def test_merged_intervals_are_disjoint_and_cover_the_same_points():
    pairs = np.array([[0, 2], [1, 5], [1, 2], [7, 8], [8, 9], [20, 21]], dtype=float)
    assert merge(pairs).tolist() == [[0, 5], [7, 9], [20, 21]]
    assert merge(np.empty((0, 2))).shape == (0, 2)


def test_the_union_of_regions_counts_overlap_once():
    regions = [Region(0, 0, 2, 0, 10), Region(0, 1, 3, 5, 15), Region(0, 0, 2, 0, 10)]
    assert union_area(regions) == 20 + 20 - 5
