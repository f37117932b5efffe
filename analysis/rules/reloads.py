"""More bytes moved over HBM than the kernel's inputs and outputs are."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.roofline import necessary_bytes
from analysis.rules.finding import CannotTell, Finding, Outcome, engine_gain
from analysis.rules.thresholds import DMA_MATTERS, RELOAD_RATIO
from analysis.side import hbm_bytes

RULE = "reloads"


def check(evidence: Evidence) -> Outcome:
    """Fires when DMA matters and bytes are moved more than once."""
    profile = evidence.profile
    moved = hbm_bytes(profile) if profile else None
    necessary = necessary_bytes(profile) if profile else None
    active = profile.engines.get("dma") if profile else None
    if profile is None or moved is None or necessary is None or active is None:
        return CannotTell(RULE, "needs HBM bytes moved and the bytes of distinct inputs and outputs")
    if active < DMA_MATTERS or moved < RELOAD_RATIO * necessary:
        return None
    return Finding(
        RULE,
        "bytes are loaded again",
        f"{moved:,} bytes over HBM where {necessary:,} would do ({moved / necessary:.1f} times); DMA is "
        f"active {active:.0%}",
        f"moving {necessary:,} bytes once",
        engine_gain(profile.engines, "dma", 1 - necessary / moved),
        "Keep the reused operand in SBUF across the loop, or make its tile the outer loop.",
    )
