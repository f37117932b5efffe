"""Experts computing on tokens that are not there."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, ordered
from analysis.rules.thresholds import PADDING_SHARE

RULE = "padding"


def check(evidence: Evidence) -> Outcome:
    """Fires when most of the prefill experts' MACs are padding: whole blocks for few tokens."""
    launch = evidence.launch
    if "experts_prefill" not in launch.covers:
        return None
    if not launch.macs or evidence.useful_macs is None:
        return CannotTell(
            RULE, "needs MACs of the prefill and of the decode experts, and the prompt's length"
        )
    wasted = 1 - evidence.useful_macs / launch.macs
    if wasted < PADDING_SHARE:
        return None
    return Finding(
        RULE,
        "experts compute on padding",
        f"{launch.macs:,} MACs a launch where the prompt's tokens need {evidence.useful_macs:,.0f}: "
        f"{wasted:.0%} is padding",
        "blocks that hold tokens, and no others",
        ordered(0.0, wasted / 2, wasted),
        "Use smaller blocks, and skip the blocks no token was routed to.",
    )
