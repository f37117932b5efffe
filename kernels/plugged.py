"""Which kernels the NxD Inference plug-in runs, and where."""

from __future__ import annotations

from collections.abc import Mapping

from kernels.errors import UnknownVariant
from kernels.registry import PRESETS, Variant, phases_of, resolve, variant

CHOICE: Mapping[str, str] = PRESETS["tuned"]
"""The kernels of a model nobody chose others for."""
MOE_SLOTS = frozenset(
    {"post_norm", "router", "group_tokens", "experts_prefill", "experts_decode", "aggregate"}
)
"""What the kernels fill between attention and the next layer."""
ATTENTION_SLOTS: Mapping[str, frozenset[str]] = {
    "prefill": frozenset({"attention_prefill"}),
    "decode": frozenset({"kv_update", "attention_decode"}),
}
"""What the kernels fill of attention in each phase, with all else their variants cover."""


def moe_kernels(choice: Mapping[str, str], phase: str, tokens: int) -> tuple[Variant, ...]:
    """The kernels of the second half of a layer, in order."""
    return tuple(k for k in _separable(choice, phase, tokens) if MOE_SLOTS.intersection(k.covers))


def attention_kernels(choice: Mapping[str, str], phase: str, tokens: int) -> tuple[Variant, ...]:
    """The kernels of the first half of a layer, in order."""
    wanted = ATTENTION_SLOTS[phase]
    return tuple(k for k in _separable(choice, phase, tokens) if wanted.intersection(k.covers))


def norm_kernel() -> Variant:
    """The kernel of a norm that stands alone."""
    return variant("input_norm", "baseline")


def plugged_slots(choice: Mapping[str, str]) -> dict[str, str]:
    """The slots whose every phase runs on kernels inside NxD Inference, each with its variant."""
    run = {
        (slot, phase)
        for phase, tokens in (("prefill", 128), ("decode", 1))
        for half in (attention_kernels, moe_kernels)
        for kernel in half(choice, phase, tokens)
        for slot in kernel.covers
    }
    slots = {s: name for s, name in choice.items() if all((s, phase) in run for phase in phases_of(s))}
    return {**slots, "input_norm": "baseline", "final_norm": "baseline"}


def _separable(choice: Mapping[str, str], phase: str, tokens: int) -> tuple[Variant, ...]:
    kernels = resolve(choice, phase, tokens)
    for kernel in kernels:
        covered = MOE_SLOTS.intersection(kernel.covers)
        if covered and ATTENTION_SLOTS[phase].intersection(kernel.covers):
            raise UnknownVariant(
                f"{kernel.slot}={kernel.name} spans attention and experts, which NxD Inference runs apart",
                "choose attention_decode=block and experts_decode=block there",
            )
    return kernels
