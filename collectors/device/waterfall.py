"""Where the end-to-end time of a prompt goes: prefill, decode, and the host time no profiler shows.

end to end = context encoding + Σ token generation + host. All but host time is under the clock in the timing
pass, so host time is what they leave; of the official baselines it is a third to a half.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from collectors.records import Launch, Phase, Sample

METRICS: Mapping[str, Phase] = {"prefill_ns": "prefill", "decode_ns": "decode"}


@dataclass(frozen=True, slots=True)
class Graph:
    """A compiled graph: its phase and its bucket, None where what was measured tells no buckets apart."""

    phase: Phase
    bucket: int | None


@dataclass(frozen=True, slots=True)
class Timing:
    """The timing pass: end-to-end nanoseconds of every repetition, and of every call of every graph."""

    e2e_ns: tuple[float, ...]
    calls: Mapping[Graph, tuple[tuple[float, ...], ...]]
    """For each graph, a row a repetition, a value a call."""

    @property
    def repetitions(self) -> int:
        """Generations under the clock."""
        return len(self.e2e_ns)

    def executions(self, graph: Graph) -> int:
        """Calls of a graph in one generation."""
        return max((len(row) for row in self.calls.get(graph, ())), default=0)

    def call_ns(self, graph: Graph) -> float:
        """Mean time of one call of a graph, seen from the host."""
        return fmean(value for row in self.calls[graph] for value in row)

    def graph_ns(self, repetition: int) -> float:
        """Time inside all graphs in one generation."""
        return sum(sum(rows[repetition]) for rows in self.calls.values() if repetition < len(rows))

    @property
    def host_ns(self) -> tuple[float, ...]:
        """Host time of every repetition: what the graphs leave of the end-to-end time."""
        return tuple(whole - self.graph_ns(n) for n, whole in enumerate(self.e2e_ns))


def timing(events: Iterable[Mapping[str, Any]]) -> Timing:
    """The timing pass from a child's sample events."""
    e2e: dict[int, float] = {}
    calls: dict[Graph, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        repetition = int(event["repetition"])
        if event["metric"] == "e2e_ns":
            e2e[repetition] = event["values"][0]
        elif event["metric"] in METRICS:
            graph = Graph(METRICS[event["metric"]], int(event["bucket"]))
            calls[graph][repetition] += event["values"]
    repetitions = range(max(e2e, default=-1) + 1)
    rows = {graph: tuple(tuple(of[n]) for n in repetitions) for graph, of in calls.items()}
    return Timing(tuple(e2e[n] for n in repetitions), rows)


def samples(measured: Timing) -> tuple[Sample, ...]:
    """Every sample under the vocabulary of the store: e2e_ns, ttft_ns, decode_ns, host_ns."""
    rows = [Sample("e2e_ns", n, value) for n, value in enumerate(measured.e2e_ns)]
    rows += [Sample("host_ns", n, value) for n, value in enumerate(measured.host_ns)]
    for graph in sorted(measured.calls, key=lambda graph: (graph.phase, graph.bucket or 0)):
        metric = "ttft_ns" if graph.phase == "prefill" else "decode_ns"
        for n, values in enumerate(measured.calls[graph]):
            rows += [Sample(metric, n, value) for value in values]
    return tuple(rows)


def launches(
    measured: Timing, profiled: Mapping[Graph, Sequence[Launch]], new_tokens: int
) -> tuple[tuple[Launch, ...], tuple[str, ...]]:
    """The rows of a measured run, and warnings.

    A profiled graph's rows are multiplied by how often it ran, with a row for what the host saw beyond
    them (submitting the graph and waiting for it). A graph without a profile is one unattributed row.
    """
    rows: list[Launch] = []
    warnings: list[str] = []
    for graph in sorted(measured.calls, key=lambda graph: (graph.phase == "decode", graph.bucket or 0)):
        executions, call_ns = measured.executions(graph), measured.call_ns(graph)
        own = [_repeated(row, graph, executions) for row in profiled.get(graph, ())]
        device_ns = sum(row.count * row.time_ns for row in own) / executions
        left = call_ns - device_ns
        if own and left < 0:
            warnings.append(
                f"{graph.phase} bucket {graph.bucket}: the profile takes {device_ns / 1e6:.3f} ms, the call "
                f"without the profiler {call_ns / 1e6:.3f} ms; that execution was not a typical one."
            )
        slot = "dispatch" if own else "unattributed"
        rest = [_measured(slot, graph.phase, graph.bucket, executions, left)] if left > 0 else []
        rows += [*own, *rest]
    host = fmean(measured.host_ns)
    rows.append(_measured("host", "host", None, new_tokens, host / new_tokens))
    return tuple(rows), tuple(warnings)


def _repeated(row: Launch, graph: Graph, executions: int) -> Launch:
    return replace(row, phase=graph.phase, bucket=graph.bucket, count=row.count * executions)


def _measured(slot: str, phase: Phase, bucket: int | None, count: int, time_ns: float) -> Launch:
    return Launch(
        slot=slot,
        covers=(slot,),
        variant="measured",
        phase=phase,
        bucket=bucket,
        count=count,
        provenance="measured",
        time_ns=round(time_ns),
        low_ns=None,
        high_ns=None,
        nki=False,
    )
