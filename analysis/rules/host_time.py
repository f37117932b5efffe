"""Time on the host, that no kernel can win back."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, ordered
from analysis.rules.thresholds import HOST_SHARE

RULE = "host_time"


def check(evidence: Evidence) -> Outcome:
    """Fires for host rows that are a large part of the end-to-end time."""
    launch, share = evidence.launch, evidence.share
    if launch.phase != "host":
        return None
    if share is None:
        return CannotTell(RULE, "the run has no end-to-end time")
    if share < HOST_SHARE:
        return None
    floor = launch.least_ns / launch.time_ns if launch.least_ns is not None and launch.time_ns else 0.0
    return Finding(
        RULE,
        "host time",
        f"{launch.slot} takes {launch.time_ns / 1e6:.3g} ms a token, {share:.0%} of end to end "
        f"({launch.provenance})",
        f"what is left of it under other settings, {floor:.0%} of it",
        ordered(0.0, (1 - floor) / 2, 1 - floor),
        "Sample on the device and run asynchronously, so that logits stay off the host.",
    )
