"""The time and the traffic of a whole graph, divided among the slots of the model.

Engines work at once, so durations do not add up to time: `shares` says whose each moment is. A transfer is
its issuing instruction's (`issuers`), else its variable's name says whose, as a weight's does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from collectors.readers.files import digest
from collectors.readers.labels import NOBODY, Labelled, labelled
from collectors.readers.rows import Covered
from collectors.readers.shares import Times, shares_ns
from collectors.readers.slots import UNATTRIBUTED, Place
from collectors.records import ENGINE_NAMES, Launch, Phase, Profile, Run

BASIS = "a part of one execution of the graph: the moments in which this slot's instructions work or are next"
NO_SLOT = "no source line or layer says which slot it is."
TOLD = 1e-3
"""Share of time or bytes from which what is nobody's is said."""


@dataclass(frozen=True, slots=True)
class _Moved:
    """Transfers of a place: number, bytes, descriptors, the time any of them ran; None where not known."""

    transfers: int | None = None
    bytes: int | None = None
    descriptors: int | None = None
    spent_ns: float | None = None


def attributed(run: Run, phase: Phase | None, *, whole: bool = False) -> Run:
    """The run of one graph with a launch per slot, and one for what no slot claims.

    A profile that names fewer than two slots is a single kernel's and stays as it is, unless `whole` says
    that it is a model's graph. Without rows of instructions a graph is one unattributed launch. A run that
    was divided before stays as it is.
    """
    if len(run.launches) != 1 or (profile := run.profiles.get(run.launches[0].profile_id or "")) is None:
        return run
    if run.launches[0].slot == UNATTRIBUTED:
        return run
    found = labelled({**profile.tables, **profile.scans}, phase, least=1 if whole else 2)
    if found is not None:
        return _divided(run, profile, found, phase)
    return _nobodys(run, phase) if whole else run


def _nobodys(run: Run, phase: Phase | None) -> Run:
    rest = replace(run.launches[0], slot=UNATTRIBUTED, covers=(UNATTRIBUTED,), variant="measured", nki=False)
    said = f"100.0% of the graph's time is unattributed: {NO_SLOT}"
    launches = (replace(rest, phase=phase or rest.phase),)
    return replace(run, launches=launches, warnings=(*run.warnings, said))


def _divided(run: Run, profile: Profile, found: Labelled, phase: Phase | None) -> Run:
    times = shares_ns([found.at_work(at) for at in range(len(found.places))], (0, profile.duration_ns))
    whole = np.diff(np.round(np.cumsum(times)), prepend=0.0).astype(np.int64).tolist()
    moved = _moved(found)
    launches, profiles = [], {profile.profile_id: profile}
    for at, (each, time_ns) in enumerate(zip(found.places, whole, strict=True)):
        if not time_ns:
            continue
        own = profile if each == NOBODY else _part(profile, found, at, time_ns, moved[at])
        profiles[own.profile_id] = own
        launches.append(_launch(each, own, time_ns, phase))
    return replace(
        run,
        launches=tuple(launches),
        profiles=profiles,
        kernels=_kernels(found.places),
        warnings=(*run.warnings, *_said(times, moved)),
    )


def _moved(found: Labelled) -> Sequence[_Moved]:
    """Traffic by place."""
    rows = found.transfers
    if rows is None:
        return [_Moved()] * len(found.places)
    known = bool((rows["descriptors"] >= 0).all())
    parts = []
    for at in range(len(found.places)):
        mine = rows["place"] == at
        descriptors = int(rows["descriptors"][mine].sum()) if known else None
        spent = Covered.of(rows["start_ts"][mine], rows["end_ts"][mine]).total_ns
        parts.append(_Moved(int(mine.sum()), int(rows["moved"][mine].sum()), descriptors, spent))
    return parts


def _part(profile: Profile, found: Labelled, at: int, time_ns: int, moved: _Moved) -> Profile:
    """What the rows of one slot say."""
    place, sums = found.places[at], found.sums(at)
    return replace(
        profile,
        profile_id=digest(profile.profile_id, *place.covers, place.variant),
        kernel=place.slot,
        duration_ns=time_ns,
        interval_basis=BASIS,
        engines=_engines(found, at, time_ns, moved.spent_ns),
        hbm_read_bytes=sums["hbm_read"],
        hbm_write_bytes=sums["hbm_write"],
        dma_bytes=moved.bytes,
        dma_transfers=moved.transfers,
        dma_descriptors=moved.descriptors,
        macs=sums["flops"] // 2,
        instructions=sums["rows"],
        raw={"graph": profile.profile_id},
        tables={},
        scans={},
    )


def _engines(found: Labelled, at: int, time_ns: int, dma_ns: float | None) -> Mapping[str, float | None]:
    """Active time over the slot's time, at most 1: its work goes on in moments that are others' too."""
    spent = {name: found.at_work(at, name).total_ns for name in ENGINE_NAMES if name != "dma"} | {
        "dma": dma_ns
    }
    return {name: None if each is None else min(each / time_ns, 1.0) for name, each in spent.items()}


def _launch(place: Place, profile: Profile, time_ns: int, phase: Phase | None) -> Launch:
    return Launch(
        slot=place.slot,
        covers=place.covers,
        variant=place.variant,
        phase=phase or "kernel",
        bucket=None,
        count=1,
        provenance="measured",
        time_ns=time_ns,
        low_ns=None,
        high_ns=None,
        macs=None if place == NOBODY else profile.macs,
        nki=place.nki,
        profile_id=profile.profile_id,
    )


def _kernels(places: Iterable[Place]) -> dict[str, str]:
    return {slot: each.variant for each in places if each != NOBODY for slot in each.covers}


def _said(times: Times, moved: Sequence[_Moved]) -> list[str]:
    """Which share of the graph is nobody's: of its time, and of what its transfers moved."""
    rest, said = float(times[-1] / times.sum()), []
    if rest >= TOLD:
        said.append(f"{rest:.1%} of the graph's time is unattributed: {NO_SLOT}")
    size, transfers = sum(each.bytes or 0 for each in moved), sum(each.transfers or 0 for each in moved)
    left = moved[-1]
    if left.bytes and left.bytes / size >= TOLD:
        said.append(
            f"{left.bytes / size:.1%} of the bytes its transfers moved ({left.transfers:,} of {transfers:,} "
            "transfers) is unattributed: neither issuing instruction nor variable says which slot it is."
        )
    return said
