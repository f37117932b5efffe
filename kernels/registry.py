"""Choosing kernels: variants by name, choices as they are written, and what runs in a phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from kernels.errors import UnknownVariant
from kernels.parameters import SEPARATOR, read_settings, spelled
from kernels.variants import PHASES_OF, PRESETS, SLOTS, VARIANTS, Variant

__all__ = [
    "PHASES_OF",
    "PRESETS",
    "SLOTS",
    "VARIANTS",
    "Variant",
    "batched",
    "kernel_choice",
    "phases_of",
    "resolve",
    "slots_of",
    "variant",
    "variants_of",
]


def variants_of(slot: str) -> tuple[Variant, ...]:
    """All variants of a slot; raises `UnknownVariant` when there is no such slot."""
    if slot not in SLOTS:
        raise UnknownVariant(f"there is no slot {slot!r}", f"slots are {', '.join(SLOTS)}")
    return tuple(v for v in VARIANTS if v.slot == slot)


def variant(slot: str, name: str) -> Variant:
    """The variant of `slot` called `name`, a plain name or one with settings as in "wide:buffers=4"; raises
    `UnknownVariant`.
    """
    candidates = variants_of(slot)
    base, *settings = name.split(SEPARATOR)
    for candidate in candidates:
        if candidate.name == base:
            return _set(candidate, settings)
    known = ", ".join(v.name for v in candidates)
    raise UnknownVariant(f"slot {slot!r} has no variant {base!r}", f"its variants are {known}")


def _set(chosen: Variant, texts: Sequence[str]) -> Variant:
    settings = read_settings(f"{chosen.slot}={chosen.name}", chosen.parameters, texts)
    return replace(chosen, name=spelled(chosen.name, settings), settings=settings)


def phases_of(slot: str) -> tuple[str, ...]:
    """The phases a slot exists in."""
    return PHASES_OF.get(slot, ("prefill", "decode"))


def kernel_choice(text: str) -> dict[str, str]:
    """Slot to variant name for "baseline", "tuned", or "SLOT=VARIANT,..." over the baseline (or over a preset
    named first, as in "tuned,o_proj=baseline"). A variant may have settings, as in
    "lm_head=wide:buffers=4". Raises `UnknownVariant`.
    """
    choice = dict(PRESETS["baseline"])
    for place, part in enumerate(p.strip() for p in text.split(",")):
        slot, equals, name = (piece.strip() for piece in part.partition("="))
        if not equals and place == 0 and part in PRESETS:
            choice = dict(PRESETS[part])
        elif equals:
            choice[slot] = variant(slot, name).name
        else:
            raise UnknownVariant(
                f"{part!r} is no choice of kernels",
                "write baseline, tuned, or SLOT=VARIANT separated by commas",
            )
    return choice


def batched(kernel: Variant) -> bool:
    """Whether a variant exists for several sequences only: it takes the place of others in decode."""
    replaced = {one.several for one in VARIANTS if one.slot == kernel.slot}
    return kernel.base in replaced and kernel.phases == ("decode",)


def _fitting(chosen: Variant, phase: str, tokens: int) -> Variant:
    """What runs in a variant's place on so many tokens; in decode they are one of each sequence."""
    if phase == "decode":
        if tokens > 1 and chosen.several is not None:
            return variant(chosen.slot, chosen.several)
        if tokens == 1 and batched(chosen):
            raise UnknownVariant(
                f"{chosen.slot}={chosen.name} is for several sequences", "use --batch 4, 8 or 16 with it"
            )
        return chosen
    if chosen.max_tokens is not None and tokens > chosen.max_tokens:
        return variant(chosen.slot, chosen.beyond)
    return chosen


def slots_of(phase: str, tokens: int = 1) -> tuple[str, ...]:
    """The slots of a phase; several tokens of decode are grouped by expert as a prompt's are."""
    grouped = ("group_tokens",) if phase == "decode" and tokens > 1 else ()
    return tuple(slot for slot in SLOTS if phase in phases_of(slot) or slot in grouped)


def resolve(choice: Mapping[str, str], phase: str, tokens: int = 1) -> tuple[Variant, ...]:
    """The variants that run in `phase` on `tokens` tokens, in order, each slot filled once.

    Decode has one token of each sequence. A variant that covers several slots takes them from the baselines,
    and from a chosen variant all of whose slots it covers. Two that overlap otherwise cannot both run, and
    `UnknownVariant` says so.
    """
    slots = slots_of(phase, tokens)
    wanted = [variant(slot, choice.get(slot, "baseline")) for slot in slots]
    chosen = [_fitting(v, phase, tokens) for v in wanted]
    special = [v for v in chosen if v.name != "baseline" and phase in v.phases]
    owner: dict[str, Variant] = {}
    for one in sorted(special, key=lambda v: -len(v.covers)):
        taken = [slot for slot in one.covers if slot in owner]
        if len(taken) == len(one.covers):
            continue
        if taken:
            other = owner[taken[0]]
            raise UnknownVariant(
                f"{other.slot}={other.name} and {one.slot}={one.name} both fill {taken[0]}",
                "choose baseline for one of them",
            )
        owner |= dict.fromkeys(one.covers, one)
    order: list[Variant] = []
    for slot in slots:
        runs = owner.get(slot) or _fitting(variant(slot, "baseline"), phase, tokens)
        if runs not in order:
            order.append(runs)
    return tuple(order)
