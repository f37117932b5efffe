"""What the challenge's programs and the runtime's totals say, alone and put together."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from analysis.score import points
from analysis.totals import totals
from collectors.errors import UnreadableInput
from collectors.readers import read
from collectors.records import Run

SHARED = Path(__file__).parents[2] / "shared" / "profiles" / "contest"
MEAN, P99, PREFILL, STEP = 4000.0, 4100.0, 400.0, 5.0
HEADER = "base_latency,base_throughput,accuracy,latency,throughput,nki_flop_ratio,final_score,timestamp"
STATUS = """Test failed at batch 0 token 2. Top k = 1000 error 0.04 > 0.03.
Complete Error Summary
{summary}
Test fails logit validation.
"""


def report(folder: Path, **changed: float) -> Path:
    e2e = {"latency_ms_avg": MEAN, "latency_ms_p99": P99, "throughput": 640 / MEAN * 1e3} | changed
    models = {
        "e2e_model": e2e,
        "context_encoding_model": {"latency_ms_avg": PREFILL, "throughput": 54 / PREFILL * 1e3},
        "token_generation_model": {"latency_ms_avg": STEP, "throughput": 1e3 / STEP},
    }
    path = folder / "benchmark_report.json"
    path.write_text(json.dumps(models))
    return path


def score(folder: Path, name: str = "scores.csv", **changed: Any) -> Path:
    row = dict(
        zip(HEADER.split(","), (16208.29, 40.25, True, P99, 160.0, 0.99, 34.0, "2026-05-21"), strict=True)
    )
    path = folder / name
    path.write_text(f"{HEADER}\n{','.join(map(str, (row | changed).values()))}\n")
    return path


def status(folder: Path) -> Path:
    worst = {"null": {"error": 0.02, "token_index": 1}, "1000": {"error": 0.04, "token_index": 2}}
    path = folder / "status.txt"
    path.write_text(STATUS.format(summary=json.dumps({"max_top_k_errors": worst})))
    return path


def events(folder: Path) -> Path:
    path = folder / "totals.tsv"
    path.write_text("neuron_hw\tnc_exec_running\t20\t2000000000\nneuron_rt\tnrt_execute\t10\t1100000000\n")
    return path


def one(*paths: Path) -> Run:
    (run,) = read(paths)
    return run


def test_a_report_divides_the_latency_into_prefill_decode_and_host(tmp_path: Path) -> None:
    run = one(report(tmp_path))
    found = totals(run)
    assert (run.prompt, run.prompt_tokens, run.new_tokens, run.seq_len) == (2, 54, 586, 640)
    assert found.decode_ns_per_token is not None
    assert found.decode_ns_per_token.value == pytest.approx(STEP * 1e6)
    assert found.host_ns is not None
    assert found.host_ns.value == pytest.approx((MEAN - PREFILL - 585 * STEP) * 1e6, rel=1e-6)


def test_a_score_in_points_is_the_scores_own_product(tmp_path: Path) -> None:
    run = one(score(tmp_path))
    expected = 16208.29 / P99 * 160.0 / 40.25 * 1.99
    assert points(totals(run), run).value == pytest.approx(expected)


def test_a_report_its_score_its_accuracy_and_its_events_are_one_run(tmp_path: Path) -> None:
    paths = [report(tmp_path), score(tmp_path), status(tmp_path), events(tmp_path)]
    run = one(*paths)
    assert (run.target, run.prompt, run.accuracy) == ("trn3", 2, 0)
    assert len(run.artifacts) == len(paths)
    assert run.launches
    assert run.configuration["events"]["nc_exec_running"]["count"] == 20
    assert one(*reversed(paths)).run_id == run.run_id, "the order of the files does not matter"


def test_a_report_and_a_score_of_different_latencies_stay_two_runs(tmp_path: Path) -> None:
    assert len(read([report(tmp_path), score(tmp_path, latency=P99 + 1)])) == 2


def test_accuracy_that_could_be_of_two_evaluations_is_of_neither(tmp_path: Path) -> None:
    runs = read([score(tmp_path), score(tmp_path, "other.csv", latency=P99 + 1), status(tmp_path)])
    assert [run.accuracy for run in runs] == [1, 1, 0]


def test_logit_errors_are_checks_with_the_tolerance_of_each(tmp_path: Path) -> None:
    run = one(status(tmp_path))
    assert [(check.name, check.passed, check.tolerance) for check in run.checks] == [
        ("all logits", True, 0.05),
        ("top 1000 logits", False, 0.03),
    ]


def test_a_status_without_a_verdict_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "status.txt"
    path.write_text("Complete Error Summary\n")
    with pytest.raises(UnreadableInput, match="cut off before the verdict"):
        read([path])


def test_a_line_of_totals_that_is_none_is_named(tmp_path: Path) -> None:
    path = events(tmp_path)
    path.write_text(path.read_text() + "neuron_rt\tnrt_execute\tmany\n")
    with pytest.raises(UnreadableInput, match="no event totals in line 3"):
        read([path])


def test_a_log_whose_score_was_never_printed_keeps_its_report(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_text(f"Beginning benchmark sampling\n{report(tmp_path).read_text()}\n")
    assert one(path).prompt == 2


@pytest.mark.skipif(not SHARED.exists(), reason="no real files beside the repository")
def test_points_of_real_scores_are_those_the_challenge_printed() -> None:
    path = SHARED / "thustorage-trn3_score_records.csv"
    printed = [float(row["final_score"]) for row in csv.DictReader(path.read_text().splitlines())]
    assert [points(totals(run), run).value for run in read([path])] == pytest.approx(printed, rel=1e-9)


@pytest.mark.skipif(not SHARED.exists(), reason="no real files beside the repository")
def test_a_real_log_its_report_and_its_events_come_together() -> None:
    log = SHARED / "hwang-compile_and_benchmark.log"
    runs = read([log, SHARED / "hwang-deep_profile_candidate_v2-prompt4.json"])
    assert [(run.prompt, len(run.artifacts)) for run in runs] == [(0, 1), (4, 2)]
    totals_ = [SHARED / "hwang-runtime_event_totals-p0.tsv", SHARED / "hwang-model_event_totals-p0.tsv"]
    assert len(one(*totals_).configuration["events"]) == 20 + 4


def profile(folder: Path, name: str, seconds: float, **changed: Any) -> Path:
    record = {"total_time": 2 * seconds, "total_exec_time": seconds, "instance_type": "trn3.48xlarge"}
    path = folder / name
    path.write_text(json.dumps({f"n_{'0a' * 20}": record | {"profiler_version": "2.32.0.1"} | changed}))
    return path


def test_profiles_of_both_graphs_fill_the_rows_of_their_report(tmp_path: Path) -> None:
    paths = [
        profile(tmp_path, "prefill.json", 0.3),
        profile(tmp_path, "decode.json", 0.004),
        report(tmp_path),
    ]
    run = one(*paths)
    assert [(row.phase, row.slot, row.count) for row in run.launches] == [
        ("prefill", "unattributed", 1),
        ("prefill", "dispatch", 1),
        ("decode", "unattributed", 585),
        ("decode", "dispatch", 585),
        ("host", "host", 586),
    ]
    assert (run.target, run.prompt, len(run.profiles), len(run.artifacts)) == ("trn3", 2, 2, 3)
    found = totals(run)
    assert found.e2e_ns is not None
    assert sum(row.count * row.time_ns for row in run.launches) == pytest.approx(found.e2e_ns.value, rel=1e-6)


def graph(folder: Path, model: str, number: int, seconds: float) -> Path:
    """A profile where NxD Inference keeps the graph of a bucket."""
    place = folder / model / f"_tp0_bk{number}"
    place.mkdir(parents=True)
    return profile(place, "summary.json", seconds)


def test_every_bucket_of_decode_has_its_own_steps_and_time(tmp_path: Path) -> None:
    decode = [graph(tmp_path, "token_generation_model", n, s) for n, s in enumerate((0.002, 0.003, 0.004))]
    prefill = graph(tmp_path, "context_encoding_model", 0, 0.3)
    run = one(*decode, prefill, report(tmp_path))
    own = [row for row in run.launches if row.slot == "unattributed"]
    assert [(row.phase, row.bucket, row.count, row.time_ns) for row in own] == [
        ("prefill", 128, 1, 300_000_000),
        ("decode", 128, 74, 2_000_000),
        ("decode", 256, 128, 3_000_000),
        ("decode", 640, 383, 4_000_000),
    ]
    # What the report's mean of a step has beyond the device is the same in every bucket.
    beyond = STEP - (74 * 2 + 128 * 3 + 383 * 4) / 585
    dispatch = [row for row in run.launches if (row.slot, row.phase) == ("dispatch", "decode")]
    assert [row.time_ns for row in dispatch] == [pytest.approx(beyond * 1e6, abs=1)] * 3
    found = totals(run)
    assert found.decode_ns_per_token is not None
    assert found.decode_ns_per_token.value == pytest.approx(STEP * 1e6)
    assert len(run.profiles) == 4


def test_a_bucket_without_a_profile_takes_the_mean_and_one_that_never_ran_stays_alone(tmp_path: Path) -> None:
    paths = [
        graph(tmp_path, "token_generation_model", 2, 0.004),
        graph(tmp_path, "context_encoding_model", 0, 0.3),
        graph(tmp_path, "context_encoding_model", 1, 0.5),
    ]
    runs = read([*paths, report(tmp_path)])
    run = next(each for each in runs if each.prompt == 2)
    decode = {(row.slot, row.bucket): row for row in run.launches if row.phase == "decode"}
    assert decode["unattributed", 128].time_ns == decode["unattributed", 256].time_ns == STEP * 1e6
    assert decode["unattributed", 640].time_ns == 4_000_000
    assert decode["dispatch", 640].time_ns == pytest.approx((STEP - 4) * 1e6)
    assert len(runs) == 2, "the prompt fits the first bucket: the second one's graph was not executed"


def test_two_profiles_of_one_phase_are_two_runs_beside_the_report(tmp_path: Path) -> None:
    paths = [profile(tmp_path, "decode_a.json", 0.003), profile(tmp_path, "decode_b.json", 0.004)]
    assert len(read([*paths, report(tmp_path)])) == 3


def test_profiles_of_another_machine_do_not_join_the_score(tmp_path: Path) -> None:
    other = profile(tmp_path, "decode.json", 0.004, instance_type="trn2.48xlarge")
    assert len(read([other, report(tmp_path), score(tmp_path)])) == 2


def test_a_kernels_profile_beside_a_report_stays_a_run_of_its_own(tmp_path: Path) -> None:
    runs = read([profile(tmp_path, "router.json", 0.004), report(tmp_path)])
    assert [run.prompt for run in runs] == [None, 2]


def test_prefill_and_decode_without_a_report_are_one_run_of_no_prompt(tmp_path: Path) -> None:
    run = one(profile(tmp_path, "model_cte.json", 0.3), profile(tmp_path, "model_tkg.json", 0.004))
    assert [(row.phase, row.count) for row in run.launches] == [("prefill", 1), ("decode", 1)]
    assert (run.prompt, run.new_tokens) == (None, None)
    assert totals(run).e2e_ns is None, "one execution of each graph is not a request"
