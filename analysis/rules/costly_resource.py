"""The resource that costs the launch most, by taking it away."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.ideal import costs
from analysis.rules.finding import CannotTell, Finding, Outcome, ordered
from analysis.rules.thresholds import COSTLY_SHARE

RULE = "costly_resource"

ADVICE = {
    "tensor": "Feed it fuller tiles, or spread the work over both cores.",
    "vector": "Fill all 128 partitions, merge passes over the same data, or give some to ScalarE.",
    "scalar": "Fill all 128 partitions, fold scale and bias into the activation, or give copies to VectorE.",
    "gpsimd": "Give its elementwise work to VectorE or ScalarE, and iotas and masks to a load.",
    "dma_rate": "Move fewer bytes: keep them in SBUF, in fewer bits, or in longer pieces.",
    "dma_latency": "Fewer round trips to HBM in a row: keep what the next step needs in SBUF, load the rest "
    "before it is needed.",
    "dma_issue": "Fewer, larger transfers, triggered from engines that idle.",
    "semaphores": "Put small dependent steps on one engine, and give an engine more to do between handovers.",
    "collectives": "Reduce once where two are made, or start the next weights' loads under it.",
}


def check(evidence: Evidence) -> Outcome:
    """Fires when idealising one resource would save a tenth of the launch."""
    profile = evidence.profile
    if profile is None or not profile.ideal_ns:
        return CannotTell(
            RULE, "only the simulator can take a resource away, and this profile is not from it"
        )
    found = costs(profile)
    if not found or found[0].share < COSTLY_SHARE:
        return None
    first, rest = found[0], found[1:3]
    others = "".join(f", {each.meaning} {each.share:.0%}" for each in rest)
    return Finding(
        RULE,
        f"{first.meaning} holds the launch up",
        f"were {first.meaning} to take no time, the launch would save {first.saved_ns / 1e3:.3g} of "
        f"{profile.duration_ns / 1e3:.3g} us ({first.share:.0%}{others})",
        f"the same program with an ideal {first.resource}",
        ordered(0.0, first.share / 2, first.share),
        ADVICE.get(first.resource, ""),
    )
