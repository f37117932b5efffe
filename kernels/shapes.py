"""The dimensions a rank sees, and random arguments of those dimensions for every kernel.

Weights are normal with variance 1 / fan-in, activations normal with unit variance, expert popularity is
skewed as in a trained router; every array follows from a seed. Types: bfloat16 unless the kernel asks for
fp32 or integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from kernels.errors import UnsupportedShape
from kernels.registry import Variant

Array = np.ndarray[Any, Any]
Arguments = dict[str, Any]

BF16 = np.dtype(ml_dtypes.bfloat16)
HEAD = 128
TOP_K = 8


@dataclass(frozen=True, slots=True)
class Shapes:
    """One rank of a Qwen3-MoE. Defaults: Qwen3-30B-A3B at tensor-parallel degree 4 (Hugging Face config:
    hidden 2048, 32 query and 4 key/value heads of 128, 128 experts of width 768, vocabulary 151,936).
    """

    hidden: int = 2048
    heads: int = 8
    experts: int = 128
    inner: int = 192
    vocabulary: int = 37984
    cache: int = 640
    block: int = 128
    eps: float = 1e-6
    rope_theta: float = 1e6

    @property
    def columns(self) -> int:
        """Columns of the fused QKV projection."""
        return (self.heads + 2) * HEAD

    def blocks(self, tokens: int) -> int:
        """Blocks of `block` rows that always suffice for `tokens` tokens grouped by expert."""
        pairs = tokens * TOP_K
        return (pairs + min(self.experts, pairs) * (self.block - 1)) // self.block


RANK = Shapes()


def _rng(seed: int, salt: str) -> np.random.Generator:
    return np.random.default_rng([seed, *salt.encode()])


def normal(seed: int, salt: str, shape: tuple[int, ...], scale: float, dtype: np.dtype[Any] = BF16) -> Array:
    """Normal values of standard deviation `scale`; the same seed and salt give the same array."""
    values = _rng(seed, salt).standard_normal(shape, dtype=np.float32)
    return (values * np.float32(scale)).astype(dtype)


@lru_cache(maxsize=8)
def _big_weight(seed: int, salt: str, shape: tuple[int, ...], scale: float) -> Array:
    """A weight of hundreds of MB from a few random blocks, each copy rotated so that no two are equal."""
    lead, rest = shape[0], shape[1:]
    kinds = min(4, lead)
    base = normal(seed, salt, (kinds, *rest), scale)
    weight = np.empty(shape, dtype=BF16)
    for index in range(lead):
        shift = (37 * (index // kinds)) % rest[0]
        block = base[index % kinds]
        weight[index, : rest[0] - shift] = block[shift:]
        weight[index, rest[0] - shift :] = block[:shift]
    weight.setflags(write=False)
    return weight


def gate_up(shapes: Shapes, seed: int) -> Array:
    """[experts, hidden, 2 * inner]; gate in the first half of the columns."""
    return _big_weight(
        seed, "gate_up", (shapes.experts, shapes.hidden, 2 * shapes.inner), shapes.hidden**-0.5
    )


def down(shapes: Shapes, seed: int) -> Array:
    """[experts, inner, hidden]."""
    return _big_weight(seed, "down", (shapes.experts, shapes.inner, shapes.hidden), shapes.inner**-0.5)


@lru_cache(maxsize=2)
def _head_weight(shapes: Shapes, seed: int) -> Array:
    weight = normal(seed, "lm_head", (shapes.hidden, 256), shapes.hidden**-0.5)
    copies = -(-shapes.vocabulary // 256)
    wide = np.concatenate([np.roll(weight, 11 * i, axis=0) for i in range(copies)], axis=1)
    wide = np.ascontiguousarray(wide[:, : shapes.vocabulary])
    wide.setflags(write=False)
    return wide


def angles(shapes: Shapes, first: int, tokens: int) -> tuple[Array, Array]:
    """Cos and sin [tokens, 64] fp32 of rotary positions first, first + 1, ... (half-split pairs)."""
    frequency = shapes.rope_theta ** (-np.arange(0, HEAD, 2, dtype=np.float64) / HEAD)
    angle = np.arange(first, first + tokens, dtype=np.float64)[:, None] * frequency
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def routing(shapes: Shapes, tokens: int, real: int, seed: int) -> tuple[Array, Array]:
    """Expert ids [T, 8] uint32 (distinct, best first) and affinities [T, 8] fp32 that sum to one.

    Expert popularity is log-normal. Tokens from `real` on are padding: one repeated token whose routing
    hardly varies, as in a padded bucket.
    """
    rng = _rng(seed, "routing")
    popularity = rng.normal(0.0, 0.5, shapes.experts)
    logits = popularity + rng.normal(0.0, 1.5, (tokens, shapes.experts))
    if real < tokens:
        repeated = popularity + rng.normal(0.0, 1.5, shapes.experts)
        logits[real:] = repeated + rng.normal(0.0, 0.1, (tokens - real, shapes.experts))
    ids = np.argsort(-logits, axis=1, kind="stable")[:, :TOP_K]
    best = np.exp(np.take_along_axis(logits, ids, axis=1))
    affinities = best / best.sum(axis=1, keepdims=True)
    return ids.astype(np.uint32), affinities.astype(np.float32)


def group(shapes: Shapes, ids: Array) -> tuple[Array, Array, Array, Array]:
    """What `group_tokens` computes, in NumPy: row_token, slot, block_expert, num_blocks."""
    tokens = ids.shape[0]
    blocks = shapes.blocks(tokens)
    row_token = np.zeros((blocks * shapes.block, 1), np.int32)
    slot = np.zeros((tokens, TOP_K), np.int32)
    block_expert = np.full((blocks, 1), shapes.experts - 1, np.uint32)
    row = 0
    for expert in range(shapes.experts):
        held, choice = np.nonzero(ids == expert)
        used = -(-len(held) // shapes.block)
        block_expert[row // shapes.block : row // shapes.block + used] = expert
        row_token[row : row + len(held), 0] = held
        slot[held, choice] = np.arange(row, row + len(held), dtype=np.int32)
        row += used * shapes.block
    return row_token, slot, block_expert, np.array([[row // shapes.block]], np.int32)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a launch runs on: its tokens, how many are real, the bucket, and the cache position."""

    tokens: int
    real: int
    bucket: int
    position: int

    def __post_init__(self) -> None:
        if not 0 < self.real <= self.tokens:
            raise UnsupportedShape(
                f"{self.real} real tokens do not fit a launch of {self.tokens}",
                "use between 1 and the bucket",
            )


def _hidden(shapes: Shapes, at: Situation, seed: int) -> Array:
    return normal(seed, "x", (at.tokens, shapes.hidden), 1.0)


def _gain(shapes: Shapes, seed: int, salt: str, width: int) -> Array:
    del shapes
    return (1.0 + 0.1 * _rng(seed, salt).standard_normal((1, width))).astype(BF16)


def _row(at: Situation) -> Array:
    return np.array([[at.position]], np.uint32)


def _caches(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    """Keys with the norm a q/k-normed key has, values of unit variance, zeros from the position on."""
    caches = {}
    for name in ("k_cache", "v_cache"):
        cache = normal(seed, name, (1, 1, shapes.cache, HEAD), 1.0)
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


def _rope_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    cos, sin = angles(shapes, at.position if at.tokens == 1 else 0, at.tokens)
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
    first = Situation(at.tokens, at.real, at.bucket, at.position if at.tokens == 1 else 0)
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
        "q": normal(seed, "q", (1, shapes.heads * HEAD), 1.0),
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


def _router_weight(shapes: Shapes, seed: int) -> Array:
    return normal(seed, "router", (shapes.hidden, shapes.experts), 2.0 * shapes.hidden**-0.5)


def _router_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    return {"x": _hidden(shapes, at, seed), "weight": _router_weight(shapes, seed).astype(np.float32)}


def _fused_router_args(shapes: Shapes, at: Situation, seed: int) -> Arguments:
    norm = _norm_args(shapes, at, seed)
    return {
        "x": norm["x"],
        "norm_weight": norm["weight"],
        "weight": _router_weight(shapes, seed),
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
    return {"x": _hidden(shapes, at, seed), "weight": _head_weight(shapes, seed), "position": last}


Maker = Callable[[Shapes, Situation, int], Arguments]

MAKERS: Mapping[str, Maker] = {
    "rmsnorm": _norm_args,
    "qkv": _qkv_args,
    "norm_qkv": _fused_qkv_args,
    "qk_norm_rope": _rope_args,
    "kv_update": _kv_update_args,
    "attention_prefill": _attention_prefill_args,
    "attention_prefill_diagonal": _attention_prefill_args,
    "attention_decode": _attention_decode_args,
    "attention_decode_cached": _attention_cached_args,
    "o_proj": _o_proj_args,
    "o_proj_interleaved": _o_proj_args,
    "router": _router_args,
    "norm_router": _fused_router_args,
    "group_tokens": _group_args,
    "experts_prefill": _experts_prefill_args,
    "experts_prefill_grouped": _experts_prefill_args,
    "experts_prompt": _experts_prompt_args,
    "experts_decode": _experts_decode_args,
    "experts_decode_prefetched": _experts_prompt_args,
    "moe_decode": _moe_decode_args,
    "aggregate": _aggregate_args,
    "lm_head": _lm_head_args,
    "lm_head_wide": _lm_head_args,
}
"""Kernel function to the maker of its arguments."""


def arguments(kernel: Variant, shapes: Shapes, at: Situation, seed: int) -> Arguments:
    """Arguments by parameter name for one launch of `kernel`."""
    return MAKERS[kernel.function](shapes, at, seed)
