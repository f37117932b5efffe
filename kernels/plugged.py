"""Which kernels the NxD Inference plug-in runs, and where."""

from __future__ import annotations

from collections.abc import Mapping

from kernels.errors import UnknownVariant
from kernels.registry import PRESETS, Variant, phases_of, resolve, variants_of

CHOICE: Mapping[str, str] = PRESETS["tuned"]
"""The kernels of a model nobody chose others for."""

PARTS: Mapping[str, frozenset[str]] = {
    "attention": frozenset(
        {"input_norm", "qkv", "qk_norm_rope", "kv_update", "attention_prefill", "attention_decode", "o_proj"}
    ),
    "experts": frozenset(
        {"post_norm", "router", "group_tokens", "experts_prefill", "experts_decode", "aggregate"}
    ),
    "head": frozenset({"final_norm", "lm_head"}),
    "layer": frozenset(),
}
"""What NxD Inference runs one after the other, and the slots of each; between, it adds to the residual.

A "layer" has what covers attention and experts at once; neither then has kernels of its own.
"""
PHASES = ("prefill", "decode")
MAX_TOKENS = 640
"""The longest prompt, and the longest cache: scores of a longer row do not fit two PSUM banks."""

Rows = tuple[tuple[int, tuple[Variant, ...]], ...]


def rows_of(choice: Mapping[str, str], part: str, phase: str) -> Rows:
    """The kernels of a part in a phase, in order, with the most tokens each row of them runs on.

    Raises `UnknownVariant` for a kernel of a layer and the head: NxD Inference runs them apart.
    """
    if phase == "decode":
        return ((1, _kernels(choice, part, phase, 1)),)
    limits = {v.max_tokens for slot in PARTS[part] for v in variants_of(slot)} - {None}
    ends = sorted({*(limit for limit in limits if limit), MAX_TOKENS})
    rows: Rows = ()
    for end in ends:
        kernels = _kernels(choice, part, phase, end)
        same = rows and rows[-1][1] == kernels
        rows = (*(rows[:-1] if same else rows), (end, kernels))
    return rows


def plugs(kernel: Variant, sequences: int = 1) -> bool:
    """Whether the plug-in runs a kernel inside NxD Inference: of one sequence, and inside one part."""
    return sequences == 1 and _part(kernel) is not None


def plugged_slots(choice: Mapping[str, str]) -> dict[str, str]:
    """The slots whose every phase runs on kernels inside NxD Inference, each with its variant."""
    run = {
        (slot, phase)
        for part in PARTS
        for phase in PHASES
        for _, kernels in rows_of(choice, part, phase)
        for kernel in kernels
        for slot in kernel.covers
    }
    return {s: name for s, name in choice.items() if all((s, phase) in run for phase in phases_of(s))}


def _part(kernel: Variant) -> str | None:
    parts = [name for name, slots in PARTS.items() if slots.intersection(kernel.covers)]
    if parts == ["attention", "experts"]:
        return "layer"
    return parts[0] if len(parts) == 1 else None


def _kernels(choice: Mapping[str, str], part: str, phase: str, tokens: int) -> tuple[Variant, ...]:
    kernels = resolve(choice, phase, tokens)
    for kernel in kernels:
        if _part(kernel) is None:
            raise UnknownVariant(
                f"{kernel.slot}={kernel.name} spans a layer and the head, which NxD Inference runs apart",
                "choose one of a layer there",
            )
    return tuple(kernel for kernel in kernels if _part(kernel) == part)
