"""Which kernels the NxD Inference plug-in runs, and where."""

from __future__ import annotations

from collections.abc import Mapping

from kernels.registry import PRESETS, Variant, resolve, variant

CHOICE: Mapping[str, str] = PRESETS["tuned"]
"""The kernels of a model nobody chose others for."""
MOE_SLOTS = frozenset({"router", "group_tokens", "experts_prefill", "experts_decode", "aggregate"})
"""What the kernels fill between attention and the next layer."""


def moe_kernels(choice: Mapping[str, str], phase: str, tokens: int) -> tuple[Variant, ...]:
    """The kernels of the second half of a layer, in order."""
    return tuple(k for k in resolve(choice, phase, tokens) if MOE_SLOTS.intersection(k.covers))


def norm_kernel() -> Variant:
    """The kernel of a norm that stands alone."""
    return variant("input_norm", "baseline")
