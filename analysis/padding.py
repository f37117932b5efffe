"""How much of what experts multiply is padding: rows of blocks and of tiles that no token's choice fills."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from collectors.records import Launch, Phase, Run

EXPERTS = frozenset({"experts_prefill", "experts_decode"})
PHASES: tuple[Phase, ...] = ("prefill", "decode")


@dataclass(frozen=True, slots=True)
class Padding:
    """A phase's share of padding, 0 to 1, and one sentence on what was counted."""

    phase: Phase
    share: float
    basis: str


def padding(run: Run) -> tuple[Padding, ...]:
    """The share of padding of each phase whose launches of experts say what they executed.

    1 - needed / executed, in multiply-accumulates: needed by real tokens with the experts they chose
    (`configuration["needed_macs"]`), executed by the tensor engine of both cores. What both cores repeat, and
    bookkeeping by matmul, counts as executed. Empty where a run does not say (a device's, an older one).
    """
    needed = run.configuration.get("needed_macs") or {}
    found = ((phase, needed.get(phase), _executed(run, phase)) for phase in PHASES)
    return tuple(
        Padding(phase, max(0.0, 1 - wanted / executed), f"{wanted:.3g} of {executed:.3g} MACs were needed")
        for phase, wanted, executed in found
        if wanted and executed
    )


def _executed(run: Run, phase: Phase) -> int | None:
    launches = [one for one in run.launches if one.phase == phase and not EXPERTS.isdisjoint(one.covers)]
    counted = [macs * one.count for one in launches if (macs := _macs(run, one)) is not None]
    return sum(counted) if len(counted) == len(launches) else None


def _macs(run: Run, launch: Launch) -> int | None:
    profile = run.profiles.get(launch.profile_id or "")
    return profile.macs if profile else None


def padded(found: Iterable[Padding], phase: Phase) -> float | None:
    """One phase's share, None where it is not known."""
    return next((each.share for each in found if each.phase == phase), None)
