"""Which launches of two runs do the same work: slots joined by whatever covers several of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analysis.estimate import Part
from analysis.statistics import Pair
from collectors.records import Launch, Phase, Run

UNATTRIBUTED, DISPATCH = "unattributed", "dispatch"
"""Slots of measured time: of a graph that no slot of the model claims, and of a call beyond its graph."""


@dataclass(frozen=True, slots=True)
class Group:
    """Launches of both runs that fill the same slots of a phase.

    A fused kernel fills several slots, so the other run's kernels of those slots stand together against it. A
    side is empty where that run has no launch there.
    """

    phase: Phase
    slots: tuple[str, ...]
    base: tuple[Launch, ...]
    candidate: tuple[Launch, ...]


def align(base: Run, candidate: Run) -> tuple[Group, ...]:
    """Groups of launches, in order of execution; every launch of both runs is in exactly one."""
    groups: list[Group] = []
    phases = dict.fromkeys(launch.phase for launch in (*base.launches, *candidate.launches))
    for phase in phases:
        before = [launch for launch in base.launches if launch.phase == phase]
        after = [launch for launch in candidate.launches if launch.phase == phase]
        joined = components([launch.covers or (launch.slot,) for launch in (*before, *after)])
        if any(_undivided(side) for side in (before, after)) and before and after:
            # A phase of which only the sum is known can be compared with nothing less than the other's sum.
            joined = (tuple(slot for slots in joined for slot in slots),)
        elif phase == "kernel" and all(
            len({launch.slot for launch in side}) == 1 for side in (before, after)
        ):
            # Two single kernels are compared with each other, whatever their functions are called.
            joined = (tuple(slot for slots in joined for slot in slots),)
        groups += [Group(phase, slots, _within(before, slots), _within(after, slots)) for slots in joined]
    return tuple(groups)


def _undivided(launches: Iterable[Launch]) -> bool:
    """Whether a phase was timed as a whole: nothing but time of no slot, and what the host saw beyond it."""
    return {launch.slot for launch in launches} - {DISPATCH} == {UNATTRIBUTED}


def components(covers: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Connected components of slots, where each tuple of slots is joined; in order of first appearance."""
    joined: list[dict[str, None]] = []
    for slots in covers:
        touching = [group for group in joined if not group.keys().isdisjoint(slots)]
        merged = {slot: None for group in touching for slot in group} | dict.fromkeys(slots)
        if touching:
            touching[0].clear()
            touching[0].update(merged)
            joined = [group for group in joined if not any(group is other for other in touching[1:])]
        else:
            joined.append(merged)
    return tuple(tuple(group) for group in joined)


def pairs(group: Group, *, executions: dict[int, int] | None = None) -> tuple[Pair, ...]:
    """A group's launches as pairs for a difference of sums.

    Launches that are the same execution in both runs (same profile, or same estimate) pair off and cancel;
    the rest of each side is summed against the rest of the other. `executions` gives how often a launch
    counts, by `id`, where that is not its count.
    """
    times = executions or {}
    rest = list(group.candidate)
    found: list[Pair] = []
    left: list[Launch] = []
    for launch in group.base:
        match = next((other for other in rest if _same_execution(launch, other, times)), None)
        if match is None:
            left.append(launch)
            continue
        rest.remove(match)
        found.append(Pair(_part(launch, times), _part(match, times), identical=True))
    if left or rest:
        found.extend(
            _changed([_part(launch, times) for launch in left], [_part(launch, times) for launch in rest])
        )
    return tuple(found)


def _changed(before: list[Part], after: list[Part]) -> list[Pair]:
    """One pair per provenance combination: a sum keeps one provenance only when all of its parts have it."""
    kinds = {part.provenance for part in (*before, *after)}
    if len(kinds) == 1:
        return [Pair(_summed(before), _summed(after))]
    return [
        Pair(
            _summed([p for p in before if p.provenance == kind]),
            _summed([p for p in after if p.provenance == kind]),
        )
        for kind in sorted(kinds)
    ]


def _summed(parts: list[Part]) -> Part | None:
    if not parts:
        return None
    lows = [part.low for part in parts if part.low is not None]
    highs = [part.high for part in parts if part.high is not None]
    low = sum(lows) if len(lows) == len(parts) else None
    high = sum(highs) if len(highs) == len(parts) else None
    return Part(sum(part.value for part in parts), low, high, parts[0].provenance)


def _same_execution(a: Launch, b: Launch, times: dict[int, int]) -> bool:
    if (
        times.get(id(a), a.count) != times.get(id(b), b.count)
        or a.bucket != b.bucket
        or a.time_ns != b.time_ns
    ):
        return False
    if a.profile_id is not None or b.profile_id is not None:
        return a.profile_id == b.profile_id
    return a.provenance == b.provenance == "estimated" and a.formula == b.formula


def _part(launch: Launch, times: dict[int, int]) -> Part:
    count = times.get(id(launch), launch.count)
    low, high = (None if end is None else count * end for end in (launch.low_ns, launch.high_ns))
    return Part(count * launch.time_ns, low, high, launch.provenance)


def _within(launches: Iterable[Launch], slots: tuple[str, ...]) -> tuple[Launch, ...]:
    return tuple(launch for launch in launches if launch.slot in slots)
