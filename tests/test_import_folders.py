"""A folder of files: one run where they belong together, else a refusal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from graph_builders import DECODE, graph
from standin.machine import behave
from standin.tool import make_neff, make_ntff

from collectors.errors import UnreadableInput
from collectors.readers import read

KERNEL = {"total_time": 2e-5, "total_exec_time": 5e-6, "profiler_version": "2.32.0"}


def report(folder: Path) -> Path:
    def model(mean_ms: float, tokens: float) -> dict[str, float]:
        return {"latency_ms_avg": mean_ms, "latency_ms_p99": mean_ms, "throughput": tokens / mean_ms * 1e3}

    path = folder / "benchmark_report.json"
    models = {
        "e2e_model": model(14000.0, 640),
        "context_encoding_model": model(650.0, 20),
        "token_generation_model": model(10.5, 1),
    }
    path.write_text(json.dumps(models))
    return path


def test_a_folder_of_one_evaluation_is_one_run_and_other_files_are_left_out(tmp_path: Path) -> None:
    graph(tmp_path, DECODE[:2], "prefill")
    graph(tmp_path)
    report(tmp_path)
    (tmp_path / "notes.md").write_text("tuned it")
    (run,) = read([tmp_path])
    rows = {(row.phase, row.slot): row.count for row in run.launches}
    assert rows["prefill", "qkv"] == 1
    assert rows["decode", "qkv"] == rows["decode", "dispatch"] == 640 - 20 - 1
    whole = sum(row.count * row.time_ns for row in run.launches)
    assert whole == pytest.approx(14000.0 * 1e6, rel=1e-6)


def test_a_capture_beside_its_report_is_one_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    behave(monkeypatch, "layers")
    place = tmp_path / "token_generation_model" / "inspect"
    make_ntff(place / "profile_exec_2.ntff", make_neff(place / "kernel.neff", "kernel"), 2)
    report(tmp_path)
    (run,) = read([tmp_path])
    assert {file.kind for file in run.artifacts} == {"neff", "ntff", "benchmark report"}
    assert {row.slot for row in run.launches if row.phase == "decode"} >= {"qkv", "router", "dispatch"}


def test_a_folder_of_mixed_runs_is_refused(tmp_path: Path) -> None:
    report(tmp_path)
    (tmp_path / "mine.json").write_text(json.dumps({"n_0123456789": KERNEL}))
    with pytest.raises(UnreadableInput, match="folder of 2 runs that do not belong together") as refused:
        read([tmp_path])
    assert "name the files" in refused.value.hint
    assert len(read(sorted(tmp_path.iterdir()))) == 2


def test_a_folder_of_nothing_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("nothing here")
    with pytest.raises(UnreadableInput, match="no file the import knows"):
        read([tmp_path])


def test_a_damaged_file_among_good_ones_leaves_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps({"n_0123456789": KERNEL})[:-20])
    with pytest.raises(UnreadableInput, match=r"broken\.json"):
        read([report(tmp_path), broken])
