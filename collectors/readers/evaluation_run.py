"""An evaluation of the challenge as a run, with the profiles of its graphs where there are some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import qwen
from collectors.device.waterfall import Graph, Timing, launches
from collectors.prompts import BASELINES
from collectors.readers.evaluation import MS, Evaluation, of_score
from collectors.readers.files import digest
from collectors.records import Launch, Run, Sample

FINAL_SINCE = datetime(2026, 4, 20, tzinfo=UTC)
"""From then on the challenge's score has the factor (1 + NKI share), before it the share alone."""
ONLY_P99 = "The file has the 99th percentile of the latency alone: it stands for the mean too."


_METRIC: Mapping[str, str] = {"e2e": "e2e", "prefill": "prefill", "decode": "decode_step"}


def run_of_evaluation(one: Evaluation, graphs: Mapping[Graph, Sequence[Launch]] | None = None) -> Run:
    """A run of the evaluation's prompt. `graphs` are rows of its graphs' profiles, of one execution."""
    target, prompt = one.official
    # the log's own figure is latency times a rounded ratio
    official = BASELINES[target][prompt] if prompt is not None else (None, None)
    rows, said = _launches(one, graphs or {})
    return Run(
        run_id=digest("import", one.identity)[:32],
        session=digest("session", one.identity)[:8],
        label=one.name,
        created_at=_when(one),
        provenance="measured",
        backend="neuron",
        target=target,
        lnc=2,
        prompt=one.prompt,
        prompt_tokens=one.prompt_tokens,
        new_tokens=_new_tokens(one),
        seq_len=one.seq_len,
        batch=1,
        kernels={},
        accuracy=_accuracy(one),
        base_latency_ms=official[0] or of_score(one.score, "base_latency"),
        base_tokens_per_s=official[1] or of_score(one.score, "base_throughput"),
        configuration=_configuration(one),
        environment={},
        wall_s=0.0,
        launches=rows,
        checks=one.checks,
        samples=_samples(one),
        artifacts=one.artifacts,
        warnings=(*one.notes, *_said(one), *said),
    )


def _configuration(one: Evaluation) -> dict[str, object]:
    share = of_score(one.score, "nki_flop_ratio")
    parts = {"score": dict(one.score), "events": {name: dict(row) for name, row in one.events.items()}}
    said = {"imported": one.kind, **one.constants, **{name: part for name, part in parts.items() if part}}
    if one.p99_ms is None and one.events:
        said["kernel"] = "runtime events"
    return said | ({} if share is None else {"nki_flops_share": share})


def _samples(one: Evaluation) -> tuple[Sample, ...]:
    """The mean as the run's latency, and every percentile under a name of its own."""
    means = _event_means(one)
    if one.p99_ms is None:
        return means
    mean = one.mean_ms
    known = {"e2e_ns": mean or one.p99_ms, "e2e_p99_ns": one.p99_ms}
    for model, figures in one.report.items():
        for key, value in figures.items():
            if key.startswith("latency_ms_"):
                known.setdefault(f"{_METRIC[model]}_{key.removeprefix('latency_ms_')}_ns", value)
    if first := one.report.get("prefill", {}).get("latency_ms_avg"):
        known["ttft_ns"] = first
    return (*(Sample(metric, 0, value * MS) for metric, value in known.items()), *means)


def _event_means(one: Evaluation) -> tuple[Sample, ...]:
    """The mean time of every event whose totals have a time and are not of a whole graph."""
    return tuple(
        Sample(f"{name}_mean_ns", 0, row["total_ns"] / row["count"])
        for name, row in one.events.items()
        if row.get("count") and "total_ns" in row and "nrt_execute_ns" not in row
    )


def _launches(
    one: Evaluation, graphs: Mapping[Graph, Sequence[Launch]]
) -> tuple[tuple[Launch, ...], tuple[str, ...]]:
    """Prefill, decode steps and host time as the report has them; without its means there are no rows."""
    means = {model: figures.get("latency_ms_avg") for model, figures in one.report.items()}
    new, prefill, decode = _new_tokens(one), means.get("prefill"), means.get("decode")
    if new is None or not prefill or not decode or one.mean_ms is None:
        return (), ()
    calls: dict[Graph, tuple[tuple[float, ...], ...]] = {_graph("prefill", graphs): ((prefill * MS,),)}
    if new > 1:
        calls |= _decode_calls(one, decode * MS, new - 1, graphs)
    return launches(Timing((one.mean_ms * MS,), calls), graphs, new)


def _graph(phase: Literal["prefill", "decode"], graphs: Mapping[Graph, object]) -> Graph:
    """The profiled graph of a phase: a report tells no buckets apart."""
    return next((graph for graph in graphs if graph.phase == phase), Graph(phase, None))


def _decode_calls(
    one: Evaluation, mean_ns: float, steps: int, graphs: Mapping[Graph, Sequence[Launch]]
) -> dict[Graph, tuple[tuple[float, ...], ...]]:
    """One call a step. A report has the mean of all steps; profiles of buckets say how they differ.

    What the calls take beyond the device is spread evenly over the steps of the buckets that were profiled;
    steps of the others take the mean.
    """
    device = {
        graph: float(sum(row.count * row.time_ns for row in rows))
        for graph, rows in graphs.items()
        if graph.phase == "decode" and graph.bucket is not None
    }
    if not device or one.prompt_tokens is None or one.seq_len is None:
        return {_graph("decode", graphs): (tuple([mean_ns] * steps),)}
    ran = {Graph("decode", at): n for at, n in qwen.decode_steps(one.prompt_tokens, one.seq_len).items()}
    known = sum(ran[graph] for graph in device)
    beyond = mean_ns - sum(ran[graph] * time_ns for graph, time_ns in device.items()) / known
    return {
        graph: (tuple([device[graph] + beyond if graph in device else mean_ns] * n),)
        for graph, n in ran.items()
    }


def _new_tokens(one: Evaluation) -> int | None:
    if one.seq_len is None or one.prompt_tokens is None or one.prompt_tokens >= one.seq_len:
        return None
    return one.seq_len - one.prompt_tokens


def _accuracy(one: Evaluation) -> int | None:
    """0 as soon as a check or the score says so; None when neither says anything."""
    scored = {"1": True, "True": True, "0": False, "False": False}.get(str(one.score.get("accuracy")))
    verdicts = [check.passed for check in one.checks] + ([] if scored is None else [scored])
    return int(all(verdicts)) if verdicts else None


def _said(one: Evaluation) -> list[str]:
    if one.p99_ms is None:
        return [] if one.events else ["The files say no latency: the run has no times."]
    said = [] if one.mean_ms else [ONLY_P99]
    written, when = of_score(one.score, "final_score"), one.score.get("timestamp")
    if written and when and _when(one) < FINAL_SINCE:
        said.append(
            f"The file's own score is {written:.4g}, of a day when the challenge multiplied by the NKI share "
            "alone; points here have (1 + share), the final formula."
        )
    return said


def _when(one: Evaluation) -> datetime:
    try:
        return datetime.fromisoformat(str(one.score.get("timestamp"))).replace(tzinfo=UTC)
    except ValueError:
        return datetime.now(UTC)
