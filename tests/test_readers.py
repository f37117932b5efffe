"""Readers: made files of each format, what they mean, and that damage is refused in a sentence."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.errors import UnreadableInput
from collectors.readers import read
from collectors.readers.rows import names_sources
from collectors.store.door import Store

SHARED = Path(__file__).parents[2] / "shared" / "profiles"
RECORD = {
    "total_time": 2e-5,
    "total_exec_time": 5e-6,
    "dma_active_time": 4e-6,
    "dma_transfer_count": 3,
    "dma_active_time_percent": 0.2,
    "static_dma_active_time": 1e-6,
    "static_dma_active_time_percent": 0.25,
    "instance_type": "trn2.3xlarge",
    "profiler_version": "2.28.23.0",
}


def summary(folder: Path, **changed: Any) -> Path:
    path = folder / "made.txt"
    path.write_text("WARN[0000] {old}\n" + json.dumps({"n_0123456789": RECORD | changed}) + "\nbye\n")
    return path


def instruction(opcode: str, at: int, lasts: int) -> dict[str, Any]:
    return {"opcode": opcode, "timestamp": at, "duration": lasts, "subgroup": "Tensor", "id": 2**62}


def whole(folder: Path) -> Path:
    packet = {"timestamp": 110, "duration": 20, "transfer_size": 64, "subgroup": "Q0-E1", "duplicate": "no"}
    transfer = packet | {"aggregated": "yes", "id": 7, "semaphore_id": "S[1]"}
    document = {
        "dma": [packet | {"packet_aggregation_id": 7}, transfer, packet | {"duplicate": "yes"}],
        "instruction": [instruction("NOP", 0, 50), instruction("MATMUL", 100, 300)],
        "summary": [RECORD],
    }
    path = folder / "whole.json"
    path.write_text(json.dumps(document))
    return path


def profile(path: Path) -> Any:
    (run,) = read([path])
    return run, next(iter(run.profiles.values()))


def test_time_is_execution_without_the_envelope_and_log_lines_are_skipped(tmp_path: Path) -> None:
    run, _ = profile(summary(tmp_path))
    assert run.launches[0].time_ns == 5000
    assert (run.target, run.warnings) == ("trn2", ())


def test_a_dma_share_of_active_time_becomes_one_of_total_time(tmp_path: Path) -> None:
    _, found = profile(summary(tmp_path))
    rows = {row["field"]: row for row in found.tables["summary_field"].to_pylist()}
    share = rows["static_dma_active_time_percent"]
    assert share["raw"] == "0.25"
    assert share["normalised"] == pytest.approx(0.05)


def test_a_percentage_where_a_fraction_belongs_is_named(tmp_path: Path) -> None:
    run, _ = profile(summary(tmp_path, dma_active_time_percent=20.0))
    assert any("dma_active_time_percent is 20" in said and "percentage" in said for said in run.warnings)


def test_packets_transfers_and_duplicates_are_told_apart(tmp_path: Path) -> None:
    run, found = profile(whole(tmp_path))
    assert found.tables["DmaPacket"].num_rows == found.tables["DmaPacketAggregated"].num_rows == 1
    assert run.launches[0].time_ns == 300
    assert found.tables["Instruction"]["start_ts"].to_pylist() == [-100, 0]
    assert any("counted once" in said for said in run.warnings)


def test_a_folder_of_split_tables_is_one_profile(tmp_path: Path) -> None:
    for part, at in enumerate((100, 500)):
        row = {"start_ts": at, "end_ts": at + 50, "duration_ns": 50, "engine": "Tensor", "opcode": "MATMUL"}
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"Instruction_{part}.parquet")
    pq.write_table(pa.Table.from_pylist([{"total_time": 1e-6}]), tmp_path / "Summary.parquet")
    run, found = profile(tmp_path)
    store = Store(tmp_path / "runs.db")
    store.save(run)
    rows = store.table(found.profile_id, "Instruction")
    assert run.launches[0].time_ns == 450
    assert rows.select(["idx", "start_ts"]).to_pylist() == [
        {"idx": 0, "start_ts": 0},
        {"idx": 1, "start_ts": 400},
    ]


def test_a_summary_table_with_only_its_header_is_unfinished(tmp_path: Path) -> None:
    pq.write_table(pa.table({"total_time": pa.array([], pa.float64())}), tmp_path / "Summary.parquet")
    with pytest.raises(UnreadableInput, match="not finished"):
        read([tmp_path])


def test_the_same_content_twice_is_one_run(tmp_path: Path) -> None:
    path = summary(tmp_path)
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    assert len(read([path, copy])) == 1


def test_a_score_line_knows_its_prompt_by_the_official_baseline(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(
        "base_latency,base_throughput,accuracy,latency,final_score\n17138.28,37.87,True,4000,35\n"
    )
    (run,) = read([path])
    assert (run.target, run.prompt, run.accuracy, run.samples[0].value) == ("trn3", 0, 1, 4e9)


@pytest.mark.parametrize("content", ["", "hello\n", "PAR1", "\0\0"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x"
    path.write_text(content)
    with pytest.raises(UnreadableInput) as refused:
        read([path])
    assert refused.value.hint


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(make=st.sampled_from([summary, whole]), data=st.data())
def test_damage_is_read_or_refused_and_never_breaks(tmp_path: Path, make: Any, data: st.DataObject) -> None:
    path = make(tmp_path)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=4))
    path.write_bytes(content)
    with suppress(UnreadableInput):
        assert read([path])


@pytest.mark.skipif(not SHARED.exists(), reason="no real profiles beside the repository")
def test_real_summaries_agree_with_the_profilers_formulas() -> None:
    for path in sorted((SHARED / "trn3").iterdir()):
        (run,) = read([path])
        assert [said for said in run.warnings if "DMA transfers are not named" not in said] == []


@pytest.mark.parametrize(("line", "named"), [("['k.py:3']", True), (None, False)])
def test_a_neff_without_debug_information_is_noticed(tmp_path: Path, line: str | None, named: bool) -> None:
    row = {"start_ts": 0, "end_ts": 50, "duration_ns": 50, "engine": "Tensor", "opcode": "MATMUL"}
    table = pa.Table.from_pylist([row]).append_column("nki_source_location", pa.array([line], pa.string()))
    pq.write_table(table, tmp_path / "Instruction.parquet")
    pq.write_table(pa.Table.from_pylist([{"total_time": 1e-6}]), tmp_path / "Summary.parquet")
    _, found = profile(tmp_path)
    assert names_sources(found.scans) is named
