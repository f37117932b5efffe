"""GpSimd busy building descriptors."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, resource_gain
from analysis.rules.thresholds import SOFTWARE_DGE_NS, SOFTWARE_DGE_SHARE

RULE = "software_descriptors"


def check(evidence: Evidence) -> Outcome:
    """Fires when the software-generated transfers of the launch take GpSimd a large part of its time."""
    profile, transfers = evidence.profile, evidence.signals.software_transfers
    if profile is None or transfers is None or not profile.duration_ns:
        return CannotTell(RULE, "needs the DMA table with queue types")
    active = profile.engines.get("gpsimd")
    if active is None:
        return CannotTell(RULE, "the profile does not say how active GpSimd was")
    share = transfers * SOFTWARE_DGE_NS / profile.duration_ns / profile.lnc
    if share < SOFTWARE_DGE_SHARE or active < SOFTWARE_DGE_SHARE:
        return None
    return Finding(
        RULE,
        "descriptors are built in software",
        f"{transfers:,} software-generated transfers at {SOFTWARE_DGE_NS} ns each are {share:.0%} of the "
        "launch; GpSimd "
        f"is active {active:.0%}",
        "descriptors made by hardware or ahead of time cost GpSimd nothing",
        resource_gain(profile, "dma_issue", "gpsimd", min(1.0, share / active)),
        "Use fewer, larger transfers, or dge_mode=hwdge where the address is not data-dependent.",
    )
