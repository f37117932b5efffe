"""The checkpoint's weights in the layouts the plug-in's kernels read, the ranks one after another.

NxD cuts each along its first dimension, so every weight here is the ranks' own shares joined there. `join` is
`torch.concatenate`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from kernels.layouts import FP8_MAX, o_proj_by_core, qkv_by_core
from kernels.neuron_checks import KernelDimensions

Weights = dict[str, Any]
Join = Callable[..., Any]

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
    """What the plug-in's own parameters hold: router and head always, attention and fp8 as `wanted`."""
    made: Weights = {"lm_head.weight": _head(state_dict, model, join)}
    for index in range(model.layers):
        at = f"layers.{index}"
        gate = state_dict[f"{at}.mlp.gate.weight"]
        made[f"{at}.mlp.router_weight"] = gate.t().contiguous().bfloat16()
        made |= _attention(state_dict, f"{at}.self_attn", model, wanted, join)
        if "gate_up_fp8" in wanted:
            made |= _fp8_experts(state_dict, f"{at}.mlp", model, join, to_bytes)
    return made


def without_replaced(state_dict: Weights) -> Weights:
    """The converted weights but for those the plug-in's layouts hold."""
    return {name: weight for name, weight in state_dict.items() if not name.endswith(REPLACED)}


def _head(state_dict: Mapping[str, Any], model: KernelDimensions, join: Join) -> Any:
    """[ranks H, V / ranks]; a model that ties its head to the embedding has the embedding's weight."""
    weight = state_dict.get("lm_head.weight", state_dict["embed_tokens.weight"]).bfloat16()
    return join([_rows(weight, rank, model.ranks).t() for rank in range(model.ranks)]).contiguous()


def _attention(
    state_dict: Mapping[str, Any], at: str, model: KernelDimensions, wanted: Collection[str], join: Join
) -> Weights:
    """The layer's projections by the names of `wiring`, each in the layout its kernels read.

    `qkv` [ranks H, columns], `o_proj` [ranks heads 128, H], `qkv_by_core` [ranks 2, H, columns] and
    `o_proj_by_core` [ranks 2, 128, heads, tiles, 128], in bf16. Where a prompt's kernels read one form and
    decode's another both are held: 10.5 MB a layer and rank more for Qwen3-30B-A3B.
    """
    q, k, v, o = (state_dict[f"{at}.{side}_proj.weight"].bfloat16() for side in "qkvo")
    shares = [
        (
            join([_rows(each, rank, model.ranks).t() for each in (q, k, v)], axis=1),
            _rows(o.t(), rank, model.ranks),
        )
        for rank in range(model.ranks)
    ]
    layouts: dict[str, Callable[[Any, Any], Any]] = {
        "qkv": lambda qkv, _: qkv,
        "o_proj": lambda _, out: out,
        "qkv_by_core": lambda qkv, _: qkv_by_core(qkv, join),
        "o_proj_by_core": lambda _, out: o_proj_by_core(out),
    }
    return {
        f"{at}.laid.{name}.weight": join([lay(*share) for share in shares]).contiguous()
        for name, lay in layouts.items()
        if name in wanted
    }


def _fp8_experts(
    state_dict: Mapping[str, Any],
    at: str,
    model: KernelDimensions,
    join: Join,
    to_bytes: Callable[[Any], Any],
) -> Weights:
    """The layer's experts as `moe_block_fp8` reads them.

    `gate_up_fp8.weight` [ranks E, H, 2 I / ranks] and `down_fp8.weight` [ranks E, I / ranks, H] as bytes,
    `expert_scales.scale` [ranks E, 3] in fp32: a scale for each expert's gate, up and down on each rank, as
    `layouts.quantised_experts` has it. `to_bytes` rounds to float8_e4m3 and gives its bytes. Prefill keeps
    using the checkpoint's weights, so experts take half as much memory again.
    """
    gate, up, down = (_experts(state_dict, at, name, model, join) for name in ("gate", "up", "down"))
    shares = [_fp8_share(gate, up, down, rank, model, join, to_bytes) for rank in range(model.ranks)]
    names = ("gate_up_fp8.weight", "down_fp8.weight", "expert_scales.scale")
    return {
        f"{at}.{name}": join(parts).contiguous()
        for name, parts in zip(names, zip(*shares, strict=True), strict=True)
    }


def _experts(state_dict: Mapping[str, Any], at: str, name: str, model: KernelDimensions, join: Join) -> Any:
    """One projection of every expert, [E, rows, columns] as the checkpoint has them."""
    names = [f"{at}.experts.{expert}.{name}_proj.weight" for expert in range(model.experts)]
    return join([state_dict[each][None] for each in names])


def _fp8_share(
    gate: Any, up: Any, down: Any, rank: int, model: KernelDimensions, join: Join, to_bytes: Any
) -> tuple[Any, Any, Any]:
    """A rank's gate and up [E, H, 2 I / ranks] and down [E, I / ranks, H] as bytes, and scales [E, 3]."""
    size = model.inner // model.ranks
    mine = slice(rank * size, (rank + 1) * size)
    parts = [each.float() for each in (gate[:, mine], up[:, mine], down[:, :, mine])]
    largest = [part.abs().amax((1, 2)) for part in parts]
    scales = [(peak + (peak == 0)) / FP8_MAX for peak in largest]
    held = [to_bytes(part / scale[:, None, None]) for part, scale in zip(parts, scales, strict=True)]
    sides = join([side.swapaxes(1, 2) for side in held[:2]], axis=2)
    return sides, held[2].swapaxes(1, 2), join([scale[:, None] for scale in scales], axis=1)


def _rows(weight: Any, rank: int, ranks: int) -> Any:
    size = weight.shape[0] // ranks
    return weight[rank * size : (rank + 1) * size]
