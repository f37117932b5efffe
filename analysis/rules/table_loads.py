"""ScalarE reloading its function table."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, ordered
from analysis.rules.thresholds import TABLE_LOAD_SHARE

RULE = "table_loads"


def check(evidence: Evidence) -> Outcome:
    """Fires when reloads of the activation table beyond the first of each core take a part of the launch."""
    profile, loads, spent = evidence.profile, evidence.signals.table_loads, evidence.signals.table_load_ns
    if profile is None or loads is None or spent is None or not profile.duration_ns:
        return CannotTell(RULE, "needs the Instruction table")
    again = loads - profile.lnc
    if again <= 0:
        return None
    share = spent * again / loads / profile.duration_ns / profile.lnc
    if share < TABLE_LOAD_SHARE:
        return None
    active = profile.engines.get("scalar") or 0.0
    return Finding(
        RULE,
        "the activation table is reloaded",
        f"{loads} table loads take {spent / 1e3:.3g} us, {share:.0%} of each core's time beyond the first",
        "one table load a core",
        ordered(0.0, share * active, share),
        "Group activations of the same function, or use functions of one table.",
    )
