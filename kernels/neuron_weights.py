"""The checkpoint's weights in the layouts the plug-in's kernels read, the ranks one after another.

NxD cuts each along its first dimension, so every weight here is the ranks' own shares joined there. `join` is
`torch.concatenate`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from kernels.neuron_checks import KernelDimensions
from kernels.neuron_forms import FORMS, Join, Weights, rank_rows

REPLACED = tuple(
    f"{name}.weight"
    for name in (
        *(f"self_attn.{side}" for side in ("q_proj", "k_proj", "v_proj", "o_proj", "Wqkv")),
        "mlp.router.linear_router",
    )
)


def laid_weights(
    state_dict: Mapping[str, Any],
    model: KernelDimensions,
    wanted: Collection[str],
    join: Join,
    to_bytes: Callable[[Any], Any],
) -> Weights:
    """What the plug-in's own parameters hold: router and head always, the other layouts as `wanted`."""
    made: Weights = {"lm_head.weight": _head(state_dict, model, join)}
    for index in range(model.layers):
        at = f"layers.{index}"
        router = state_dict[f"{at}.mlp.gate.weight"].t().contiguous().bfloat16()
        made[f"{at}.mlp.router_weight"] = router
        if "router_fp32" in wanted:
            # whole on every rank, and called a scale because NxD keeps those in fp32
            made[f"{at}.mlp.router_fp32.scale"] = join([router.float()] * model.ranks)
        for value, form in FORMS.items():
            if value in wanted:
                made |= form(state_dict, at, model, join, to_bytes)
    return made


def without_replaced(state_dict: Weights) -> Weights:
    """The converted weights but for those the plug-in's layouts hold."""
    return {name: weight for name, weight in state_dict.items() if not name.endswith(REPLACED)}


def _head(state_dict: Mapping[str, Any], model: KernelDimensions, join: Join) -> Any:
    """[ranks H, V / ranks]; a model that ties its head to the embedding has the embedding's weight."""
    weight = state_dict.get("lm_head.weight", state_dict["embed_tokens.weight"]).bfloat16()
    return join([rank_rows(weight, rank, model.ranks).t() for rank in range(model.ranks)]).contiguous()
