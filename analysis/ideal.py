"""What each resource costs a launch: the time it would save were it to take none.

Active time does not say it: an engine may be active throughout beside a queue that decides. Costs do not add
up to the time either: two resources that hold the launch up together cost little each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.rules.thresholds import NOISE_FLOOR
from collectors.records import Profile

MEANING = {
    "tensor": "the tensor engine's own work",
    "vector": "the vector engine's own work",
    "scalar": "the scalar engine's own work",
    "gpsimd": "GpSimd's own work",
    "dma_rate": "moving the bytes",
    "dma_latency": "the fixed latency of a transfer",
    "dma_issue": "building descriptors and starting transfers",
    "semaphores": "handing over between engines",
    "collectives": "exchanges between ranks",
}


@dataclass(frozen=True, slots=True)
class ResourceCost:
    """A resource of `MEANING`, and what it costs a launch: ns, and that as a share of the launch's time."""

    resource: str
    meaning: str
    saved_ns: int
    share: float


def share(profile: Profile, resource: str) -> float | None:
    """Share of the launch's time that the resource costs; None where nobody idealised it."""
    ideal = profile.ideal_ns.get(resource)
    return None if ideal is None or not profile.duration_ns else 1 - ideal / profile.duration_ns


def told(found: Sequence[ResourceCost], most: int = 3) -> str:
    """The largest costs in words; "" where nobody knows any."""
    listed = ", ".join(f"{each.meaning} {each.share:.0%}" for each in found[:most])
    return f"Held up by {listed}" if listed else ""


def costs(profile: Profile) -> tuple[ResourceCost, ...]:
    """What costs over the noise floor, most first; empty for a profile of a device."""
    found = (
        ResourceCost(name, MEANING.get(name, name), profile.duration_ns - ideal, cost)
        for name, ideal in profile.ideal_ns.items()
        if (cost := share(profile, name)) is not None and cost >= NOISE_FLOOR
    )
    return tuple(sorted(found, key=lambda each: each.saved_ns, reverse=True))
