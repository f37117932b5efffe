"""The tensor engine held below its rate."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, ordered
from analysis.rules.thresholds import THROTTLED_SHARE

RULE = "throttled"


def check(evidence: Evidence) -> Outcome:
    """Fires when a profiler saw the tensor engine's rate limited for a part of the launch."""
    profile = evidence.profile
    if profile is None:
        return CannotTell(RULE, "the launch has no profile")
    limited = [
        float(value)
        for name, value in profile.raw.items()
        if name.startswith("throttle_active_nc")
        and name.endswith("_time_ns")
        and isinstance(value, int | float)
    ]
    if not limited or not profile.duration_ns:
        return CannotTell(RULE, "the profile has no throttle notifications")
    share, active = max(limited) / profile.duration_ns, profile.engines.get("tensor") or 0.0
    if share < THROTTLED_SHARE:
        return None
    return Finding(
        RULE,
        "the tensor engine is throttled",
        f"its rate was limited for {max(limited) / 1e3:.3g} us, {share:.0%} of the launch; it is active "
        f"{active:.0%}",
        "full rate, reached after about 3 us of steady use",
        ordered(0.0, share * active / 4, share * active / 2),
        "Keep the tensor engine busy in long stretches: group matmuls instead of alternating with waits.",
    )
