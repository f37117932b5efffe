"""A model's graph divided among the model's slots: whose instructions, whose time, what is nobody's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from graph_builders import DECODE, MOVED, graph
from hypothesis import given
from hypothesis import strategies as st

from analysis.compare import compare
from collectors.readers import read
from collectors.readers.attribution import attributed
from collectors.readers.issuers import with_issuers
from collectors.readers.phases import phase_of
from collectors.readers.rows import Covered
from collectors.readers.shares import shares_ns
from collectors.readers.slots import place
from collectors.records import Run
from collectors.store.door import Store


def by_slot(run: Run) -> dict[str, int]:
    return {launch.slot: launch.time_ns for launch in run.launches}


def test_every_slot_gets_its_time_and_the_rest_is_one_row_with_its_share(tmp_path: Path) -> None:
    (run,) = read([graph(tmp_path)])
    assert by_slot(run) == {
        "input_norm": 100,
        "qkv": 300,
        "attention_decode": 300,
        "router": 100,
        "unattributed": 200,
    }
    assert {launch.phase for launch in run.launches} == {"decode"}
    assert any("20.0% of the graph's time is unattributed" in said for said in run.warnings)


def test_a_slots_profile_counts_its_own_instructions(tmp_path: Path, store: Store) -> None:
    (run,) = read([graph(tmp_path)])
    store.save(run)
    kept = store.load(run.run_id)
    of = {launch.slot: kept.profiles[launch.profile_id or ""] for launch in kept.launches}
    assert of["attention_decode"].instructions == 3
    assert of["qkv"].macs == 128**3
    assert of["qkv"].engines["tensor"] == 1.0
    assert store.table(of["unattributed"].profile_id, "Instruction").num_rows == len(DECODE)


def test_a_transfer_is_of_the_slot_whose_instruction_issued_it(tmp_path: Path, store: Store) -> None:
    (run,) = read([graph(tmp_path, moved=MOVED)])
    of = {launch.slot: run.profiles[launch.profile_id or ""] for launch in run.launches}
    traffic = {slot: (each.dma_transfers, each.dma_bytes, each.dma_descriptors) for slot, each in of.items()}
    assert traffic["qkv"] == (1, 4096, 1)
    assert traffic["attention_decode"] == (2, 1024 + 512, 3)
    assert traffic["router"] == (0, 0, 0)
    assert of["qkv"].engines["dma"] == pytest.approx(10 / 300)
    store.save(run)
    kept = store.table(of["unattributed"].profile_id, "DmaPacketAggregated").sort_by("start_ts")
    assert kept["layer"].to_pylist() == ["layers.0/self_attn/qkv_proj", "Unknown", "Unknown"]
    named = [None, "attention_decode.py:40", "attention_decode.py:44"]
    assert kept["nki_source_location"].to_pylist() == named
    lines = {row["source"]: row for row in store.lines(of["unattributed"].profile_id).to_pylist()}
    assert lines["attention_decode.py:40"]["dma_bytes"] == 1024


def test_traffic_nobody_claims_is_said_with_its_share(tmp_path: Path) -> None:
    weight = "layers.3.self_attn.qkv_proj.weight"
    (run,) = read([graph(tmp_path, moved=((None, 3000, 1, "unknown"), (None, 1000, 1, weight)))])
    assert any("75.0% of the bytes its transfers moved (1 of 2 transfers)" in said for said in run.warnings)
    (qkv,) = (each for each in run.profiles.values() if each.kernel == "qkv")
    assert qkv.dma_bytes == 1000, "a weight's name says whose it is"


def test_of_two_instructions_at_once_the_one_that_ends_when_the_transfer_says_issued_it() -> None:
    times = {"start_ts": [5, 5, 5], "end_ts": [7, 9, 8], "pcore_idx": [0, 0, 1], "opcode": ["A", "B", "C"]}
    instruction = pa.table(times | {"engine": ["vector", "sync", "sync"], "layer": ["a", "b", "c"]})
    told = {"trigger": [5, 5, 5, None], "completion": [9, None, None, None], "pcore_idx": [0, 0, 1, 0]}
    transfer = pa.table(told | {"queue_name": ["qVector", "qVector0", "q", "q"]})
    found = with_issuers({"Instruction": instruction, "DmaPacketAggregated": transfer})
    assert found["DmaPacketAggregated"]["layer"].to_pylist() == ["b", "a", "c", None]


def test_the_same_slots_of_two_measured_runs_stand_in_the_same_rows(tmp_path: Path) -> None:
    (base,) = read([graph(tmp_path / "a")])
    faster = tuple((layer, source, lasts // 2) for layer, source, lasts in DECODE)
    (candidate,) = read([graph(tmp_path / "b", faster)])
    rows = {row.label: row.moved_ns for row in compare(base, candidate).rows}
    assert rows["qkv"] == -150
    assert rows["unattributed"] == -100


def test_a_kernel_alone_is_not_a_graph(tmp_path: Path) -> None:
    path = graph(tmp_path, (("", "qkv.py:3", 100), ("", "qkv.py:4", 50)), "mine")
    (run,) = read([path])
    assert [(launch.slot, launch.phase) for launch in run.launches] == [("mine", "kernel")]
    whole = attributed(run, "decode", whole=True)
    assert by_slot(whole) == {"qkv": 150}


def test_a_graph_that_names_nothing_is_one_unattributed_row(tmp_path: Path) -> None:
    (run,) = read([graph(tmp_path, (("", "", 100),))])
    whole = attributed(run, "prefill", whole=True)
    assert [(launch.slot, launch.phase, launch.time_ns) for launch in whole.launches] == [
        ("unattributed", "prefill", 100)
    ]
    assert any("100.0%" in said for said in whole.warnings)


@pytest.mark.parametrize(
    ("layer", "source", "phase", "covers"),
    [
        ("NeuronQwen3MoeModel/layers.11/self_attn/qkv_proj", "", "decode", ("qkv",)),
        ("layers.11/self_attn/softmax", "", "prefill", ("attention_prefill",)),
        ("layers.11/self_attn/softmax", "", None, ("attention_prefill", "attention_decode")),
        ("layers.11/self_attn/q_layernorm", "", None, ("qk_norm_rope",)),
        ("layers.11/post_attention_layernorm", "rmsnorm.py:20", "decode", ("post_norm",)),
        ("", "rmsnorm.py:20", "decode", ("input_norm", "post_norm", "final_norm")),
        ("model/norm", "", "decode", ("final_norm",)),
        ("layers.3/mlp/expert_mlps/dot", "", "decode", ("experts_decode",)),
    ],
)
def test_layers_and_files_name_slots(layer: str, source: str, phase: Any, covers: tuple[str, ...]) -> None:
    found = place(layer, source, phase)
    assert found is not None
    assert sorted(found.covers) == sorted(covers)


def test_what_nothing_names_has_no_place() -> None:
    assert place("Unknown", "their_kernel.py:7", "decode") is None


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("nxd_model/token_generation_model/_tp0_bk2/graph.neff", "decode"),
        ("context_encoding_model", "prefill"),
        ("prefill_128.json", "prefill"),
        ("decoder.json", None),
        ("prefill-and-decode", None),
    ],
)
def test_names_tell_the_phase(name: str, phase: str | None) -> None:
    assert phase_of([name]) == phase


def at_work(rows: list[tuple[int, int, int]], places: int) -> list[Covered]:
    """Intervals (start, end, place) as what each place covers."""
    mine = [np.asarray([row[:2] for row in rows if row[2] == at], np.int64) for at in range(places)]
    return [Covered.of(*each.reshape(-1, 2).T) for each in mine]


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30), st.integers(0, 2)), min_size=1, max_size=30)
)
def test_shares_sum_to_the_execution(rows: list[tuple[int, int, int]]) -> None:
    spans = at_work([(at, at + lasts, of) for at, lasts, of in rows], 4)
    found = shares_ns(spans, (0, 100))
    assert found.sum() == pytest.approx(100.0)
    assert (found >= 0).all()
    assert shares_ns(spans, (0, 100), window=2) == pytest.approx(found)


def test_a_wait_belongs_to_the_work_that_starts_next_and_work_at_once_is_shared() -> None:
    spans = at_work([(10, 20, 0), (40, 60, 0), (40, 50, 1)], 3)
    # 0-20 the first; 20-40 waits for both, 40-50 is both's, 50-60 the first's, 60-70 nobody's
    for window in (1, 2, 100):
        assert shares_ns(spans, (0, 70), window).tolist() == [20 + 10 + 5 + 10, 10 + 5, 10]
