"""Each verb on a real database: what it prints, what it exits with, what it says when it cannot."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import factory
import pyarrow.parquet as pq
import pytest

from collectors.cli import main
from collectors.errors import DeviceError
from collectors.records import Launch
from collectors.request import ProfileRequest
from collectors.store.door import Store


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out.count("\n") == 1, "one object on one line and nothing else"
        return json.loads(self.out)


Call = Callable[..., Said]


@pytest.fixture
def call(
    store: Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Call:
    """Runs `collectors ARGUMENTS...` on `store` from an empty folder."""

    def run(*arguments: str) -> Said:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("NKI_DASHBOARD_DB", str(store.path))
        monkeypatch.setattr(sys, "argv", ["collectors", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exited:
            main()
        captured = capfd.readouterr()
        return Said(int(exited.value.code or 0), captured.out, captured.err)

    return run


def test_runs_lists_newest_first_and_marks_the_baseline(filled: Store, call: Call) -> None:
    said = call("runs")
    labels = [line.split("  ")[0] for line in said.out.splitlines()[1:]]
    assert labels == ["attempt-3", "attempt-2", "tuned", "baseline *"]


def test_runs_json_has_totals_and_what_marks_the_baseline(filled: Store, call: Call) -> None:
    runs = call("runs", "--json").json["runs"]
    assert [run["is_baseline"] for run in runs] == [False, False, False, True]
    assert runs[0]["decode_ms_per_token"] < runs[3]["decode_ms_per_token"]
    assert runs[0]["commit"] == "0123456"


def test_every_simulated_time_comes_with_the_interval_its_kind_earned(filled: Store, call: Call) -> None:
    for run in call("runs", "--json").json["runs"]:
        low, high = run["intervals"]["decode_ms_per_token"]
        assert low < run["decode_ms_per_token"] < high
    low, high = run["intervals"]["tokens_per_s"]
    assert low < run["tokens_per_s"] < high
    assert f"{run['decode_ms_per_token']:.3g} [" in call("runs").out
    for launch in call("show", "tuned", "--json").json["launches"]:
        assert launch["low_us"] < launch["time_us"] < launch["high_us"]
    for row in call("compare", "baseline", "tuned", "--json").json["rows"]:
        for each in (row["base"], row["candidate"]):
            assert each is None or each["low_ns"] < each["time_ns"] < each["high_ns"]


def test_runs_filters_by_label_prompt_and_number(filled: Store, call: Call) -> None:
    filled.save(factory.run("tuned", prompt=0, at=factory.FIRST_DAY + timedelta(days=2)))
    assert len(call("runs", "--label", "tuned", "--json").json["runs"]) == 2
    assert [run["prompt"] for run in call("runs", "--prompt", "0", "--json").json["runs"]] == [0]
    assert len(call("runs", "--limit", "2", "--json").json["runs"]) == 2


def test_runs_of_an_empty_database_says_what_to_type(call: Call) -> None:
    said = call("runs")
    assert said.code == 0
    assert "collectors profile --prompt 3" in said.err


def test_show_lists_kernels_by_share_of_time(filled: Store, call: Call) -> None:
    lines = call("show", "tuned").out.splitlines()
    header = next(at for at, line in enumerate(lines) if line.startswith("phase"))
    assert lines[header + 1].split()[:2] == ["host", "host"]
    assert "points" in lines[1]
    assert any("check" in line for line in lines)


def test_show_json_has_every_key_profile_promises_and_shares_that_sum_to_one(
    filled: Store, call: Call
) -> None:
    shown = call("show", "latest", "--json").json
    promised = (
        "run_id provenance target prompt kernels prefill_ms decode_ms_per_token e2e_ms tokens_per_s points "
        "nki_flops_share accuracy wall_s launches"
    )
    assert set(promised.split()) <= shown.keys()
    assert sum(launch["share"] for launch in shown["launches"]) == pytest.approx(1)
    of_launch = "slot variant phase bucket count time_us low_us high_us interval share engines"
    of_launch += " hbm_read_bytes hbm_write_bytes bound provenance"
    assert all(set(of_launch.split()) == launch.keys() for launch in shown["launches"])
    assert set(shown["launches"][0]["engines"]) == {"tensor", "vector", "scalar", "gpsimd", "sync", "dma"}


def test_an_estimated_row_has_no_engines_and_says_it_is_estimated(filled: Store, call: Call) -> None:
    [host] = [row for row in call("show", "latest", "--json").json["launches"] if row["slot"] == "host"]
    assert host["provenance"] == "estimated"
    assert set(host["engines"].values()) == {None}


def test_compare_says_faster_and_by_how_much(filled: Store, call: Call) -> None:
    said = call("compare", "baseline", "tuned")
    assert said.code == 0
    assert said.out.strip().splitlines()[-1].startswith("faster")
    assert "rows unchanged" in said.out


def test_compare_json_has_a_row_per_slot_with_both_times_and_a_verdict(filled: Store, call: Call) -> None:
    found = call("compare", "baseline", "tuned", "--json").json
    rows = {(row["phase"], row["slot"]): row for row in found["rows"]}
    row = rows["decode", "experts_decode"]
    assert row["candidate_ns"] < row["base_ns"]
    assert row["difference"]["low"] <= row["difference"]["value"] <= row["difference"]["high"]
    assert found["base"]["label"] == "baseline"
    assert found["verdict"] == "faster"
    assert isinstance(found["comparability"], list)


def test_compare_source_shows_what_changed_in_the_rows_that_moved(filled: Store, call: Call) -> None:
    printed = call("compare", "baseline", "tuned", "--source").out
    assert "+def experts_decode_prefetched(x):" in printed.splitlines()
    rows = call("compare", "baseline", "tuned", "--source", "--json").json["rows"]
    changed = {row["status"]: row["source_diff"] for row in rows}
    assert changed["unchanged"] == []
    assert any("experts_decode_prefetched" in text for row in rows for text in row["source_diff"])


def test_compare_json_has_the_stages_of_both_runs(filled: Store, call: Call) -> None:
    found = call("compare", "baseline", "tuned", "--json").json["stages"]
    for stages in found.values():
        assert [stage["phase"] for stage in stages] == ["prefill", "decode", "host"]
        assert sum(stage["share"] for stage in stages) == pytest.approx(1)


def test_compare_markdown_is_a_table_with_a_heading(filled: Store, call: Call) -> None:
    text = call("compare", "baseline", "tuned", "--format", "markdown").out
    assert text.startswith("### tuned against baseline: faster")
    assert "| decode | experts_decode |" in text


@pytest.mark.parametrize(
    ("base", "candidate", "code"),
    [("baseline", "tuned", 0), ("baseline", "baseline", 0), ("tuned", "baseline/p3", 1)],
)
def test_fail_on_slower_exits_with_the_verdict(
    filled: Store, call: Call, base: str, candidate: str, code: int
) -> None:
    assert call("compare", base, candidate, "--fail-on", "slower").code == code


def test_fail_on_slower_exits_2_when_nobody_can_tell(filled: Store, call: Call) -> None:
    other = factory.run("elsewhere", target="trn2", at=factory.FIRST_DAY + timedelta(days=1))
    filled.save(other)
    assert call("compare", "tuned", "elsewhere", "--fail-on", "slower").code == 2
    assert call("compare", "tuned", "elsewhere").code == 0


def test_compare_across_provenances_says_so_in_its_first_line(filled: Store, call: Call) -> None:
    filled.save(
        replace(factory.run("device", at=factory.FIRST_DAY + timedelta(days=1)), provenance="measured")
    )
    first = call("compare", "baseline/p3", "device").out.splitlines()[0]
    assert "simulated" in first
    assert "measured" in first


def test_baseline_of_a_compare_is_that_of_the_candidates_prompt(filled: Store, call: Call) -> None:
    base, candidate = (
        factory.run(label, prompt=0, at=factory.FIRST_DAY + timedelta(days=n))
        for n, label in ((1, "x"), (2, "y"))
    )
    for run in (base, candidate):
        filled.save(run)
    filled.set_baseline(base.run_id)
    assert call("compare", "baseline", "y", "--json").json["base"]["run_id"] == base.run_id


def test_rank_orders_by_expected_gain(filled: Store, call: Call) -> None:
    ranking = call("rank", "baseline", "--json").json["ranking"]
    gains = [each["gain_ns"]["expected"] for each in ranking["opportunities"]]
    assert gains
    assert gains == sorted(gains, reverse=True)
    said = call("rank", "baseline").out
    assert "experts_decode" in said
    assert "Held up by moving the bytes 30%, the tensor engine's own work 5%" in said


def test_kernel_says_what_holds_the_longest_launch_up(filled: Store, call: Call) -> None:
    text = call("kernel").out
    assert re.search(r"moving the bytes +[\d.]+ +30", text)
    assert "GpSimd's own work" not in text
    shown = call("kernel", "--json").json
    longest = max(filled.load(filled.resolve("latest")).launches, key=_profiled_ns)
    assert shown["launch"]["slot"] == longest.slot
    assert [each["resource"] for each in shown["costs"]] == ["dma_rate", "tensor"]
    assert shown["engine_times"]
    assert shown["lines"]["lines"]


def _profiled_ns(launch: Launch) -> int:
    return launch.count * launch.time_ns if launch.profile_id else 0


def test_kernel_prints_transfer_sizes_and_the_slots_variants_of_every_run(filled: Store, call: Call) -> None:
    said = call("kernel", "decode/experts_decode", "--run", "tuned", "--json").json
    shares = [size["share"] for size in said["transfer_sizes"]]
    assert sum(shares) == pytest.approx(1)
    assert sum(size["bytes"] for size in said["transfer_sizes"]) > 0
    times = [each["launch"]["time_ns"] for each in said["variants"]]
    assert times == sorted(times)
    assert {each["launch"]["variant"] for each in said["variants"]} == {"baseline", "prefetched"}
    printed = call("kernel", "decode/experts_decode", "--run", "tuned").out
    assert "bytes per descriptor" in printed
    assert f"{said['launch']['variant']} (shown)" in printed


def test_kernel_that_is_not_there_names_those_that_are(filled: Store, call: Call) -> None:
    said = call("kernel", "decode/nothing")
    assert said.code == 2
    assert "has no launch decode/nothing" in said.err
    assert "decode/experts_decode" in said.err


def test_baseline_marks_a_run(filled: Store, call: Call) -> None:
    said = call("baseline", "latest")
    assert "is the baseline of prompt 3 on trn3" in said.err
    assert filled.resolve("baseline") == filled.resolve("attempt-3")


def test_sql_prints_rows_as_table_json_and_csv(filled: Store, call: Call) -> None:
    query = "SELECT label, prompt FROM run ORDER BY label LIMIT 1"
    assert call("sql", query).out.split() == ["label", "prompt", "attempt-2", "3"]
    assert call("sql", query, "--json").json == {
        "columns": ["label", "prompt"],
        "rows": [{"label": "attempt-2", "prompt": 3}],
    }
    assert list(csv.reader(call("sql", query, "--format", "csv").out.splitlines())) == [
        ["label", "prompt"],
        ["attempt-2", "3"],
    ]


def test_sql_that_writes_is_refused(filled: Store, call: Call) -> None:
    said = call("sql", "DELETE FROM run")
    assert said.code == 2
    assert "read-only" in said.err
    assert len(filled.runs()) == 4


def test_export_parquet_holds_every_row_of_the_run(filled: Store, call: Call, tmp_path: Path) -> None:
    said = call("export", "tuned", "--format", "parquet", "-o", "out", "--json")
    folder = tmp_path / said.json["output"]
    run = filled.load(filled.resolve("tuned"))
    assert pq.read_table(folder / "launch.parquet").num_rows == len(run.launches)
    expected = sum(filled.table(profile_id, "Instruction").num_rows for profile_id in run.profiles)
    assert pq.read_table(folder / "Instruction.parquet").num_rows == expected


def test_export_csv_reads_back(filled: Store, call: Call, tmp_path: Path) -> None:
    call("export", "tuned", "--format", "csv", "-o", "out")
    rows = list(csv.DictReader((tmp_path / "out" / "launch.csv").read_text().splitlines()))
    run = filled.load(filled.resolve("tuned"))
    assert [int(row["time_ns"]) for row in rows] == [launch.time_ns for launch in run.launches]


def test_export_perfetto_has_a_slice_for_every_instruction_and_transfer(
    filled: Store, call: Call, tmp_path: Path
) -> None:
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

    call("export", "tuned", "-o", "t.perfetto-trace")
    trace = Trace()
    trace.ParseFromString((tmp_path / "t.perfetto-trace").read_bytes())
    begins = [p for p in trace.packet if p.track_event.type == TrackEvent.TYPE_SLICE_BEGIN]
    run = filled.load(filled.resolve("tuned"))
    rows = sum(
        filled.table(profile_id, name).num_rows
        for profile_id in run.profiles
        for name in ("Instruction", "DmaPacketAggregated")
    )
    assert len(begins) == rows
    names = [p.track_descriptor.name for p in trace.packet if p.HasField("track_descriptor")]
    assert "core 0 tensor" in names
    assert len([p for p in trace.packet if p.track_descriptor.HasField("process")]) == len(run.profiles)


def test_slices_of_a_perfetto_track_never_overlap(filled: Store, call: Call, tmp_path: Path) -> None:
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

    call("export", "tuned", "-o", "t.perfetto-trace")
    trace = Trace()
    trace.ParseFromString((tmp_path / "t.perfetto-trace").read_bytes())
    open_slices: dict[int, int] = {}
    for packet in trace.packet:
        event = packet.track_event
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            assert open_slices.get(event.track_uuid, 0) == 0
            open_slices[event.track_uuid] = 1
        elif event.type == TrackEvent.TYPE_SLICE_END:
            open_slices[event.track_uuid] = 0


def test_export_does_not_replace_a_file_unless_forced(filled: Store, call: Call, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    said = call("export", "tuned", "-o", "mine")
    assert said.code == 2
    assert "--force" in said.err
    assert (tmp_path / "mine").read_text() == "precious"
    assert call("export", "tuned", "-o", "mine", "--force").code == 0


def test_doctor_says_which_backend_would_run_and_what_mends_what_is_missing(
    filled: Store, call: Call
) -> None:
    found = call("doctor", "--json").json
    assert found["backend"] in ("neuron", "simulator")
    rows = {row["name"]: row for row in found["host"]}
    assert rows["runs.db"]["detail"].endswith("MB")
    assert "4 runs" in rows["runs.db"]["detail"]
    assert all(row["mend"] for row in found["device"] if row["ok"] is False)


def test_doctor_reports_a_broken_database_and_goes_on(store: Store, call: Call) -> None:
    store.path.write_text("not a database " * 900)
    rows = {row["name"]: row for row in call("doctor", "--json").json["host"]}
    assert rows["runs.db"]["ok"] is False
    assert rows["duckdb"]["ok"] is True


@pytest.mark.parametrize(
    "verb", [("show", "nope"), ("compare", "nope", "latest"), ("export", "nope"), ("baseline", "nope")]
)
def test_an_unknown_run_is_one_sentence_and_a_way_out(
    filled: Store, call: Call, verb: tuple[str, ...]
) -> None:
    said = call(*verb)
    assert said.code == 2
    assert "no run is called 'nope'" in said.err
    assert "collectors runs" in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_an_error_with_json_is_one_object_too(filled: Store, call: Call) -> None:
    said = call("show", "nope", "--json")
    assert said.code == 2
    assert said.json["error"] == "no run is called 'nope'"
    assert said.json["hint"]


def test_a_wrong_option_is_exit_code_2(call: Call) -> None:
    assert call("runs", "--colour").code == 2


def test_the_app_listens_on_loopback_unless_told() -> None:
    from collectors.commands.app import command

    made = command(Path("/data/runs.db"), "127.0.0.1", 8501)
    assert made[made.index("--server.address") + 1] == "127.0.0.1"
    assert made[-2:] == ["--db", "/data/runs.db"]
    assert (Path(made[made.index("run") + 1]) / "streamlit_app.py").exists()


def test_a_prompt_that_fails_on_the_device_loses_none_before_it(
    call: Call, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collect(request: ProfileRequest, **_: Any) -> Any:
        if request.prompt.number == 1:
            raise DeviceError("the core was lost", "run it again")
        return factory.run("measured", prompt=request.prompt.number)

    monkeypatch.setattr("collectors.device.require_device", lambda: None)
    monkeypatch.setattr("collectors.device.capture.collect", collect)
    said = call("profile", "--prompt", "3", "--prompt", "1", "--backend", "neuron")
    assert said.code != 0
    assert "the core was lost" in said.err
    assert [run.prompt for run in store.runs()] == [3]


def test_score_shows_every_prompt_of_the_command_with_and_without_the_host(filled: Store, call: Call) -> None:
    for prompt in (0, 4):
        run = factory.run("all", prompt=prompt, at=factory.FIRST_DAY + timedelta(days=2, minutes=prompt))
        filled.save(replace(run, session="together"))
    lines = [line.split() for line in call("score", "all").out.splitlines()]
    assert [line[:3] for line in lines[2:8] if line[1:3] in (["as", "run"], ["no", "host"])] == [
        ["0", "as", "run"],
        ["0", "no", "host"],
        ["4", "as", "run"],
        ["4", "no", "host"],
    ]
    made = call("score", "all", "--json").json["prompts"]
    assert [each["prompt"] for each in made] == [0, 4]
    as_run, *_, none = made[0]["scenarios"]
    assert none["points"]["final"]["value"] > as_run["points"]["final"]["value"]


def test_score_of_a_kernel_says_that_only_prompts_have_points(store: Store, call: Call) -> None:
    store.save(factory.kernel_run())
    said = call("score")
    assert said.code == 2
    assert "is no run of a prompt" in said.err


def test_tune_without_a_slot_says_what_can_be_varied(store: Store, call: Call) -> None:
    said = call("tune")
    assert said.code == 0
    assert "columns 512|1024|2048" in said.out
    assert "collectors tune" in said.err
    assert {one["slot"] for one in call("tune", "--json").json["tunable"]} >= {"lm_head", "o_proj"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing",), "there is no slot 'nothing'"),
        (("o_proj", "--variant", "fast"), "slot 'o_proj' has no variant 'fast'"),
        (("o_proj", "--variant", "baseline"), "declares no parameters"),
        (("--show", "o_proj"), "there are no studies yet"),
        (("o_proj", "--confirm", "2"), "cannot profile on a device"),
    ],
)
def test_tune_says_what_cannot_be_done_and_what_can(
    call: Call, arguments: tuple[str, ...], told: str
) -> None:
    said = call("tune", *arguments)
    assert said.code == 2
    assert told in said.err
    assert len(said.err.strip().splitlines()) == 2


def test_tune_shows_a_study_with_its_proposal(
    store: Store, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A thread simulates at once; other processes would take longer to start than to simulate.
    monkeypatch.setattr("collectors.tuning.tune.open_pool", lambda _: ThreadPoolExecutor(1))
    said = call("tune", "o_proj", "--variant", "interleaved", "--budget", "2")
    assert said.code == 0, said.err
    assert "interleaved (defaults)" in said.out
    shown = call("tune", "--show", "o_proj", "--json").json
    assert [point["state"] for point in shown["tuning"]["points"]] == ["correct", "correct"]
    assert shown["tuning"]["proposal"]["judgement"]["verdict"]
    assert call("runs", "--json").json["runs"] == []
    trials = call("runs", "--study", "o_proj", "--json").json["runs"]
    assert [run["accuracy"] for run in trials] == [1, 1]


def test_runs_of_a_study_are_its_trials(store: Store, call: Call) -> None:
    said = call("runs", "--study", "o_proj")
    assert said.code == 2
    assert "there are no studies yet" in said.err
