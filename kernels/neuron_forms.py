"""A layer's weights in each form a plug-in's kernel may read: a row for each, and only what is read is made.

The ranks' own shares lie one after another in the first dimension, as `kernels.neuron_weights` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kernels.layouts import FP8_MAX, o_proj_by_core, qkv_by_core
from kernels.neuron_checks import KernelDimensions

Weights = dict[str, Any]
Join = Callable[..., Any]
ToBytes = Callable[[Any], Any]


def rank_rows(weight: Any, rank: int, ranks: int) -> Any:
    """A rank's part of a weight cut along its first dimension."""
    size = weight.shape[0] // ranks
    return weight[rank * size : (rank + 1) * size]


def _qkv_shares(state_dict: Mapping[str, Any], layer: str, model: KernelDimensions, join: Join) -> list[Any]:
    """Every rank's [H, columns] in bf16."""
    q, k, v = (state_dict[f"{layer}.self_attn.{side}_proj.weight"].bfloat16() for side in "qkv")
    ranks = model.ranks
    return [join([rank_rows(each, rank, ranks).t() for each in (q, k, v)], axis=1) for rank in range(ranks)]


def _o_proj_shares(state_dict: Mapping[str, Any], layer: str, model: KernelDimensions) -> list[Any]:
    """Every rank's [heads 128, H] in bf16."""
    out = state_dict[f"{layer}.self_attn.o_proj.weight"].bfloat16().t()
    return [rank_rows(out, rank, model.ranks) for rank in range(model.ranks)]


def _held(layer: str, name: str, shares: list[Any], join: Join) -> Weights:
    return {f"{layer}.self_attn.laid.{name}.weight": join(shares).contiguous()}


def _qkv(state: Mapping[str, Any], layer: str, model: KernelDimensions, join: Join, _: ToBytes) -> Weights:
    """`qkv` [ranks H, columns]."""
    return _held(layer, "qkv", _qkv_shares(state, layer, model, join), join)


def _o_proj(state: Mapping[str, Any], layer: str, model: KernelDimensions, join: Join, _: ToBytes) -> Weights:
    """`o_proj` [ranks heads 128, H]."""
    return _held(layer, "o_proj", _o_proj_shares(state, layer, model), join)


def _qkv_cores(
    state: Mapping[str, Any], layer: str, model: KernelDimensions, join: Join, _: ToBytes
) -> Weights:
    """`qkv_by_core` [ranks 2, H, columns]."""
    shares = [qkv_by_core(each, join) for each in _qkv_shares(state, layer, model, join)]
    return _held(layer, "qkv_by_core", shares, join)


def _o_proj_cores(
    state: Mapping[str, Any], layer: str, model: KernelDimensions, join: Join, _: ToBytes
) -> Weights:
    """`o_proj_by_core` [ranks 2, 128, heads, tiles, 128]."""
    shares = [o_proj_by_core(each) for each in _o_proj_shares(state, layer, model)]
    return _held(layer, "o_proj_by_core", shares, join)


def _fp8_experts(
    state_dict: Mapping[str, Any],
    layer: str,
    model: KernelDimensions,
    join: Join,
    to_bytes: ToBytes,
) -> Weights:
    """The layer's experts as `moe_block_fp8` reads them.

    `gate_up_fp8.weight` [ranks E, H, 2 I / ranks] and `down_fp8.weight` [ranks E, I / ranks, H] as bytes,
    `expert_scales.scale` [ranks E, 3] in fp32: a scale for each expert's gate, up and down on each rank, as
    `layouts.quantised_experts` has it. `to_bytes` rounds to float8_e4m3 and gives its bytes. Prefill keeps
    using the checkpoint's weights, so experts take half as much memory again.
    """
    at = f"{layer}.mlp"
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


FORMS: Mapping[str, Callable[[Mapping[str, Any], str, KernelDimensions, Join, ToBytes], Weights]] = {
    "qkv": _qkv,
    "o_proj": _o_proj,
    "qkv_by_core": _qkv_cores,
    "o_proj_by_core": _o_proj_cores,
    "gate_up_fp8": _fp8_experts,
}
"""The name of a value (`kernels.wiring`) to what makes its weights for a layer of the checkpoint.

Where a prompt's kernels read one form and decode's another both are held: 10.5 MB a layer and rank more for
attention of Qwen3-30B-A3B.
"""
