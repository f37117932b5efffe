from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.lines import lines
from analysis.stalls import EngineTime, stalls

PROFILES = Path(__file__).parents[2] / "shared" / "profiles" / "trn2-attention"


def instructions(*rows: tuple[Any, ...]) -> pa.Table:
    """Rows of (core, engine, opcode, start, end, ready, location)."""
    names = ("pcore_idx", "engine", "opcode", "start_ts", "end_ts", "ready_ts", "nki_source_location")
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})


def transfers(*rows: tuple[Any, ...]) -> pa.Table:
    """Rows of (core, start, end, bytes, descriptors, location)."""
    names = ("pcore_idx", "start_ts", "end_ts", "transfer_bytes", "descriptors", "nki_source_location")
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})


def kinds(each: EngineTime) -> tuple[int, ...]:
    return (each.working_ns, each.waiting_data_ns, each.waiting_engine_ns, each.issuing_ns, each.idle_ns)


def test_an_engine_waits_for_a_transfer_then_another_for_it() -> None:
    tables = {
        "Instruction": instructions(
            (0, "sync", "DMA_DIRECT2D", 0, 100, 0, "k.py:3"),
            (0, "vector", "TENSOR_TENSOR", 2000, 3000, 1900, "k.py:4"),
            (0, "scalar", "ACTIVATE", 3100, 3500, 3050, "k.py:5"),
        ),
        "DmaPacketAggregated": transfers((0, 100, 1900, 65536, 128, "k.py:3")),
    }
    by_engine = {each.engine: each for each in stalls(4000, tables)}
    assert kinds(by_engine["sync"]) == (0, 0, 0, 100, 3900)
    assert kinds(by_engine["vector"]) == (1000, 1900, 0, 100, 1000)
    assert kinds(by_engine["scalar"]) == (400, 0, 3050, 50, 500)


def test_the_flow_table_says_what_was_waited_for() -> None:
    rows = instructions(
        (0, "vector", "COPY", 0, 1000, 0, ""), (0, "scalar", "ACTIVATE", 1500, 1600, 1500, "")
    ).append_column("id", pa.array(["v", "s"]))
    dma = transfers((0, 0, 1100, 4, 1, "")).append_column("id", pa.array(["t"]))
    flow = pa.table(
        {"in_id": ["t", "v"], "out_id": ["s", "s"], "in_table": ["DmaPacketAggregated", "Instruction"]}
    )
    for known, expected in ((flow, (1500, 0)), (flow.slice(1), (0, 1500))):
        found = stalls(2000, {"Instruction": rows, "DmaPacketAggregated": dma, "Flow": known})
        scalar = next(each for each in found if each.engine == "scalar")
        assert (scalar.waiting_data_ns, scalar.waiting_engine_ns) == expected


def test_a_semaphore_instruction_is_waiting_not_work() -> None:
    rows = instructions(
        (0, "vector", "EVENT_SEMAPHORE", 0, 700, None, ""), (0, "vector", "COPY", 700, 900, None, "")
    )
    (each,) = stalls(1000, {"Instruction": rows, "DmaPacketAggregated": transfers((0, 0, 690, 4, 1, ""))})
    assert kinds(each) == (200, 700, 0, 0, 100)


def test_without_ready_times_a_long_gap_is_waiting_and_a_short_one_is_sequencing() -> None:
    rows = instructions(
        (0, "vector", "COPY", 500, 600, None, ""),
        (0, "vector", "COPY", 650, 700, None, ""),
        (0, "vector", "COPY", 1783, 1883, None, ""),
    )
    (each,) = stalls(2000, {"Instruction": rows})
    assert kinds(each) == (250, 1000, 0, 50 + 83, 500 + 117)


def test_overlapping_matmuls_are_counted_once() -> None:
    rows = instructions((0, "tensor", "MATMUL", 0, 100, 0, ""), (0, "TensorMatrix", "MATMUL", 50, 150, 0, ""))
    (each,) = stalls(200, {"Instruction": rows})
    assert kinds(each) == (150, 0, 0, 0, 50)


def test_without_instructions_there_is_nothing_to_say() -> None:
    assert stalls(100, {}) == ()
    assert lines(100, {}) is None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from(("vector", "scalar", "tensor")),
            st.sampled_from(("COPY", "NOP", "EVENT_SEMAPHORE")),
            st.integers(0, 900),
            st.integers(0, 400),
            st.one_of(st.none(), st.integers(0, 900)),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_the_five_kinds_always_sum_to_the_duration(rows: list[tuple[Any, ...]]) -> None:
    table = instructions(
        *((c, e, o, start, start + length, ready, "") for c, e, o, start, length, ready in rows)
    )
    for each in stalls(1000, {"Instruction": table}):
        assert sum(kinds(each)) == 1000
        assert min(kinds(each)) >= 0


def test_lines_carry_the_busiest_engines_time_and_what_it_waited_for() -> None:
    tables = {
        "Instruction": instructions(
            (0, "vector", "COPY", 1000, 1100, 1000, "['call.py:9', 'k.py:4']"),
            (0, "vector", "TENSOR_TENSOR", 1100, 1900, 1100, "k.py:5"),
            (0, "scalar", "ACTIVATE", 1900, 2000, 1900, "k.py:6"),
        ),
        "DmaPacketAggregated": transfers((0, 0, 800, 4096, 2, "k.py:3")),
    }
    found = lines(2000, tables)
    assert found is not None
    assert found.critical == "vector, core 0"
    by_line = {each.line: each for each in found.lines}
    assert (by_line[5].critical_ns, by_line[5].stall_ns, by_line[5].share) == (800, 0, 0.4)
    assert (by_line[4].critical_ns, by_line[4].stall_ns) == (100, 1000)
    assert (by_line[3].dma_bytes, by_line[3].descriptors, by_line[3].critical_ns) == (4096, 2, 0)
    assert by_line[6].engines == {"scalar": 100}
    assert found.lines[0].line == 4


def test_lines_of_a_kernel_bound_by_dma_share_its_queues_time() -> None:
    tables = {
        "Instruction": instructions((0, "vector", "COPY", 900, 1000, 900, "k.py:4")),
        "DmaPacketAggregated": transfers((0, 0, 600, 1, 1, "k.py:1"), (0, 500, 900, 1, 1, "k.py:2")),
    }
    found = lines(1000, tables)
    assert found is not None
    assert found.critical == "dma, core 0"
    assert {each.line: each.critical_ns for each in found.lines} == {1: 600, 2: 300, 4: 0}


def test_a_profile_without_locations_has_no_lines() -> None:
    assert lines(100, {"Instruction": instructions((0, "vector", "COPY", 0, 50, 0, ""))}) is None


@pytest.mark.skipif(not PROFILES.exists(), reason="real profiles are not here")
@pytest.mark.parametrize("name", ["baseline-bf16-s512", "fused-bf16-s512"])
def test_a_real_profile_sums_to_its_duration_and_waits_are_not_many_times_it(name: str) -> None:
    raw = json.loads((PROFILES / f"{name}.json").read_text())
    duration = raw["metadata"][0]["last_hw_timestamp"]
    rows = [
        (
            int(re.sub(r"\D", "", i["subgraph"])),
            i["label"],
            i["opcode"],
            i["timestamp"],
            i["timestamp"] + i["duration"],
        )
        for i in raw["instruction"]
    ]
    table = instructions(*((*row, None, "") for row in rows))
    found = stalls(duration, {"Instruction": table})
    assert Counter(each.core for each in found) == {0: 5, 1: 5}
    for each in found:
        assert sum(kinds(each)) == duration
    tensor = next(each for each in found if (each.core, each.engine) == (0, "tensor"))
    matmuls = sum(np.array([r[4] - r[3] for r in rows if r[0] == 0 and r[2] in ("MATMUL", "LDWEIGHTS")]))
    assert 0 < tensor.working_ns <= matmuls
