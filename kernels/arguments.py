"""Random arguments for every kernel: from a rank's shapes, a situation and a seed to arrays by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from kernels.estimates import RANKS
from kernels.layouts import o_proj_by_core, qkv_by_core
from kernels.registry import Variant
from kernels.shapes import (
    BF16,
    HEAD,
    TOP_K,
    Arguments,
    Array,
    Shapes,
    Situation,
    angles,
    down,
    fp8_experts,
    gate_up,
    generator,
    group,
    head_weight,
    normal,
    routing,
    routing_logits,
)


def _hidden(shapes: Shapes, at: Situation, seed: int) -> Array:
    return normal(seed, "x", (at.tokens, shapes.hidden), 1.0)


def _gain(shapes: Shapes, seed: int, salt: str, width: int) -> Array:
    del shapes
    return (1.0 + 0.1 * generator(seed, salt).standard_normal((1, width))).astype(BF16)


def _row(at: Situation) -> Array:
    return np.full((at.sequences, 1), at.position, np.uint32)


def _caches(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    """Keys with the norm a q/k-normed key has, values of unit variance, zeros from the position on."""
    caches = {}
    for name in ("k_cache", "v_cache"):
        cache = normal(seed, name, (at.sequences, 1, shapes.cache, HEAD), 1.0)
        cache[:, :, at.position + 1 :] = 0
        caches[name] = cache
    return caches


def _norm_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    return {
        "x": _hidden(shapes, at, seed),
        "weight": _gain(shapes, seed, "norm", shapes.hidden),
        "eps": shapes.eps,
    }


def _qkv_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    weight = normal(seed, "qkv", (shapes.hidden, shapes.columns), shapes.hidden**-0.5)
    return {"x": _hidden(shapes, at, seed), "weight": weight}


def _angles(shapes: Shapes, at: Situation) -> tuple[Array, Array]:
    if not at.decoding:
        return angles(shapes, 0, at.tokens)
    cos, sin = angles(shapes, at.position, 1)
    return np.repeat(cos, at.sequences, axis=0), np.repeat(sin, at.sequences, axis=0)


def _rope_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    cos, sin = _angles(shapes, at)
    return {
        "q": normal(seed, "q", (at.tokens, shapes.heads * HEAD), 1.0),
        "k": normal(seed, "k", (at.tokens, HEAD), 1.0),
        "q_weight": _gain(shapes, seed, "q_norm", HEAD),
        "k_weight": _gain(shapes, seed, "k_norm", HEAD),
        "cos": cos,
        "sin": sin,
        "eps": shapes.eps,
    }


def _fused_qkv_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    rope = _rope_args(shapes, at, seed)
    return {
        "x": _hidden(shapes, at, seed),
        "norm_weight": _gain(shapes, seed, "norm", shapes.hidden),
        "weight": _qkv_args(shapes, at, seed)["weight"],
    } | {name: rope[name] for name in ("q_weight", "k_weight", "cos", "sin", "eps")}


def _kv_update_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    first = at if at.decoding else replace(at, position=0)
    return {
        "k": normal(seed, "k", (at.tokens, HEAD), 1.0),
        "v": normal(seed, "v", (at.tokens, HEAD), 1.0),
        **_caches(shapes, first, seed),
        "position": _row(first),
    }


def _attention_prefill_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    return {
        "q": normal(seed, "q", (at.tokens, shapes.heads * HEAD), 1.0),
        "k": normal(seed, "k", (at.tokens, HEAD), 1.0),
        "v": normal(seed, "v", (at.tokens, HEAD), 1.0),
    }


def _attention_decode_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    return {
        "q": normal(seed, "q", (at.tokens, shapes.heads * HEAD), 1.0),
        **_caches(shapes, at, seed),
        "position": _row(at),
        "bucket": at.bucket,
    }


def _attention_cached_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    update, attention = _kv_update_args(shapes, at, seed), _attention_decode_args(shapes, at, seed)
    return {"q": attention["q"], **update, "bucket": at.bucket}


def _o_proj_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    inner = shapes.heads * HEAD
    return {
        "x": normal(seed, "attention", (at.tokens, inner), 0.5),
        "weight": normal(seed, "o_proj", (inner, shapes.hidden), inner**-0.5),
    }


def _attention_block_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    fused = _fused_qkv_args(shapes, at, seed)
    weight = fused.pop("weight")
    return fused | {
        "qkv": qkv_by_core(weight),
        **_caches(shapes, at, seed),
        "position": _row(at),
        "o_proj": np.ascontiguousarray(o_proj_by_core(_o_proj_args(shapes, at, seed)["weight"])),
        "bucket": at.bucket,
    }


MARGIN = 0.5
"""Between the logits of chosen experts and of others: more than a bf16 norm can mistake."""


def _router_weight(shapes: Shapes, at: Situation, seed: int, normed: Array) -> Array:
    """A router weight for which tokens choose the experts `routing` gives them.

    So every variant of a slot runs the same experts, whether it is given ids or makes them itself. Random
    weights, and to them the smallest change that turns the logits of these tokens into those of `routing`,
    the eight best `MARGIN` higher.
    """
    weight = normal(seed, "router", (shapes.hidden, shapes.experts), 2.0 * shapes.hidden**-0.5)
    wide = weight.astype(np.float32)
    wanted = routing_logits(shapes, at.tokens, at.real, seed)
    chosen = routing(shapes, at.tokens, at.real, seed)[0].astype(np.int64)
    np.put_along_axis(wanted, chosen, np.take_along_axis(wanted, chosen, axis=1) + MARGIN, axis=1)
    missing = wanted - normed @ wide
    found: Array = wide + normed.T @ np.linalg.solve(normed @ normed.T, missing)
    return found.astype(BF16)


def _router_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    x = _hidden(shapes, at, seed)
    weight = _router_weight(shapes, at, seed, x.astype(np.float32))
    return {"x": x, "weight": weight.astype(np.float32)}


def _router_best_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    plain = _router_args(shapes, at, seed)
    return plain | {"weight": plain["weight"].astype(BF16)}


def _fused_router_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    norm = _norm_args(shapes, at, seed)
    wide = norm["x"].astype(np.float32)
    scale = np.sqrt(np.square(wide).mean(axis=1, keepdims=True) + shapes.eps)
    normed = wide / scale * norm["weight"].astype(np.float32)
    return {
        "x": norm["x"],
        "norm_weight": norm["weight"],
        "weight": _router_weight(shapes, at, seed, normed),
        "eps": shapes.eps,
    }


def _group_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    ids, _ = routing(shapes, at.tokens, at.real, seed)
    return {"ids": ids, "num_experts": shapes.experts, "block_size": shapes.block}


def _experts_prefill_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    ids, _ = routing(shapes, at.tokens, at.real, seed)
    row_token, _, block_expert, _ = group(shapes, ids)
    return {
        "x": _hidden(shapes, at, seed),
        "gate_up": gate_up(shapes, seed),
        "down": down(shapes, seed),
        "row_token": row_token,
        "block_expert": block_expert,
        "block_size": shapes.block,
    }


def _experts_prompt_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    ids, affinities = routing(shapes, at.tokens, at.real, seed)
    return {
        "x": _hidden(shapes, at, seed),
        "gate_up": gate_up(shapes, seed),
        "down": down(shapes, seed),
        "ids": ids,
        "affinities": affinities,
    }


def _experts_decode_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    prompt = _experts_prompt_args(shapes, at, seed)
    return {name: prompt[name] for name in ("x", "gate_up", "down", "ids")}


def _moe_decode_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    fused = _fused_router_args(shapes, at, seed)
    return {
        "x": fused["x"],
        "norm_weight": fused["norm_weight"],
        "router_weight": fused["weight"],
        "gate_up": gate_up(shapes, seed),
        "down": down(shapes, seed),
        "eps": shapes.eps,
    }


def _fp8_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    gate_up, down, scales = fp8_experts(shapes, seed)
    fused = _fused_router_args(shapes, at, seed)
    return {
        "x": fused["x"],
        "norm_weight": fused["norm_weight"],
        "router_weight": fused["weight"],
        "gate_up": gate_up,
        "down": down,
        "scales": scales,
        "eps": shapes.eps,
    }


def _decode_layer_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    attention, experts = _attention_block_args(shapes, at, seed), _moe_decode_args(shapes, at, seed)
    return attention | {
        "pending": normal(seed, "pending", (1, shapes.hidden), 0.5),
        "post_norm_weight": _gain(shapes, seed, "post_norm", shapes.hidden),
        **{name: experts[name] for name in ("router_weight", "gate_up", "down")},
        "ranks": RANKS,
    }


def _aggregate_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    ids, affinities = routing(shapes, at.tokens, at.real, seed)
    if at.tokens == 1:
        rows, slot = TOP_K, np.arange(TOP_K, dtype=np.int32).reshape(1, TOP_K)
    else:
        row_token, slot, _, _ = group(shapes, ids)
        rows = row_token.shape[0]
    few = normal(seed, "answers", (min(rows, 2048), shapes.hidden), 0.3)
    answers = np.concatenate([few] * -(-rows // few.shape[0]))[:rows]
    return {"y": answers, "slot": slot, "affinities": affinities}


def _lm_head_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    last = np.array([[at.real - 1]], np.uint32)
    return {"x": _hidden(shapes, at, seed), "weight": head_weight(shapes, seed), "position": last}


def _lm_head_batch_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    return {"x": _hidden(shapes, at, seed), "weight": head_weight(shapes, seed)}


def _head_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    norm = _norm_args(shapes, at, seed)
    return _lm_head_args(shapes, at, seed) | {"norm_weight": norm["weight"], "eps": shapes.eps}


Maker = Callable[[Shapes, Situation, int], Arguments]

MAKERS: Mapping[str, Maker] = {
    "rmsnorm": _norm_args,
    "rmsnorm_spread": _norm_args,
    "qkv": _qkv_args,
    "qkv_columns": _qkv_args,
    "norm_qkv": _fused_qkv_args,
    "qk_norm_rope": _rope_args,
    "kv_update": _kv_update_args,
    "attention_prefill": _attention_prefill_args,
    "attention_prefill_diagonal": _attention_prefill_args,
    "attention_prefill_online": _attention_prefill_args,
    "attention_decode": _attention_decode_args,
    "attention_decode_cached": _attention_cached_args,
    "kv_update_batch": _kv_update_args,
    "attention_decode_batch": _attention_decode_args,
    "experts_batch": _experts_prompt_args,
    "lm_head_batch": _lm_head_batch_args,
    "attention_block": _attention_block_args,
    "attention_block_batch": _attention_block_args,
    "o_proj": _o_proj_args,
    "o_proj_interleaved": _o_proj_args,
    "o_proj_rows": _o_proj_args,
    "router": _router_args,
    "router_best": _router_best_args,
    "norm_router": _fused_router_args,
    "group_tokens": _group_args,
    "experts_prefill": _experts_prefill_args,
    "experts_prefill_grouped": _experts_prefill_args,
    "experts_prompt": _experts_prompt_args,
    "experts_decode": _experts_decode_args,
    "experts_decode_prefetched": _experts_prompt_args,
    "moe_decode": _moe_decode_args,
    "moe_block": _moe_decode_args,
    "moe_block_batch": _moe_decode_args,
    "moe_block_fp8": _fp8_args,
    "decode_layer": _decode_layer_args,
    "aggregate": _aggregate_args,
    "lm_head": _lm_head_args,
    "lm_head_wide": _lm_head_args,
    "lm_head_tiles": _head_args,
}
"""Kernel function to the maker of its arguments."""


def arguments(kernel: Variant, shapes: Shapes, at: Situation, seed: int) -> Arguments:
    """Arguments by parameter name for one launch of `kernel`, its settings among them."""
    return MAKERS[kernel.function](shapes.for_sequences(at.sequences), at, seed) | dict(kernel.settings)
