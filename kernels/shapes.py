"""The dimensions a rank sees, and random weights, activations and routing of those dimensions.

Weights are normal with variance 1 / fan-in, activations normal with unit variance, expert popularity is
skewed as in a trained router; every array follows from a seed. Types: bfloat16 unless the kernel asks for
fp32 or integers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from kernels.errors import UnsupportedShape
from kernels.layouts import quantised_experts

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

    def for_sequences(self, sequences: int) -> Shapes:
        """These for a decode step: blocks of as many rows as sequences, so that no expert needs two."""
        return self if sequences == 1 else replace(self, block=sequences)

    def blocks(self, tokens: int) -> int:
        """Blocks of `block` rows that always suffice for `tokens` tokens grouped by expert."""
        pairs = tokens * TOP_K
        return (pairs + min(self.experts, pairs) * (self.block - 1)) // self.block


RANK = Shapes()


def generator(seed: int, salt: str) -> np.random.Generator:
    """A generator of its own for each seed and salt."""
    return np.random.default_rng([seed, *salt.encode()])


def normal(seed: int, salt: str, shape: tuple[int, ...], scale: float, dtype: np.dtype[Any] = BF16) -> Array:
    """Normal values of standard deviation `scale`; the same seed and salt give the same array."""
    values = generator(seed, salt).standard_normal(shape, dtype=np.float32)
    return (values * np.float32(scale)).astype(dtype)


@lru_cache(maxsize=8)
def _big_weight(seed: int, salt: str, shape: tuple[int, ...], scale: float) -> Array:
    """A weight of hundreds of MB from a few random blocks, each copy rotated so that no two are equal."""
    lead = shape[0]
    base = normal(seed, salt, (min(4, lead), *shape[1:]), scale)
    return _rotated(base, lead)


def _rotated(base: Array, lead: int) -> Array:
    """[lead, ...] from the few blocks of base, each copy's rows rotated by another number."""
    rows = base.shape[1]
    weight = np.empty((lead, *base.shape[1:]), dtype=base.dtype)
    for index in range(lead):
        shift = (37 * (index // len(base))) % rows
        block = base[index % len(base)]
        weight[index, : rows - shift] = block[shift:]
        weight[index, rows - shift :] = block[:shift]
    weight.setflags(write=False)
    return weight


@lru_cache(maxsize=4)
def fp8_experts(shapes: Shapes, seed: int) -> tuple[Array, Array, Array]:
    """Bytes of fp8 gate_up and down, and fp32 scales [experts, 3] of gate, up and down, no two equal."""
    kinds = min(4, shapes.experts)
    both = normal(seed, "gate_up", (kinds, shapes.hidden, 2 * shapes.inner), shapes.hidden**-0.5)
    second = normal(seed, "down", (kinds, shapes.inner, shapes.hidden), shapes.inner**-0.5)
    gate_up, down, scales = quantised_experts(both, second)
    factor = generator(seed, "scales").uniform(0.5, 1.5, (shapes.experts, 3)).astype(np.float32)
    repeated = scales[np.arange(shapes.experts) % kinds] * factor
    return _rotated(gate_up, shapes.experts), _rotated(down, shapes.experts), repeated


def gate_up(shapes: Shapes, seed: int) -> Array:
    """[experts, hidden, 2 * inner]; gate in the first half of the columns."""
    return _big_weight(
        seed, "gate_up", (shapes.experts, shapes.hidden, 2 * shapes.inner), shapes.hidden**-0.5
    )


def down(shapes: Shapes, seed: int) -> Array:
    """[experts, inner, hidden]."""
    return _big_weight(seed, "down", (shapes.experts, shapes.inner, shapes.hidden), shapes.inner**-0.5)


@lru_cache(maxsize=2)
def head_weight(shapes: Shapes, seed: int) -> Array:
    """[hidden, vocabulary] from 256 random columns, each copy rotated."""
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


def routing_logits(shapes: Shapes, tokens: int, real: int, seed: int) -> Array:
    """Router logits [T, E]: expert popularity is log-normal.

    Tokens from `real` on are padding: one repeated token whose routing hardly varies, as in a padded bucket.
    """
    rng = generator(seed, "routing")
    popularity = rng.normal(0.0, 0.5, shapes.experts)
    logits: Array = popularity + rng.normal(0.0, 1.5, (tokens, shapes.experts))
    if real < tokens:
        repeated = popularity + rng.normal(0.0, 1.5, shapes.experts)
        logits[real:] = repeated + rng.normal(0.0, 0.1, (tokens - real, shapes.experts))
    return logits


def routing(shapes: Shapes, tokens: int, real: int, seed: int) -> tuple[Array, Array]:
    """Expert ids [T, 8] uint32 (distinct, best first) and affinities [T, 8] fp32 that sum to one, of
    `routing_logits`.
    """
    logits = routing_logits(shapes, tokens, real, seed)
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
    """What a launch runs on: its tokens, how many are real, the bucket, and the cache position.

    A decode step of several `sequences` has one token of each, all at the same position.
    """

    tokens: int
    real: int
    bucket: int
    position: int
    sequences: int = 1

    @property
    def decoding(self) -> bool:
        """Whether tokens are each the newest of its sequence."""
        return self.tokens == self.sequences

    def __post_init__(self) -> None:
        if not 0 < self.real <= self.tokens:
            raise UnsupportedShape(
                f"{self.real} real tokens do not fit a launch of {self.tokens}",
                "use between 1 and the bucket",
            )
