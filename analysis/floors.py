"""Every slot of a run beside the least time it could take: floor, bound, what remains, what holds it up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.estimate import Estimate, part, total
from analysis.ideal import costs, told
from analysis.machine_facts import MachineFacts
from analysis.roofline import Bounds, bounds
from analysis.side import total_of
from analysis.totals import decode_steps
from collectors.records import Launch, Phase, Run


@dataclass(frozen=True, slots=True)
class Floor:
    """One slot's variant in one phase, all buckets together; times in ns of one execution of the phase.

    An execution is a decode step, a prefill, a generated token for the host. `floor_ns` is the attainable
    bound (`analysis.roofline`), `bound` says whether memory or tensor is what it counts, and `gap_ns` is the
    time less the floor; none of them is known of a row no kernel was profiled for, whose formula is the
    `basis`. `held_up` says what costs the heaviest launch its time.
    """

    phase: Phase
    slot: str
    variant: str
    time: Estimate
    floor_ns: float | None
    bound: str
    gap_ns: float | None
    basis: str
    held_up: str


@dataclass(frozen=True, slots=True)
class PhaseFloor:
    """A phase: its time, the part of it that has floors, those floors, and what is left of that part."""

    phase: Phase
    time: Estimate
    bounded_ns: float
    floor_ns: float | None
    gap_ns: float | None


def floors(run: Run, machine: MachineFacts | None) -> tuple[Floor, ...]:
    """A row for every slot, in the order of execution; without `machine` no floor is known."""
    groups: dict[tuple[str, str, str], list[Launch]] = {}
    for launch in run.launches:
        groups.setdefault((launch.phase, launch.slot, launch.variant), []).append(launch)
    return tuple(_floor(run, found, machine) for found in groups.values())


def by_phase(run: Run, found: Sequence[Floor]) -> tuple[PhaseFloor, ...]:
    """The rows of each phase together, `found` being those of `floors`."""
    return tuple(
        _together(run, phase, [each for each in found if each.phase == phase])
        for phase in dict.fromkeys(each.phase for each in found)
    )


def _together(run: Run, phase: Phase, rows: Sequence[Floor]) -> PhaseFloor:
    launches = [launch for launch in run.launches if launch.phase == phase]
    time = total(part(launch) for launch in launches).scaled(1 / _executions(run, launches[0]), "sum of rows")
    known = [each for each in rows if each.floor_ns is not None]
    bounded = math.fsum(each.time.value for each in known)
    floor = math.fsum(each.floor_ns or 0.0 for each in known) if known else None
    return PhaseFloor(phase, time, bounded, floor, None if floor is None else bounded - floor)


def _floor(run: Run, launches: Sequence[Launch], machine: MachineFacts | None) -> Floor:
    first = max(launches, key=lambda launch: total_of((launch,)))
    per, limits = _executions(run, first), [_bounds(run, launch, machine) for launch in launches]
    time = total(part(launch) for launch in launches).scaled(1 / per, "count × time / executions")
    floor_ns = _weighted(launches, limits, per)
    limit, profile = limits[launches.index(first)], run.profiles.get(first.profile_id or "")
    return Floor(
        phase=first.phase,
        slot=first.slot,
        variant=first.variant,
        time=time,
        floor_ns=floor_ns,
        bound=limit.bound if limit and floor_ns is not None else "",
        gap_ns=None if floor_ns is None else time.value - floor_ns,
        basis=limit.basis if limit else first.formula or "",
        held_up=told(costs(profile)) if profile else "",
    )


def _bounds(run: Run, launch: Launch, machine: MachineFacts | None) -> Bounds | None:
    profile = run.profiles.get(launch.profile_id or "")
    return bounds(profile, machine) if profile and machine else None


def _weighted(launches: Sequence[Launch], limits: Sequence[Bounds | None], per: int) -> float | None:
    known = [
        launch.count * limit.floor_ns
        for launch, limit in zip(launches, limits, strict=True)
        if limit and limit.floor_ns is not None
    ]
    return math.fsum(known) / per if len(known) == len(launches) else None


def _executions(run: Run, launch: Launch) -> int:
    if launch.phase == "prefill":
        return run.batch
    found = {"decode": decode_steps(run), "host": run.new_tokens}.get(launch.phase)
    return found or 1
