"""Profiles of a whole model's graphs, given together and without an evaluation."""

from __future__ import annotations

from pathlib import Path

import factory
import pytest
from graph_builders import graph

from analysis.compare import compare
from analysis.totals import totals
from collectors.errors import UsageError
from collectors.readers import read
from collectors.readers.model import Asked
from collectors.records import Run

LAYERS = {
    "input_norm": "input_layernorm",
    "qkv": "self_attn/qkv_proj",
    "qk_norm_rope": "self_attn/q_layernorm",
    "kv_update": "self_attn/kv_mgr",
    "o_proj": "self_attn/o_proj",
    "post_norm": "post_attention_layernorm",
    "router": "mlp/router",
}
"""Names NxD Inference's modules have, by the slot they fill; what is left is attention and experts."""


def profiled(folder: Path, model: str, number: int, scale: int = 1) -> Path:
    """A profile of the graph of a bucket, where NxD Inference keeps it."""
    phase = {"context_encoding_model": "prefill", "token_generation_model": "decode"}[model]
    names = LAYERS | {f"attention_{phase}": "self_attn/softmax", f"experts_{phase}": "mlp/expert_mlps/dot"}
    rows = [(f"layers.0/{name}", "", 1000 * scale) for name in names.values()]
    return graph(folder / model, (*rows, ("", "", 500 * scale)), f"_tp0_bk{number}")


def graphs(folder: Path, decode: tuple[int, ...] = (0, 1, 2)) -> list[Path]:
    found = [profiled(folder, "token_generation_model", number, number + 1) for number in decode]
    return [*found, profiled(folder, "context_encoding_model", 0, 7)]


def one(paths: list[Path], asked: Asked | None = None) -> Run:
    (run,) = read(paths, asked=asked)
    return run


def unattributed(run: Run) -> dict[tuple[str, int | None], tuple[int, int]]:
    """(executions, ns of one) of what is nobody's, by phase and bucket."""
    own = [row for row in run.launches if row.slot == "unattributed"]
    return {(row.phase, row.bucket): (row.count, row.time_ns) for row in own}


def test_graphs_of_several_buckets_are_one_run_of_single_executions(tmp_path: Path) -> None:
    run = one(graphs(tmp_path))
    assert unattributed(run) == {
        ("prefill", 128): (1, 3500),
        ("decode", 128): (1, 500),
        ("decode", 256): (1, 1000),
        ("decode", 640): (1, 1500),
    }
    assert any("how many steps of decode ran in each bucket" in said for said in run.warnings)
    assert any("sequence length of 640" in said for said in run.warnings)
    assert (run.prompt, run.new_tokens) == (None, None)
    assert one([tmp_path]).run_id == run.run_id, "a folder of them is the same run"


def test_profiles_of_two_prefill_buckets_are_not_added_up_as_one_prefill(tmp_path: Path) -> None:
    paths = [profiled(tmp_path, "context_encoding_model", number, number + 1) for number in (0, 1)]
    assert totals(one(paths)).prefill_ns is None
    assert totals(one(paths)).ttft_ns is None


def test_a_bucket_beyond_those_of_the_sequence_length_is_shown_by_its_place(tmp_path: Path) -> None:
    run = one(graphs(tmp_path, (0, 7)))
    assert {bucket for _, bucket in unattributed(run)} == {0, 7}
    assert any("shown by their place" in said for said in run.warnings)


def test_a_named_prompt_says_which_graphs_ran_and_how_often(tmp_path: Path) -> None:
    run = one(graphs(tmp_path), Asked(prompt=3))
    counts = {key: count for key, (count, _) in unattributed(run).items()}
    assert counts == {("prefill", 128): 1, ("decode", 128): 114, ("decode", 256): 128, ("decode", 640): 383}
    assert (run.prompt_tokens, run.new_tokens, run.seq_len) == (14, 626, 640)
    host = next(row for row in run.launches if row.phase == "host")
    assert (host.provenance, host.count) == ("estimated", 626)
    found = totals(run)
    assert found.e2e_ns is not None
    assert found.e2e_ns.low is None or found.e2e_ns.low < found.e2e_ns.value


def test_a_bucket_without_a_profile_is_estimated_by_the_nearest(tmp_path: Path) -> None:
    run = one(graphs(tmp_path, (1, 2)), Asked(prompt=3))
    missing = [row for row in run.launches if (row.phase, row.bucket) == ("decode", 128)]
    assert {row.provenance for row in missing} == {"estimated"}
    assert {row.formula for row in missing} == {
        "bucket 128 was not profiled; it is taken to last as long as bucket 256"
    }


def test_a_prompt_needs_both_graphs_and_a_model(tmp_path: Path) -> None:
    decode = [profiled(tmp_path, "token_generation_model", number, number + 1) for number in (0, 1)]
    with pytest.raises(UsageError, match="no graph of prefill"):
        read(decode, asked=Asked(prompt=3))
    with pytest.raises(UsageError, match="not profiles of one model"):
        read(decode[:1], asked=Asked(prompt=3))


def test_a_measured_model_stands_row_by_row_beside_a_simulated_run_of_its_prompt(tmp_path: Path) -> None:
    measured, simulated = one(graphs(tmp_path), Asked(prompt=3)), factory.run("simulated", 3)
    found = compare(measured, simulated)
    rows = {(row.phase, row.label): row for row in found.rows}
    per_layer = [("decode", slot) for slot in (*LAYERS, "attention_decode", "experts_decode")]
    both = [rows[key] for key in per_layer]
    assert all(row.base is not None and row.candidate is not None for row in both)
    assert rows["decode", "unattributed"].candidate is None, "nothing of a simulated run is nobody's"
    # Rows sum to both runs: nothing is lost between them.
    ours, theirs = (sum(row.count * row.time_ns for row in run.launches) for run in (measured, simulated))
    assert sum(row.moved_ns for row in found.rows) == theirs - ours
    assert any("simulator's error" in each.sentence for each in found.differences)
