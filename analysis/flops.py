"""The share of multiply-accumulates that NKI kernels do, as the challenge counts it and as it really is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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

    One execution of the prefill graph and one of the decode graph, both of the smallest bucket, with equal
    weight: the source reads the HLO of `context_encoding_model/_tp0_bk0` and of
    `token_generation_model/_tp0_bk0`. A device run that read those files itself is believed.
    """
    if isinstance(read := run.configuration.get("nki_flops_share"), int | float):
        return FlopsShare(float(read), "MACs in the compiled HLO of the smallest bucket's two graphs")
    graphs = {phase: graph(run.launches, phase) for phase in GRAPHS}
    value = _share([each for listed in graphs.values() for each in listed])
    if value is None:
        return None
    buckets = {phase: _bucket(listed) for phase, listed in graphs.items() if listed}
    named = ", ".join(f"{phase} bucket {bucket or 'unknown'}" for phase, bucket in buckets.items())
    caveats = [*_unlike(buckets), *_unplugged(run.launches)]
    return FlopsShare(value, "; ".join([f"MACs of one execution of each graph ({named})", *caveats]))


def honest_share(run: Run) -> FlopsShare | None:
    """NKI's share of the MACs the run executed, every bucket by how often it ran; None when unknown."""
    value = _share([(launch, launch.count) for launch in run.launches])
    basis = "; ".join(["MACs of every launch times how often it ran", *_unplugged(run.launches)])
    return None if value is None else FlopsShare(value, basis)


def graph(launches: Iterable[Launch], phase: str) -> list[tuple[Launch, float]]:
    """One execution of a phase's graph of the smallest bucket: its launches and how often each runs in it.

    The slot that runs least (final norm, head: once an execution) says how often the graph ran in all buckets
    together.
    """
    by_slot: dict[str, list[Launch]] = defaultdict(list)
    for launch in launches:
        if launch.phase == phase:
            by_slot[launch.slot].append(launch)
    counts = {slot: sum(launch.count for launch in listed) for slot, listed in by_slot.items()}
    executions = max(1, min(counts.values(), default=1))
    smallest = {slot: min(listed, key=lambda launch: launch.bucket or 0) for slot, listed in by_slot.items()}
    return [(smallest[slot], counts[slot] / executions) for slot in by_slot]


def _bucket(listed: Sequence[tuple[Launch, float]]) -> int | None:
    return min((launch.bucket for launch, _ in listed if launch.bucket is not None), default=None)


def _share(counted: Iterable[tuple[Launch, float]]) -> float | None:
    known = [(launch, launch.macs * times) for launch, times in counted if launch.macs is not None]
    whole = sum(macs for _, macs in known)
    return sum(macs for launch, macs in known if launch.nki) / whole if whole else None


def _unplugged(launches: Iterable[Launch]) -> list[str]:
    """What simulated kernels do not count as NKI's, because the NxD Inference plug-in does not run them."""
    simulated = (launch for launch in launches if launch.provenance == "simulated" and not launch.nki)
    names = sorted({f"{launch.slot}={launch.variant}" for launch in simulated})
    return [f"without {', '.join(names)}, which the plug-in does not run in NxD Inference"] if names else []


def _unlike(buckets: Mapping[str, int | None]) -> list[str]:
    caveats = []
    if missing := [phase for phase in GRAPHS if phase not in buckets]:
        caveats.append(f"the run has no {' or '.join(missing)} launches")
    if other := sorted({bucket for bucket in buckets.values() if bucket} - {CHALLENGE_BUCKET}):
        caveats.append(f"the challenge reads bucket {CHALLENGE_BUCKET}, this run only has {other[0]}")
    return caveats
