"""Matrix multiplications in fp32."""

from __future__ import annotations

from analysis.evidence import Evidence
from analysis.rules.finding import CannotTell, Finding, Outcome, resource_gain
from analysis.rules.thresholds import FP32_SHARE, FP32_SLOWDOWN

RULE = "fp32_matmul"


def check(evidence: Evidence) -> Outcome:
    """Fires when a part of the matmul time is fp32's."""
    profile, signals = evidence.profile, evidence.signals
    if profile is None or signals.matmul_ns is None or signals.fp32_matmul_ns is None:
        return CannotTell(RULE, "needs the Instruction table with operands or adjusted FLOPs")
    if not signals.matmul_ns:
        return None
    share, active = signals.fp32_matmul_ns / signals.matmul_ns, profile.engines.get("tensor") or 0.0
    if share * active < FP32_SHARE:
        return None
    return Finding(
        RULE,
        "fp32 where bf16 would do",
        f"{share:.0%} of the matmul time is fp32; the tensor engine is active {active:.0%}",
        f"bf16 rows take 1 cycle, fp32 rows {FP32_SLOWDOWN:.0f}",
        resource_gain(profile, "tensor", "tensor", share * (1 - 1 / FP32_SLOWDOWN)),
        "Feed the matmul bf16 and accumulate in fp32 PSUM, then check accuracy again.",
    )
