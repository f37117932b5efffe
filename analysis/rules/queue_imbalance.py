"""One DMA queue carries the load while others are empty."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, engine_gain
from analysis.rules.thresholds import DMA_MATTERS, QUEUE_BALANCE

RULE = "queue_imbalance"


def check(evidence: Evidence) -> Outcome:
    """Fires when DMA matters and its busiest queue is busy for much longer than the mean queue."""
    profile, queues = evidence.profile, evidence.signals.queue_ns
    if profile is None or queues is None:
        return CannotTell(RULE, "needs the DMA table with queue names")
    active = profile.engines.get("dma")
    if active is None:
        return CannotTell(RULE, "the profile does not say how active DMA was")
    if len(queues) < 2 or active < DMA_MATTERS:
        return None
    name = max(queues, key=queues.__getitem__)
    mean = sum(queues.values()) / len(queues)
    if mean >= QUEUE_BALANCE * queues[name] or queues[name] < DMA_MATTERS * profile.duration_ns:
        return None
    return Finding(
        RULE,
        "one DMA queue carries the load",
        f"queue {name} is busy {queues[name] / 1e3:.3g} us, the mean of {len(queues)} queues "
        f"{mean / 1e3:.3g} us",
        "the same transfers spread evenly over the queues in use",
        engine_gain(profile.engines, "dma", 1 - mean / queues[name]),
        "Trigger the loads from several engines, so that they go to several queues.",
    )
