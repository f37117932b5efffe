"""Engines that wait for data more than they work."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.ideal import share
from analysis.rules.finding import CannotTell, Finding, Outcome, ordered
from analysis.rules.thresholds import BUSY, WAITING_SHARE
from collectors.records import Profile

RULE = "exposed_latency"
LATENCIES = ("dma_latency", "dma_issue", "semaphores")


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
    exposed = min(1 - max(active), _latency(profile))
    return Finding(
        RULE,
        "latency is exposed",
        f"the busiest compute engine ({busiest.engine}) waits {waiting:.0%} of the time, mostly for "
        f"{cause}; no engine is "
        f"active more than {max(active):.0%}",
        f"perfect overlap: the time of the busiest engine, {max(active):.0%} of this",
        ordered(0.0, exposed / 2, exposed),
        "Start the next tile's loads before this tile's compute (double buffering), and batch small "
        "dependent steps.",
    )


def _latency(profile: Profile) -> float:
    """What latencies cost the launch, one after another on its longest path; 1 where nobody knows."""
    shares = [share(profile, resource) for resource in LATENCIES]
    return sum(each for each in shares if each is not None) if None not in shares else 1.0
