"""Matrix multiplications too small for the tensor engine."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, resource_gain
from analysis.rules.thresholds import TENSOR_MATTERS, TILE_MACS, UNDERFED_TILE

RULE = "tensor_underfed"


def check(evidence: Evidence) -> Outcome:
    """Fires when the tensor engine matters and its mean MATMUL is a small part of a full tile."""
    profile, matmuls, machine = evidence.profile, evidence.signals.matmuls, evidence.machine
    if profile is None or machine is None or matmuls is None or profile.macs is None:
        return CannotTell(RULE, "needs MACs, the Instruction table and machine facts")
    active = profile.engines.get("tensor")
    if active is None:
        return CannotTell(RULE, "the profile does not say how active the tensor engine was")
    if not matmuls or active < TENSOR_MATTERS:
        return None
    fill = profile.macs / matmuls / TILE_MACS
    if fill >= UNDERFED_TILE:
        return None
    ideal = profile.macs / machine.tensor_ceiling(profile.lnc)
    saved = 1 - min(1.0, ideal / (active * profile.duration_ns))
    loads = evidence.signals.weight_loads
    fed = f"{matmuls:,} matmuls{f' and {loads:,} weight loads' if loads else ''}"
    return Finding(
        RULE,
        "the tensor engine is fed crumbs",
        f"{fed} fill {fill:.1%} of a 128 x 128 x 512 tile each; the tensor engine is active {active:.0%} "
        f"for work of {ideal / 1e3:.3g} us at peak",
        "the same MACs at bfloat16 peak",
        resource_gain(profile, "tensor", "tensor", saved),
        "Give each matmul more columns: more tokens, or the large operand as the moving one (up to 512). "
        "Where it is stationary on purpose, time a variant that moves it, or a product on VectorE.",
    )
