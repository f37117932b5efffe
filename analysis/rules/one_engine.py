"""Elementwise work piled on one engine while others that could do it idle."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, resource_gain
from analysis.rules.thresholds import SERIAL_ACTIVE, SERIAL_IDLE

RULE = "one_engine"
SHARERS = ("vector", "scalar", "gpsimd")


def check(evidence: Evidence) -> Outcome:
    """Fires when one of vector, scalar and GpSimd is busy and another is nearly idle."""
    profile = evidence.profile
    if profile is None:
        return CannotTell(RULE, "the launch has no profile")
    active = {name: value for name in SHARERS if (value := profile.engines.get(name)) is not None}
    if len(active) < len(SHARERS):
        return CannotTell(RULE, "the profile does not say how active each engine was")
    busiest, idlest = max(active, key=active.__getitem__), min(active, key=active.__getitem__)
    if active[busiest] < SERIAL_ACTIVE or active[idlest] > SERIAL_IDLE:
        return None
    even = (active[busiest] + active[idlest]) / 2
    return Finding(
        RULE,
        f"{busiest} does it all",
        f"{busiest} is active {active[busiest]:.0%}, {idlest} {active[idlest]:.0%}",
        f"both active {even:.0%}",
        resource_gain(profile, busiest, busiest, 1 - even / active[busiest]),
        f"Move copies, casts and multiply-adds from {busiest} to {idlest} with engine=.",
    )
