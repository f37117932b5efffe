"""One core of a pair does more than the other."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, ordered
from analysis.rules.thresholds import CORE_IMBALANCE

RULE = "core_imbalance"


def check(evidence: Evidence) -> Outcome:
    """Fires when the cores' busy times differ, a core that does nothing included."""
    profile, busy = evidence.profile, evidence.signals.core_busy_ns
    if profile is None or busy is None:
        return CannotTell(RULE, "needs the Instruction table")
    if profile.lnc < 2:
        return None
    times = sorted(busy.values(), reverse=True) + [0] * (profile.lnc - len(busy))
    most, least = max(times), min(times)
    if not most or (most - least) / most < CORE_IMBALANCE:
        return None
    even = sum(times) / len(times) / most
    idle = "one core idles" if not least else "the cores are uneven"
    share = most / profile.duration_ns
    return Finding(
        RULE,
        idle,
        f"the cores work {', '.join(f'{time / 1e3:.3g}' for time in times)} us of "
        f"{profile.duration_ns / 1e3:.3g} us",
        "the same work split evenly",
        ordered(0.0, (1 - even) * share * share, (1 - even) * share),
        "Split the work by nl.program_id over both cores (experts, heads or columns).",
    )
