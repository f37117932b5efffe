"""The least time a launch could take: bytes over bandwidth, MACs over peak, and perfect overlap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.machine_facts import MachineFacts
from analysis.side import hbm_bytes
from collectors.records import Profile

# Distinct bytes of a kernel's inputs, outputs and weights, by who says so.
NECESSARY_KEYS = ("necessary_hbm_bytes", "inputs_outputs_weights_size_bytes")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Lower bounds of one launch's time in ns; None where its profile does not say enough.

    `moved_ns` moves the bytes it moves at full bandwidth, `necessary_ns` only those it must move once,
    `tensor_ns` does its multiply-accumulates at bfloat16 peak, `overlap_ns` is its busiest engine as it is,
    all others hidden behind it. `floor_ns` is the attainable bound a rewrite is measured against: memory or
    tensor, whichever is more, and never over the time itself; `bound` names it and `basis` says how it was
    made.
    """

    duration_ns: int
    moved_ns: float | None
    necessary_ns: float | None
    tensor_ns: float | None
    overlap_ns: float | None
    floor_ns: float | None
    bound: str
    basis: str

    @property
    def attained(self) -> float | None:
        """The floor over the time: 1 is as fast as the machine allows."""
        return None if self.floor_ns is None or not self.duration_ns else self.floor_ns / self.duration_ns


@dataclass(frozen=True, slots=True)
class RooflinePoint:
    """A launch on a roofline: MACs per HBM byte against MACs per ns, and the ceilings it is under."""

    intensity: float
    macs_per_ns: float
    tensor_ceiling: float
    memory_ceiling: float
    ridge: float


def bounds(profile: Profile, machine: MachineFacts) -> Bounds:
    """The bounds of a profile on a machine."""
    bandwidth = machine.hbm_ceiling(profile.lnc)
    moved, necessary = hbm_bytes(profile), necessary_bytes(profile)
    moved_ns = None if moved is None else moved / bandwidth
    necessary_ns = None if necessary is None else necessary / bandwidth
    tensor_ns = None if profile.macs is None else profile.macs / machine.tensor_ceiling(profile.lnc)
    memory_ns = moved_ns if necessary_ns is None else necessary_ns
    floors = {"memory": memory_ns, "tensor": tensor_ns}
    known = {name: value for name, value in floors.items() if value is not None}
    bound = max(known, key=lambda name: known[name], default="")
    return Bounds(
        duration_ns=profile.duration_ns,
        moved_ns=moved_ns,
        necessary_ns=necessary_ns,
        tensor_ns=tensor_ns,
        overlap_ns=_overlap(profile),
        floor_ns=min(known[bound], profile.duration_ns) if bound else None,
        bound=bound,
        basis=_basis(bound, moved, necessary, profile, machine),
    )


def roofline_point(profile: Profile, machine: MachineFacts) -> RooflinePoint | None:
    """Where a launch lies on the roofline; None without MACs, bytes or time."""
    moved = hbm_bytes(profile)
    if not profile.macs or not moved or not profile.duration_ns:
        return None
    tensor, memory = machine.tensor_ceiling(profile.lnc), machine.hbm_ceiling(profile.lnc)
    return RooflinePoint(
        profile.macs / moved, profile.macs / profile.duration_ns, tensor, memory, tensor / memory
    )


def necessary_bytes(profile: Profile) -> int | None:
    """Bytes the kernel must move over HBM once, as its collector counted distinct inputs and outputs."""
    for key in NECESSARY_KEYS:
        value = _number(profile.raw, key)
        if value:
            return int(value)
    return None


def _number(raw: Mapping[str, Any], key: str) -> float | None:
    value = raw.get(key)
    return float(value) if isinstance(value, int | float) else None


def _overlap(profile: Profile) -> float | None:
    active = [value for value in profile.engines.values() if value is not None]
    return max(active) * profile.duration_ns if active else None


def _basis(
    bound: str, moved: int | None, necessary: int | None, profile: Profile, machine: MachineFacts
) -> str:
    if bound == "tensor":
        rate = machine.tensor_ceiling(profile.lnc)
        return f"{profile.macs:,} MACs at {rate:,.0f} per ns ({profile.lnc} tensor engines, bfloat16)"
    if bound == "memory":
        amount = moved if necessary is None else necessary
        what = "moved (necessary unknown)" if necessary is None else "of distinct inputs and outputs"
        return f"{amount:,} bytes {what} at {machine.hbm_ceiling(profile.lnc):,.0f} GB/s"
    return "the profile says neither bytes nor MACs"
