"""Descriptors so small that the DMA engines spend their time on fixed cost."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, engine_gain
from analysis.rules.thresholds import (
    DMA_MATTERS,
    GOOD_DESCRIPTOR_BYTES,
    SMALL_DESCRIPTOR_BYTES,
    TINY_DESCRIPTOR_BYTES,
)

RULE = "small_transfers"


def check(evidence: Evidence) -> Outcome:
    """Fires when DMA matters and the mean descriptor is under 2 KiB."""
    profile, machine = evidence.profile, evidence.machine
    if profile is None or machine is None or not profile.dma_descriptors or profile.dma_bytes is None:
        return CannotTell(RULE, "needs a profile with DMA bytes and descriptors, and machine facts")
    active = profile.engines.get("dma")
    if active is None:
        return CannotTell(RULE, "the profile does not say how active DMA was")
    size = profile.dma_bytes / profile.dma_descriptors
    if active < DMA_MATTERS or size >= SMALL_DESCRIPTOR_BYTES:
        return None
    now, then = machine.descriptor_efficiency(size), machine.descriptor_efficiency(GOOD_DESCRIPTOR_BYTES)
    tiny = "tiny" if size < TINY_DESCRIPTOR_BYTES else "small"
    return Finding(
        RULE,
        f"{tiny} DMA descriptors",
        f"{profile.dma_descriptors:,} descriptors of {size:,.0f} B on average keep DMA active "
        f"{active:.0%} of the time at "
        f"{now:.0%} of an engine's rate",
        f"{then:.0%} of the rate at {GOOD_DESCRIPTOR_BYTES} B a descriptor",
        engine_gain(profile.engines, "dma", 1 - now / then),
        "Lay the tensor out so that each partition reads at least 2 KiB in one piece.",
    )
