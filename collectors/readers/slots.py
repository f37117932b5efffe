"""Which slot of `qwen.py` an instruction belongs to, by the kernel's file or the framework's layer name.

An NKI instruction names its source line, and the file of a kernel of this project is one variant's or a few
variants'. Everything else has the name of the framework's module it was traced under, as NxD Inference's and
Hugging Face's Qwen3 MoE spell them. What fits neither is nobody's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from collectors.records import Phase
from kernels.variants import VARIANTS

UNATTRIBUTED = "unattributed"


@dataclass(frozen=True, slots=True)
class Place:
    """The slots an instruction may belong to (several share a kernel, or a file of kernels)."""

    covers: tuple[str, ...]
    variant: str
    nki: bool

    @property
    def slot(self) -> str:
        """The row it is shown under."""
        return self.covers[0]


_LAYERS: tuple[tuple[str, str], ...] = (
    (r"embed_tokens", "embedding"),
    (r"input_layernorm", "input_norm"),
    (r"post_attention_layernorm", "post_norm"),
    (r"\b[qk]_(?:layer)?norm\b|rotary|\brope\b", "qk_norm_rope"),
    (r"\b(?:q|k|v|qkv|Wqkv)_proj\b|\bqkv\b", "qkv"),
    (r"\bo_proj\b", "o_proj"),
    (r"kv_(?:mgr|cache|update)|update_cache", "kv_update"),
    (r"all[-_]?reduce|reduce[-_]?scatter|all[-_]?gather", "all_reduce"),
    (r"\brouter\b|\bmlp[./]gate\b", "router"),
    (r"expert", "experts_{phase}"),
    (r"self_attn|attention", "attention_{phase}"),
    (r"lm_head", "lm_head"),
    (r"sampl|argmax", "sampling"),
    (r"(?:^|[./])norm\b", "final_norm"),
)
"""Tried in order on the layer's name; a slot with {phase} is the one of the graph's phase."""


def place(layer: str | None, source: str | None, phase: Phase | None) -> Place | None:
    """Where an instruction of a graph of `phase` (None: not known) belongs; None when nothing says.

    `source` is "file.py:line", `layer` the framework's name.
    """
    by_layer = _of_layer(layer or "", phase)
    found = _kernels().get((source or "").rpartition(":")[0])
    if found is None:
        return by_layer
    if by_layer is not None and by_layer.slot in found.covers and len(found.covers) > 1 and _shared(found):
        return Place(by_layer.covers, found.variant, nki=True)
    return found


def _of_layer(layer: str, phase: Phase | None) -> Place | None:
    for pattern, slot in _LAYERS:
        if re.search(pattern, layer):
            phases = (phase,) if phase in ("prefill", "decode") else ("prefill", "decode")
            covers = tuple(dict.fromkeys(slot.format(phase=each) for each in phases))
            return Place(covers, "compiler", nki=False)
    return None


@cache
def _kernels() -> Mapping[str, Place]:
    """By file name, the slots and the variants of the kernels in it."""
    found: dict[str, Place] = {}
    for each in VARIANTS:
        file = f"{each.module.rpartition('.')[2]}.py"
        known = found.get(file, Place((), "", nki=True))
        names = [name for name in (*known.variant.split(" or "), each.name) if name]
        covers = dict.fromkeys((*known.covers, each.slot, *each.covers))
        found[file] = Place(tuple(covers), " or ".join(dict.fromkeys(names)), nki=True)
    return found


def _shared(place: Place) -> bool:
    """Whether the slots share a file without sharing a kernel, so that the layer can tell them apart."""
    return not any(set(each.covers) >= set(place.covers) for each in VARIANTS)
