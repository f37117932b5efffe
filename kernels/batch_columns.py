"""Attention of several sequences, one new token each, four sequences to a tile of scores.

A sequence's query heads have 32 partitions to themselves (what a column tile of the tensor engine writes),
so four sequences share every instruction of the softmax whatever their number of heads up to 32.
"""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from kernels.attention_decode import as_bound
from kernels.blocks import BANK, P, copy_weights
from kernels.decode_attention import softmax_weights

LANES = 32  # partitions of a sequence in a tile of scores
TOGETHER = P // LANES  # sequences in a tile


def request_caches(cache: Any, bucket: int, turn: int) -> Any:
    """The first `bucket` rows of cache [B, 1, S, 128], a tile [size, 4, bucket / size, 128] for four
    sequences, neighbouring rows on one partition; `turn` chooses the queue of the first.
    """
    size = min(P, bucket)
    depth, length = bucket // size, cache.shape[2]
    assert bucket == size * depth and bucket <= length, "below 128 or a multiple of it, inside the cache"
    found = []
    for first in range(0, cache.shape[0], TOGETHER):
        tile = nl.ndarray((size, TOGETHER, depth, P), dtype=cache.dtype, buffer=nl.sbuf)
        source = cache.ap(
            pattern=[[depth * P, size], [length * P, TOGETHER], [P, depth], [1, P]], offset=first * length * P
        )
        copy_weights("both", turn + first // TOGETHER, tile, source)
        found.append(tile)
    return found


def load_bounds(position: Any) -> Any:
    """Positions [B, 1] as fp32 [128, B / 4]: partition 32 b + h of column g is sequence 4 g + b."""
    groups = position.shape[0] // TOGETHER
    raw = nl.ndarray((P, groups), dtype=nl.uint32, buffer=nl.sbuf)
    for place in range(TOGETHER):
        nisa.dma_copy(
            dst=raw[place * LANES : (place + 1) * LANES, :],
            src=position.ap(pattern=[[0, LANES], [TOGETHER, groups]], offset=place),
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.sync,
        )
    return as_bound(raw)


def turn_caches(keys: Any, bucket: int, dtype: Any) -> Any:
    """Keys of every sequence as columns [128, B, 1 + bucket]: position s in column 1 + s, column 0 free."""
    size, depth = keys[0].shape[0], keys[0].shape[2]
    turned = nl.ndarray((P, len(keys) * TOGETHER, 1 + bucket), dtype=dtype, buffer=nl.sbuf)
    for group in range(len(keys)):
        for place in range(TOGETHER):
            sequence = group * TOGETHER + place
            psum = nl.ndarray((P, depth, size), dtype=dtype, buffer=nl.psum)
            for j in range(depth):
                nisa.nc_transpose(
                    dst=psum[:, j, :], data=keys[group][:, place, j, :], engine=nisa.engine.tensor
                )
            target = turned.ap(
                pattern=[[len(keys) * TOGETHER * (1 + bucket), P], [1, depth], [depth, size]],
                offset=sequence * (1 + bucket) + 1,
            )
            engine = nisa.engine.vector if place % 2 == 0 else nisa.engine.scalar
            nisa.tensor_copy(dst=target, src=psum, engine=engine)
    return turned


def own_lanes() -> Any:
    """[128, 4] of ones where partition 32 b + h meets column b, zeros elsewhere."""
    mask = nl.ndarray((P, TOGETHER), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=mask, value=0.0, engine=nisa.engine.gpsimd)
    for place in range(TOGETHER):
        lanes = slice(place * LANES, (place + 1) * LANES)
        nisa.memset(dst=mask[lanes, place : place + 1], value=1.0, engine=nisa.engine.gpsimd)
    return mask


def attend_group(
    asked: Any, turned: Any, values: Any, fresh: Any, bound: Any, mask: Any, ones: Any, group: int, heads: int
) -> Any:
    """Attention of four sequences as columns [128, 4, heads].

    asked [128, B, 32] are scaled queries, zero beyond their heads; turned [128, B, 1 + bucket] the keys;
    values [size, 4, depth, 128] the old values, fresh [4, 128] the new ones; bound [128, 1] the positions.
    """
    size, depth = values.shape[0], values.shape[2]
    bucket = size * depth
    weights = softmax_weights(_group_scores(asked, turned, group, bucket), bound, P, bucket)
    own = _own_weights(weights, mask, heads)
    by_position = _by_position(weights, size, depth, heads)
    shape = (P, TOGETHER, heads)
    total = nl.ndarray(shape, dtype=nl.float32, buffer=nl.psum)
    mixed = nl.ndarray(shape, dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=total, stationary=ones[0:TOGETHER, :], moving=own, accumulate=False)
    nisa.nc_matmul(dst=mixed, stationary=fresh, moving=own, accumulate=False)
    for j in range(depth):
        nisa.nc_matmul(dst=total, stationary=ones[0:size, :], moving=by_position[:, j, :, :], accumulate=True)
    for place in range(TOGETHER):
        for j in range(depth):
            nisa.nc_matmul(
                dst=mixed[:, place, :],
                stationary=values[:, place, j, :],
                moving=by_position[:, j, place, :],
                accumulate=True,
            )
    inverse = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.reciprocal(dst=inverse, data=total)
    return mixed, inverse


def _group_scores(asked: Any, turned: Any, group: int, bucket: int) -> Any:
    """PSUM [128, 1 + bucket] of four sequences: each column tile of the engine has its own queries."""
    banks = bucket // BANK + 1
    scores = nl.ndarray((P, banks * BANK), dtype=nl.float32, buffer=nl.psum)
    for start in range(0, 1 + bucket, BANK):
        stop = min(1 + bucket, start + BANK)
        for place in range(TOGETHER):
            sequence = group * TOGETHER + place
            nisa.nc_matmul(
                dst=scores[place * LANES : (place + 1) * LANES, start:stop],
                stationary=asked[:, sequence, :],
                moving=turned[:, sequence, start:stop],
                tile_position=(0, place * LANES),
                tile_size=(P, LANES),
            )
    return scores[:, 0 : 1 + bucket]


def _own_weights(weights: Any, mask: Any, heads: int) -> Any:
    """Weights of the new tokens, [4, 4, heads] with zeros off the diagonal."""
    apart = nl.ndarray((P, TOGETHER), dtype=weights.dtype, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=apart, data=mask, op0=nl.multiply, operand0=weights[:, 0:1], engine=nisa.engine.gpsimd
    )
    psum = nl.ndarray((TOGETHER, P), dtype=weights.dtype, buffer=nl.psum)
    nisa.nc_transpose(dst=psum, data=apart, engine=nisa.engine.tensor)
    own = nl.ndarray((TOGETHER, TOGETHER, heads), dtype=weights.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(
        dst=own,
        src=psum.ap(pattern=[[P, TOGETHER], [LANES, TOGETHER], [1, heads]], offset=0),
        engine=nisa.engine.scalar,
    )
    return own


def _by_position(weights: Any, size: int, depth: int, heads: int) -> Any:
    """Weights [128, 1 + size * depth] of old positions as [size, depth, 4, heads], in the values' order."""
    psum = nl.ndarray((size, depth, P), dtype=weights.dtype, buffer=nl.psum)
    for j in range(depth):
        nisa.nc_transpose(
            dst=psum[:, j, :],
            data=weights.ap(pattern=[[1 + size * depth, P], [depth, size]], offset=1 + j),
            engine=nisa.engine.tensor,
        )
    kept = nl.ndarray((size, depth, TOGETHER, heads), dtype=weights.dtype, buffer=nl.sbuf)
    used = psum.ap(pattern=[[depth * P, size], [P, depth], [LANES, TOGETHER], [1, heads]], offset=0)
    nisa.tensor_copy(dst=kept, src=used, engine=nisa.engine.vector)
    return kept
