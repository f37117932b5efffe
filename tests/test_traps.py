"""The twelve traps of what Neuron's profilers write, one by one, on small inputs made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from standin import tables as standin
from standin.machine import behave
from standin.tool import make_neff, make_ntff

from collectors.errors import CollectorError, UnreadableInput
from collectors.readers import read
from collectors.records import Profile, Run
from collectors.store.door import Store

TRN2_PEAK_FLOPS = 2 * 128 * 128 * 2.4e9
TRN2_HBM_BYTES_PER_S = 716e9
DEVICE, SYSTEM = "n_" + "0a" * 20, "s_" + "0b" * 20
BIG = 2**63 - 25

RECORD: dict[str, Any] = {
    "total_time": 2e-5,
    "total_exec_time": 5e-6,
    "dma_active_time": 4e-6,
    "dma_active_time_percent": 0.2,
    "dma_transfer_count": 3,
    "instance_type": "trn2.3xlarge",
    "profiler_version": "2.32.0.495",
}


def summary(folder: Path, name: str = "made.json", **changed: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps({DEVICE: {k: v for k, v in (RECORD | changed).items() if v is not None}}))
    return path


def whole(folder: Path, total_time: float, ticks_per_ns: int) -> Path:
    """A full JSON whose one matmul lasts 300 ns, written in ticks."""
    at, lasts = 100 * ticks_per_ns, 300 * ticks_per_ns
    row = {"opcode": "MATMUL", "timestamp": at, "duration": lasts, "subgroup": "Tensor", "id": BIG}
    path = folder / "whole.json"
    path.write_text(json.dumps({"instruction": [row], "summary": [RECORD | {"total_time": total_time}]}))
    return path


def parquet(folder: Path, **changed: list[dict[str, object]] | None) -> Path:
    """A folder of the stand-in's tables; None leaves a table out, [] leaves its header."""
    folder.mkdir(exist_ok=True)
    rows = standin.rows("u", "2.31.15.0") | {"Summary": [standin.summary("2.31.15.0")]} | changed
    for name, data in rows.items():
        if data is not None:
            standin.write(folder, name, data)
    return folder


def only(path: Path) -> tuple[Run, Profile]:
    (run,) = read([path])
    (profile,) = run.profiles.values()
    return run, profile


def fields(profile: Profile) -> dict[str, dict[str, Any]]:
    return {row["field"]: row for row in profile.tables["summary_field"].to_pylist()}


def test_trap_1_percent_fields_are_fractions_and_negative_ones_are_not_available(tmp_path: Path) -> None:
    run, profile = only(
        summary(tmp_path, mfu_hlo_estimated_percent=-1, throttle_periodic_avg_util_limit_nc0_percent=1.0967)
    )
    rows = fields(profile)
    assert (rows["dma_active_time_percent"]["normalised"], rows["dma_active_time_percent"]["unit"]) == (
        0.2,
        "fraction",
    )
    assert rows["mfu_hlo_estimated_percent"]["normalised"] is None
    assert rows["mfu_hlo_estimated_percent"]["raw"] == "-1"
    assert rows["throttle_periodic_avg_util_limit_nc0_percent"]["normalised"] == 1.0967
    assert run.warnings == ()


def test_trap_1_a_share_printed_as_a_percentage_is_called_out(tmp_path: Path) -> None:
    run, _ = only(summary(tmp_path, dma_active_time_percent=20.0))
    assert any("dma_active_time_percent is 20" in said and "percentage" in said for said in run.warnings)


@pytest.mark.parametrize("order", [(DEVICE, SYSTEM), (SYSTEM, DEVICE)])
def test_trap_2_records_are_found_among_log_lines_that_have_braces(
    tmp_path: Path, order: tuple[str, str]
) -> None:
    records = {DEVICE: RECORD, SYSTEM: {"total_duration_ns": 9, "event_type_count": {"nrt_execute": 2}}}
    path = tmp_path / "stream.txt"
    line = json.dumps({name: records[name] for name in order})
    path.write_text(f"WARN[0000] skipping {{buffer usage}}\n{line}\nINFO[0003] served {{200}}\n")
    run, profile = only(path)
    assert run.launches[0].time_ns == 5000
    assert profile.raw["constants"]["system"][SYSTEM]["event_type_count"] == {"nrt_execute": 2}


def test_trap_2_a_system_record_counts_events_and_has_no_core(tmp_path: Path) -> None:
    path = tmp_path / "system.json"
    path.write_text(json.dumps({SYSTEM: {"event_type_count": {"nrt_execute": 2}}}))
    (run,) = read([path])
    assert (run.launches, run.profiles) == ((), {})
    assert run.configuration["events"] == {"nrt_execute": {"count": 2}}
    path.write_text(json.dumps({SYSTEM: {"total_duration_ns": 9}}))
    with pytest.raises(UnreadableInput, match="says nothing"):
        read([path])


@pytest.mark.parametrize("ticks_per_ns", [1, 1000])
def test_trap_3_rows_are_nanoseconds_or_picoseconds_and_the_summary_tells(
    tmp_path: Path, ticks_per_ns: int
) -> None:
    run, profile = only(whole(tmp_path, 450e-9, ticks_per_ns))
    assert run.launches[0].time_ns == 300
    assert profile.tables["Instruction"]["duration_ns"].to_pylist() == [300]
    assert any("picoseconds" in said for said in run.warnings) == (ticks_per_ns == 1000)


@pytest.mark.parametrize(("version", "macs"), [("2.28.23.0", 2048), ("2.32.0.495", 4096)])
def test_trap_4_the_version_decides_what_a_field_means_and_is_kept(
    tmp_path: Path, store: Store, version: str, macs: int
) -> None:
    row = {"opcode": "MATMUL", "timestamp": 0, "duration": 9, "subgroup": "Tensor", "elements": 4096}
    document = {
        "instruction": [row | {"operands": "fp32_mode=HIGH", "id": 1}],
        "summary": [RECORD | {"hardware_flops": 8192, "total_time": 1e-8, "profiler_version": version}],
    }
    path = tmp_path / "fp32.json"
    path.write_text(json.dumps(document))
    run, profile = only(path)
    assert (profile.macs, profile.tool_version) == (macs, version)
    store.save(run)
    kept = store.query("SELECT tool, tool_version FROM profile").to_pylist()
    assert kept == [
        {"tool": "neuron-profile" if version < "2.29" else "neuron-explorer", "tool_version": version}
    ]


def test_trap_4_an_old_profiles_fp32_counts_once_and_weighs_four_times(tmp_path: Path, store: Store) -> None:
    row = {
        "opcode": "MATMUL",
        "timestamp": 0,
        "duration": 9,
        "subgroup": "Tensor",
        "operands": "fp32_mode=LOW_HIGH",
    }
    rows = [row | {"elements": 3000, "id": 1}]
    rows += [row | {"elements": 1000, "id": 2, "instruction_type": "TRANSPOSE"}]
    rows += [row | {"elements": 500, "id": 3, "operands": "src=bfloat16"}]
    counted = {"hardware_flops": 9000, "transpose_flops": 2000, "mm_arithmetic_intensity": 7.0}
    shares = {"hfu_estimated_percent": 0.9, "mfu_inst_estimated_percent": 0.7, "mfu_estimated_percent": 0.7}
    summary_ = RECORD | counted | shares | {"total_time": 1e-8, "profiler_version": "2.28.23.0"}
    path = tmp_path / "fp32.json"
    path.write_text(json.dumps({"instruction": rows, "summary": [summary_]}))
    run, profile = only(path)
    told = {name: (row["raw"], row["normalised"]) for name, row in fields(profile).items()}
    # 6000 of fp32 and 1000 of bf16 FLOPs that are no transposes: 4000 in truth, 3 * 4 + 1 thousand by cost
    assert profile.macs == 2000
    assert told["hardware_flops"] == ("9000", 5000.0)
    assert told["transpose_flops"] == ("2000", 1000.0)
    assert told["mm_arithmetic_intensity"] == ("7.0", 4.0)
    assert told["mfu_inst_estimated_percent"] == told["mfu_estimated_percent"] == ("0.7", pytest.approx(1.3))
    assert told["hfu_estimated_percent"] == ("0.9", pytest.approx(1.7))
    store.save(run)
    kept = store.table(profile.profile_id, "Instruction")
    assert sorted(kept["raw_flops"].to_pylist()) == [1000, 1000, 3000]


def test_trap_9_a_class_of_dma_that_is_not_named_did_nothing(tmp_path: Path) -> None:
    _, profile = only(summary(tmp_path, static_dma_packet_count=6, software_dynamic_dma_packet_count=2))
    told = fields(profile)["hardware_dynamic_dma_packet_count"]
    assert (told["raw"], told["normalised"]) == (None, 0.0)
    assert fields(profile)["software_dynamic_dma_packet_count"]["normalised"] == 2


@pytest.mark.parametrize("unfinished", [{"Summary": []}, {"Summary": None}])
def test_trap_5_headers_come_first_and_the_summary_last(tmp_path: Path, unfinished: dict[str, Any]) -> None:
    with pytest.raises(UnreadableInput, match="processing has not finished"):
        read([parquet(tmp_path / "tables", **unfinished)])


def test_trap_5_a_profiler_that_never_exits_is_ended_once_it_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    behave(monkeypatch, "serves")
    run, _ = only(captured(tmp_path))
    assert run.launches[0].time_ns == standin.WORK_NS


def test_instructions_that_end_before_their_execution_are_said_to_be_lost(tmp_path: Path) -> None:
    told = standin.rows("u", "2.31.15.0")["ExecutionInfo"][0]
    run, _ = only(parquet(tmp_path / "whole"))
    assert not any("events were lost" in said for said in run.warnings)
    longer = {"execution_end_ts": standin.PREAMBLE_NS + 10 * standin.TOTAL_NS}
    run, _ = only(parquet(tmp_path / "cut", ExecutionInfo=[told | longer]))
    assert any("Core 0: its instructions span" in said and "lost" in said for said in run.warnings)


def test_trap_6_a_kernels_time_is_its_execution_not_the_envelope_around_it(tmp_path: Path) -> None:
    run, _ = only(summary(tmp_path))
    assert run.launches[0].time_ns == 5000
    rows, _ = only(parquet(tmp_path / "tables"))
    assert rows.launches[0].time_ns == standin.WORK_NS < standin.TOTAL_NS
    older, _ = only(summary(tmp_path, "older.json", total_exec_time=None))
    assert older.launches[0].time_ns == 20_000
    assert any("fixed envelope" in said for said in older.warnings)


@pytest.mark.parametrize(("stacks", "warned"), [(1, False), (2, True)])
def test_trap_7_two_cores_double_the_peak_of_flops_and_not_that_of_hbm(
    tmp_path: Path, stacks: int, warned: bool
) -> None:
    flops, moved, seconds = 1e8, 2e6, RECORD["total_time"]
    path = summary(
        tmp_path,
        adjusted_hardware_flops=flops,
        hfu_estimated_percent=flops / (seconds * TRN2_PEAK_FLOPS * 2),
        hbm_read_bytes=moved,
        hbm_write_bytes=0,
        mbu_estimated_percent=moved / seconds / (TRN2_HBM_BYTES_PER_S * stacks),
    )
    run, profile = only(path)
    assert (run.lnc, profile.lnc) == (2, 2)
    assert any("mbu_estimated_percent" in said for said in run.warnings) == warned


@pytest.mark.parametrize(("count", "unnamed"), [(0, True), (None, True), (7, False)])
def test_trap_8_transfers_without_names_are_said_to_need_notifications(
    tmp_path: Path, count: int | None, unnamed: bool
) -> None:
    run, profile = only(summary(tmp_path, dma_transfer_count=count))
    assert any("NEURON_RT_ENABLE_DGE_NOTIFICATIONS=1" in said for said in run.warnings) == unnamed
    assert profile.dma_transfers == (count or None)


def test_trap_9_a_missing_key_or_table_is_no_activity(tmp_path: Path) -> None:
    packets = {"static_dma_packet_count": 6, "static_dma_size": 300, "static_dma_size_percent": 1.0}
    throttled = {f"throttle_sw_0_active_time_nc{core}_percent": 0.0 for core in (4, 5)}
    run, profile = only(summary(tmp_path, **packets, **throttled))
    assert (profile.dma_bytes, profile.dma_descriptors, profile.lnc) == (300, 6, 2)
    assert run.warnings == ()
    bare, without = only(parquet(tmp_path / "tables", DmaPacket=None, ActiveTime=[], Warning=None))
    assert "DmaPacket" not in {**without.tables, **without.scans}
    assert bare.launches[0].time_ns == standin.WORK_NS


def test_trap_10_ids_of_64_bits_stay_whole_and_engines_lose_their_case(tmp_path: Path, store: Store) -> None:
    run, profile = only(whole(tmp_path, 450e-9, 1))
    assert profile.tables["Instruction"]["id"].to_pylist() == [str(BIG)]
    assert profile.tables["Instruction"]["engine"].to_pylist() == ["tensor"]
    store.save(run)
    assert store.table(profile.profile_id, "Instruction")["id"].to_pylist() == [str(BIG)]
    filed, tables = only(parquet(tmp_path / "tables"))
    store.save(filed)
    rows = store.table(tables.profile_id, "Instruction")
    assert set(rows["engine"].to_pylist()) == {"tensor", "sync"}
    assert sorted(rows["id"].to_pylist()) == [str((1 << 60) + n) for n in range(standin.MATMULS + 2)]
    _, wide = only(summary(tmp_path, ultraserver_id=BIG))
    assert fields(wide)["ultraserver_id"]["raw"] == str(BIG)


def captured(folder: Path, ntff_of: str = "kernel") -> Path:
    """A capture folder; `ntff_of` another name makes the NTFF one of another compilation."""
    place = folder / "capture"
    neff = make_neff(place / "kernel.neff", "kernel")
    make_ntff(place / "profile_exec_2.ntff", make_neff(folder / "other.neff", ntff_of), 2)
    assert neff.exists()
    return place


def test_trap_11_a_pair_of_two_compilations_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    behave(monkeypatch)
    with pytest.raises(UnreadableInput, match=r"could not be processed with kernel\.neff") as refused:
        read([captured(tmp_path, "another")])
    assert "different compilations" in refused.value.message
    assert "capture again" in refused.value.hint


def test_trap_11_a_tool_older_than_the_runtime_is_to_be_upgraded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    behave(monkeypatch, "fail=version")
    with pytest.raises(UnreadableInput) as refused:
        read([captured(tmp_path)])
    assert "aws-neuronx-tools" in refused.value.hint


def test_trap_12_a_capture_is_processed_without_a_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Store
) -> None:
    behave(monkeypatch, version="2.32.0.495-1666fb8")
    folder = captured(tmp_path)
    run, profile = only(folder)
    assert (run.launches[0].time_ns, profile.tool_version) == (standin.WORK_NS, "2.32.0.495-1666fb8")
    assert {file.kind for file in run.artifacts} == {"neff", "ntff"}
    store.save(run)
    assert store.table(profile.profile_id, "Instruction").num_rows == standin.MATMULS + 2
    (again,) = read([folder / "kernel.neff", folder / "profile_exec_2.ntff"])
    assert again.run_id == run.run_id


def test_trap_12_without_a_profiler_the_tools_to_install_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CollectorError, match="Neither neuron-explorer nor neuron-profile") as refused:
        read([captured(tmp_path)])
    assert "needs no device" in refused.value.hint


@pytest.mark.parametrize(
    ("name", "lacks"), [("x.ntff", "without its NEFF"), ("x.neff", "without a device profile")]
)
def test_half_a_pair_is_refused_with_what_it_lacks(tmp_path: Path, name: str, lacks: str) -> None:
    (tmp_path / name).write_bytes(b"\0\1")
    with pytest.raises(UnreadableInput, match=lacks):
        read([tmp_path / name])


def test_a_table_alone_names_its_folder(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "Instruction.parquet")
    with pytest.raises(UnreadableInput, match="one parquet table"):
        read([tmp_path / "Instruction.parquet"])
