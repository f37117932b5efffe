"""The share of multiply-accumulates that NKI kernels do, as the challenge counts it and as it really is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collectors.records import Launch, Run

CHALLENGE_BUCKET = 128
GRAPHS = ("prefill", "decode")


@dataclass(frozen=True, slots=True)
class FlopsShare:
    """NKI's share of multiply-accumulates, 0 to 1, and one sentence on what was counted."""

    value: float
    basis: str


def challenge_share(run: Run) -> FlopsShare | None:
    """NKI's share as aws-neuron/nki-moe main.py counts it; None when no launch says its MACs.

    Both graphs of the smallest bucket count once with equal weight, however often they run: the source reads
    the two HLO files `context_encoding_model/_tp0_bk0` and `token_generation_model/_tp0_bk0`.
    """
    graphs = {phase: _smallest_bucket(run.launches, phase) for phase in GRAPHS}
    present = {phase: launches for phase, launches in graphs.items() if launches}
    counted = [(launch, _per_graph(launch, launches)) for launches in present.values() for launch in launches]
    value = _share(counted)
    if value is None:
        return None
    buckets = ", ".join(f"{phase} {launches[0].bucket}" for phase, launches in present.items())
    return FlopsShare(value, f"MACs of one execution of each graph (bucket: {buckets}){_caveats(present)}")


def honest_share(run: Run) -> FlopsShare | None:
    """NKI's share of the MACs the run executed, every bucket by how often it ran; None when unknown."""
    value = _share([(launch, launch.count) for launch in run.launches])
    return None if value is None else FlopsShare(value, "MACs of every launch times how often it ran")


def executions_of_graph(launches: Iterable[Launch]) -> int:
    """How often one graph ran: its once-per-execution slots (norm, head) have the smallest count."""
    return max(1, min((launch.count for launch in launches), default=1))


def _smallest_bucket(launches: Sequence[Launch], phase: str) -> list[Launch]:
    by_bucket: dict[int, list[Launch]] = defaultdict(list)
    for launch in launches:
        if launch.phase == phase and launch.bucket is not None:
            by_bucket[launch.bucket].append(launch)
    return by_bucket[min(by_bucket)] if by_bucket else []


def _per_graph(launch: Launch, graph: Sequence[Launch]) -> float:
    return launch.count / executions_of_graph(graph)


def _share(counted: Iterable[tuple[Launch, float]]) -> float | None:
    known = [(launch, launch.macs * times) for launch, times in counted if launch.macs is not None]
    whole = sum(macs for _, macs in known)
    return sum(macs for launch, macs in known if launch.nki) / whole if whole else None


def _caveats(present: dict[str, list[Launch]]) -> str:
    caveats = []
    if missing := [phase for phase in GRAPHS if phase not in present]:
        caveats.append(f"the run has no {' or '.join(missing)} launches")
    if other := sorted({launches[0].bucket or 0 for launches in present.values()} - {CHALLENGE_BUCKET}):
        caveats.append(f"the challenge reads bucket {CHALLENGE_BUCKET}, this run only has {other[0]}")
    return "; " + "; ".join(caveats) if caveats else ""
