"""Time in collectives between ranks."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, ordered
from analysis.rules.thresholds import COLLECTIVE_SHARE

RULE = "collectives"
SLOTS = frozenset({"all_reduce", "all_gather", "reduce_scatter"})


def check(evidence: Evidence) -> Outcome:
    """Fires for collective rows that are a large part of the end-to-end time."""
    launch, share = evidence.launch, evidence.share
    if not SLOTS & set(launch.covers):
        return None
    if share is None:
        return CannotTell(RULE, "the run has no end-to-end time")
    if share < COLLECTIVE_SHARE:
        return None
    floor = launch.low_ns / launch.time_ns if launch.low_ns is not None and launch.time_ns else 0.0
    return Finding(
        RULE,
        "collectives",
        f"{launch.count:,} × {launch.time_ns / 1e3:.3g} us of {launch.slot} are {share:.0%} of end to end "
        f"({launch.provenance})",
        f"the low end of its bounds, {floor:.0%} of it",
        ordered(0.0, (1 - floor) / 2, 1 - floor),
        "Overlap the collective with the next kernel's weight loads, or reduce the number of collectives "
        "a layer.",
    )
