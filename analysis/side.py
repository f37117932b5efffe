"""One run's launches of a row, folded into one line: time, engines and bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analysis.align import UNATTRIBUTED
from analysis.estimate import Provenances, part, total
from collectors.records import ENGINE_NAMES, Launch, Profile, Run


@dataclass(frozen=True, slots=True)
class Side:
    """One run's launches of a row. `time_ns` and bytes are per token (decode) or per request (else).

    `engines` are active fractions weighted by time over the launches that were profiled, None where none
    says. Bytes are None unless every launch with a profile says them. `provenance` is by time. `low_ns` and
    `high_ns` are the interval of `time_ns`, every launch at its own end at once, None where one has none.
    """

    variants: tuple[str, ...]
    kernels: tuple[str, ...]
    profile_ids: tuple[str, ...]
    executions: int
    total_ns: int
    time_ns: float
    engines: Mapping[str, float | None]
    dma_bytes: float | None
    hbm_bytes: float | None
    provenance: Provenances
    low_ns: float | None = None
    high_ns: float | None = None


def side(run: Run, launches: Sequence[Launch], per: int) -> Side | None:
    """The launches as one line, per `per` tokens or requests; None when there are none."""
    if not launches:
        return None
    found = ((launch, run.profiles.get(launch.profile_id or "")) for launch in launches)
    profiled = [(launch, profile) for launch, profile in found if profile is not None]
    own = [(launch, profile) for launch, profile in profiled if _is_its_own(launch, profile)]
    total_ns = total_of(launches)
    spent = total(part(launch) for launch in launches).scaled(1 / per)
    return Side(
        variants=tuple(dict.fromkeys(launch.variant for launch in launches)),
        kernels=tuple(dict.fromkeys(profile.kernel for _, profile in profiled)),
        profile_ids=tuple(dict.fromkeys(profile.profile_id for _, profile in profiled)),
        executions=sum(launch.count for launch in launches),
        total_ns=total_ns,
        time_ns=total_ns / per,
        engines={name: _weighted(own, name) for name in ENGINE_NAMES},
        dma_bytes=_bytes(own, per, lambda profile: profile.dma_bytes),
        hbm_bytes=_bytes(own, per, hbm_bytes),
        provenance=spent.provenance,
        low_ns=spent.low,
        high_ns=spent.high,
    )


def total_of(launches: Sequence[Launch]) -> int:
    """Σ count × time, an exact integer of ns."""
    return sum(launch.count * launch.time_ns for launch in launches)


def hbm_bytes(profile: Profile) -> int | None:
    """Bytes a profile read from and wrote to HBM, None when either is unknown."""
    if profile.hbm_read_bytes is None or profile.hbm_write_bytes is None:
        return None
    return profile.hbm_read_bytes + profile.hbm_write_bytes


def _is_its_own(launch: Launch, profile: Profile) -> bool:
    """Whether the profile is the launch's alone: what no slot claims carries that of its whole graph."""
    return launch.slot != UNATTRIBUTED or launch.time_ns == profile.duration_ns


def _weighted(profiled: Sequence[tuple[Launch, Profile]], engine: str) -> float | None:
    known = [
        (launch.count * launch.time_ns, active)
        for launch, profile in profiled
        if (active := profile.engines.get(engine)) is not None
    ]
    whole = sum(weight for weight, _ in known)
    return math.fsum(weight * active for weight, active in known) / whole if whole else None


def _bytes(
    profiled: Sequence[tuple[Launch, Profile]], per: int, read: Callable[[Profile], int | None]
) -> float | None:
    amounts = [(launch.count, read(profile)) for launch, profile in profiled]
    known = [count * amount for count, amount in amounts if amount is not None]
    return sum(known) / per if known and len(known) == len(amounts) else None
