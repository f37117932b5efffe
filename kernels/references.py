"""What each kernel should compute, in torch: fp32 arithmetic on the kernel's own inputs.

A reference takes the kernel's arguments by name and returns its results as fp32 or integer NumPy arrays. It
rounds nowhere the kernel might round differently, so a tolerance covers the kernel's bf16 roundings and
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from kernels.layouts import dequantised, o_proj_from_cores, qkv_from_cores
from kernels.shapes import HEAD, TOP_K, Shapes, group

Array = np.ndarray[Any, Any]
Arguments = Mapping[str, Any]
Results = tuple[Array, ...]


def tensor(array: Array) -> torch.Tensor:
    """fp32 (or int64) torch tensor of a NumPy array of any kernel type."""
    if np.issubdtype(array.dtype, np.integer):
        return torch.from_numpy(array.astype(np.int64))
    return torch.from_numpy(np.array(array, dtype=np.float32))


def norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """RMSNorm over the last dimension."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of [T, heads, 128] by cos, sin [T, 64], pairs (d, d + 64)."""
    low, high = x[..., : HEAD // 2], x[..., HEAD // 2 :]
    c, s = cos[:, None, :], sin[:, None, :]
    return torch.cat((low * c - high * s, high * c + low * s), dim=-1)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, first: int) -> torch.Tensor:
    """q [T, heads * 128] at positions first, first + 1, ... over k, v [S, 128], causal."""
    tokens, length = q.shape[0], k.shape[0]
    heads = q.reshape(tokens, -1, HEAD).transpose(0, 1)
    scores = heads @ k.T * HEAD**-0.5
    later = torch.arange(length)[None, :] > torch.arange(first, first + tokens)[:, None]
    scores = scores.masked_fill(later, float("-inf"))
    mixed: torch.Tensor = scores.softmax(-1) @ v
    return mixed.transpose(0, 1).reshape(tokens, -1)


def probabilities(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Router probabilities over all experts."""
    return (x @ weight).softmax(-1)


def choose(p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The best eight of probabilities [T, E], ties to the lower id, and their shares of one."""
    ids = torch.sort(p, dim=-1, descending=True, stable=True).indices[:, :TOP_K]
    best = p.gather(1, ids)
    return ids, best / best.sum(-1, keepdim=True)


def expert(x: torch.Tensor, gate_up: Array, down: Array, index: int) -> torch.Tensor:
    """Answer of one expert for x [T, H]."""
    inner = down.shape[1]
    both = x @ tensor(gate_up[index])
    return torch.nn.functional.silu(both[:, :inner]) * both[:, inner:] @ tensor(down[index])


def _rmsnorm(a: Arguments) -> Results:
    return (norm(tensor(a["x"]), tensor(a["weight"]), a["eps"]).numpy(),)


def _project(a: Arguments) -> Results:
    return ((tensor(a["x"]) @ tensor(a["weight"])).numpy(),)


def _qkv(a: Arguments) -> Results:
    (all_columns,) = _project(a)
    return all_columns[:, : -2 * HEAD], all_columns[:, -2 * HEAD : -HEAD], all_columns[:, -HEAD:]


def _qk_norm_rope(a: Arguments) -> Results:
    turned = []
    for name in ("q", "k"):
        heads = tensor(a[name]).reshape(a[name].shape[0], -1, HEAD)
        unit = norm(heads, tensor(a[f"{name}_weight"]), a["eps"])
        turned.append(rotate(unit, tensor(a["cos"]), tensor(a["sin"])).reshape(a[name].shape).numpy())
    return tuple(turned)


def _norm_qkv(a: Arguments) -> Results:
    (x,) = _rmsnorm({"x": a["x"], "weight": a["norm_weight"], "eps": a["eps"]})
    q, k, v = _qkv({"x": x, "weight": a["weight"]})
    return (*_qk_norm_rope({**a, "q": q, "k": k}), v)


def _kv_update(a: Arguments) -> Results:
    start, count = int(a["position"][0, 0]), a["k"].shape[0]
    caches = []
    for name in ("k", "v"):
        cache = np.array(a[f"{name}_cache"], dtype=np.float32)
        cache[0, 0, start : start + count] = a[name]
        caches.append(cache)
    return tuple(caches)


def _kv_update_batch(a: Arguments) -> Results:
    caches = []
    for name in ("k", "v"):
        cache = np.array(a[f"{name}_cache"], dtype=np.float32)
        cache[np.arange(len(cache)), 0, a["position"][:, 0]] = a[name]
        caches.append(cache)
    return tuple(caches)


def _attention_prefill(a: Arguments) -> Results:
    return (attend(tensor(a["q"]), tensor(a["k"]), tensor(a["v"]), 0).numpy(),)


def _attention_decode(a: Arguments) -> Results:
    position, bucket = int(a["position"][0, 0]), a["bucket"]
    k, v = tensor(a["k_cache"])[0, 0, :bucket], tensor(a["v_cache"])[0, 0, :bucket]
    return (attend(tensor(a["q"]), k, v, position).numpy(),)


def _attention_decode_batch(a: Arguments) -> Results:
    each = [
        _attention_decode(
            {name: a[name][b : b + 1] for name in ("q", "k_cache", "v_cache", "position")}
            | {"bucket": a["bucket"]}
        )[0]
        for b in range(a["q"].shape[0])
    ]
    return (np.concatenate(each),)


def _attention_cached(a: Arguments) -> Results:
    k_cache, v_cache = _kv_update(a)
    return (*_attention_decode({**a, "k_cache": k_cache, "v_cache": v_cache}), k_cache, v_cache)


def _attention_block(a: Arguments) -> Results:
    q, k, v = _norm_qkv({**a, "weight": qkv_from_cores(a["qkv"])})
    attention, k_cache, v_cache = _attention_cached({**a, "q": q, "k": k, "v": v})
    return (*_project({"x": attention, "weight": o_proj_from_cores(a["o_proj"])}), k_cache, v_cache)


def _attention_block_batch(a: Arguments) -> Results:
    q, k, v = _norm_qkv({**a, "weight": qkv_from_cores(a["qkv"])})
    k_cache, v_cache = _kv_update_batch({**a, "k": k, "v": v})
    (attention,) = _attention_decode_batch({**a, "q": q, "k_cache": k_cache, "v_cache": v_cache})
    return (*_project({"x": attention, "weight": o_proj_from_cores(a["o_proj"])}), k_cache, v_cache)


def _router(a: Arguments) -> Results:
    ids, affinities = choose(probabilities(tensor(a["x"]), tensor(a["weight"])))
    return ids.numpy(), affinities.numpy()


def _norm_router(a: Arguments) -> Results:
    x = norm(tensor(a["x"]), tensor(a["norm_weight"]), a["eps"])
    ids, affinities = choose(probabilities(x, tensor(a["weight"])))
    return x.numpy(), ids.numpy(), affinities.numpy()


def _group_tokens(a: Arguments) -> Results:
    return group(Shapes(experts=a["num_experts"], block=a["block_size"]), a["ids"])


def _experts_prefill(a: Arguments) -> Results:
    x, block = tensor(a["x"]), a["block_size"]
    rows = np.zeros((a["row_token"].shape[0], x.shape[1]), np.float32)
    for index, owner in enumerate(a["block_expert"][:, 0]):
        held = slice(index * block, (index + 1) * block)
        tokens = a["row_token"][held, 0]
        rows[held] = expert(x[torch.from_numpy(tokens.astype(np.int64))], a["gate_up"], a["down"], int(owner))
    return (rows,)


def _experts_decode(a: Arguments) -> Results:
    x = tensor(a["x"])
    return (torch.cat([expert(x, a["gate_up"], a["down"], int(e)) for e in a["ids"][0]]).numpy(),)


def _experts_sum(a: Arguments) -> Results:
    x, ids, affinities = tensor(a["x"]), a["ids"], tensor(a["affinities"])
    total = torch.zeros_like(x)
    for index in np.unique(ids):
        tokens, choice = (torch.from_numpy(found) for found in np.nonzero(ids == index))
        answer = expert(x[tokens], a["gate_up"], a["down"], int(index))
        total.index_add_(0, tokens, answer * affinities[tokens, choice, None])
    return (total.numpy(),)


def _moe_decode(a: Arguments) -> Results:
    x, ids, affinities = _norm_router({**a, "weight": a["router_weight"]})
    return _experts_sum({**a, "x": x, "ids": ids, "affinities": affinities})


def _moe_fp8(a: Arguments) -> Results:
    inner, scales = a["down"].shape[1], a["scales"]
    x, ids, affinities = _norm_router({**a, "weight": a["router_weight"]})
    total = torch.zeros(x.shape)
    for place, index in enumerate(ids[0]):
        sides = np.repeat(scales[index, :2], inner)
        gate_up = dequantised(a["gate_up"][index], sides)[None]
        down = dequantised(a["down"][index], scales[index, 2])[None]
        total += expert(tensor(x), gate_up, down, 0) * float(affinities[0, place])
    return (total.numpy(),)


def _decode_layer(a: Arguments) -> Results:
    """One rank of which no peer adds anything, as the simulator runs it; bf16 where the kernel stores it."""
    x = _stored(tensor(a["x"]) + tensor(a["pending"]))
    added, k_cache, v_cache = _attention_block({**a, "x": x.numpy()})
    x = _stored(x + _stored(tensor(added)))
    (pending,) = _moe_decode({**a, "x": x.numpy(), "norm_weight": a["post_norm_weight"]})
    return x.numpy(), pending, k_cache, v_cache


def _stored(x: torch.Tensor) -> torch.Tensor:
    return x.bfloat16().float()


def _aggregate(a: Arguments) -> Results:
    rows = tensor(a["y"])[tensor(a["slot"])]
    return ((rows * tensor(a["affinities"])[..., None]).sum(1).numpy(),)


def _lm_head(a: Arguments) -> Results:
    row = int(a["position"][0, 0])
    return _project({"x": a["x"][row : row + 1], "weight": a["weight"]})


def _normed_head(a: Arguments) -> Results:
    row = int(a["position"][0, 0])
    x = norm(tensor(a["x"][row : row + 1]), tensor(a["norm_weight"]), a["eps"])
    return ((x @ tensor(a["weight"])).numpy(),)


REFERENCES: Mapping[str, Callable[[Arguments], Results]] = {
    "rmsnorm": _rmsnorm,
    "rmsnorm_spread": _rmsnorm,
    "qkv": _qkv,
    "qkv_columns": _qkv,
    "norm_qkv": _norm_qkv,
    "qk_norm_rope": _qk_norm_rope,
    "kv_update": _kv_update,
    "attention_prefill": _attention_prefill,
    "attention_prefill_diagonal": _attention_prefill,
    "attention_prefill_online": _attention_prefill,
    "attention_decode": _attention_decode,
    "attention_decode_cached": _attention_cached,
    "attention_block": _attention_block,
    "attention_block_batch": _attention_block_batch,
    "kv_update_batch": _kv_update_batch,
    "attention_decode_batch": _attention_decode_batch,
    "o_proj": _project,
    "o_proj_interleaved": _project,
    "o_proj_rows": _project,
    "router": _router,
    "router_best": _router,
    "norm_router": _norm_router,
    "group_tokens": _group_tokens,
    "experts_prefill": _experts_prefill,
    "experts_prefill_grouped": _experts_prefill,
    "experts_prompt": _experts_sum,
    "experts_batch": _experts_sum,
    "experts_decode": _experts_decode,
    "experts_decode_prefetched": _experts_sum,
    "moe_decode": _moe_decode,
    "moe_block": _moe_decode,
    "moe_block_batch": _moe_decode,
    "moe_block_fp8": _moe_fp8,
    "decode_layer": _decode_layer,
    "aggregate": _aggregate,
    "lm_head": _lm_head,
    "lm_head_wide": _lm_head,
    "lm_head_batch": _project,
    "lm_head_tiles": _normed_head,
}
"""Kernel function to its reference."""


def reference(function: str, arguments: Arguments) -> Results:
    """Results the kernel called `function` should give for `arguments`."""
    return REFERENCES[function](arguments)
