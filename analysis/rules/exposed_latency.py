"""Engines that wait for data more than they work."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, ordered
from analysis.rules.thresholds import BUSY, WAITING_SHARE

RULE = "exposed_latency"


def check(evidence: Evidence) -> Outcome:
    """Fires when no engine is busy and the busiest one waits for data."""
    profile = evidence.profile
    active = [value for value in profile.engines.values() if value is not None] if profile else []
    if profile is None or not active or not evidence.signals.engine_times:
        return CannotTell(RULE, "needs the Instruction table and the engines' activity")
    busiest = max(evidence.signals.engine_times, key=lambda each: each.busy_ns)
    waiting = (busiest.waiting_data_ns + busiest.waiting_engine_ns) / profile.duration_ns
    if max(active) >= BUSY or waiting < WAITING_SHARE:
        return None
    cause = "data" if busiest.waiting_data_ns >= busiest.waiting_engine_ns else "other engines"
    return Finding(
        RULE,
        "latency is exposed",
        f"the busiest compute engine ({busiest.engine}) waits {waiting:.0%} of the time, mostly for "
        f"{cause}; no engine is "
        f"active more than {max(active):.0%}",
        f"perfect overlap: the time of the busiest engine, {max(active):.0%} of this",
        ordered(0.0, (1 - max(active)) / 2, 1 - max(active)),
        "Start the next tile's loads before this tile's compute (double buffering), and batch small "
        "dependent steps.",
    )
