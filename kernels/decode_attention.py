"""Attention of one token in column-major form: old keys turned ahead of time, the new one beside them."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P


def load_cache(k_cache: Any, v_cache: Any, bucket: int) -> Any:
    """The first `bucket` rows of both caches [1, 1, S, 128], bucket / size neighbouring rows a partition."""
    size = min(P, bucket)
    depth = bucket // size
    assert bucket == size * depth and bucket <= k_cache.shape[2], (
        "below 128 or a multiple of it, inside the cache"
    )
    keys = nl.ndarray((size, depth, P), dtype=k_cache.dtype, buffer=nl.sbuf)
    values = nl.ndarray((size, depth, P), dtype=v_cache.dtype, buffer=nl.sbuf)
    neighbours = [[depth * P, size], [P, depth], [1, P]]
    # keys are turned before the projection, so they go ahead of the weights on the software queue
    nisa.dma_copy(dst=keys, src=k_cache.ap(pattern=neighbours, offset=0), dge_mode=nisa.dge_mode.swdge)
    nisa.dma_copy(
        dst=values,
        src=v_cache.ap(pattern=neighbours, offset=0),
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.scalar,
    )
    return keys, values


def turn_keys(keys: Any, bucket: int, dtype: Any) -> Any:
    """Keys as columns [128, 1 + bucket]: position s in column 1 + s, column 0 free for the new key."""
    size, depth = keys.shape[0], keys.shape[1]
    turned = nl.ndarray((P, 1 + bucket), dtype=dtype, buffer=nl.sbuf)
    psum = nl.ndarray((P, depth, size), dtype=dtype, buffer=nl.psum)
    for j in range(depth):
        nisa.nc_transpose(dst=psum[:, j, :], data=keys[:, j, :], engine=nisa.engine.tensor)
    nisa.tensor_copy(
        dst=turned.ap(pattern=[[1 + bucket, P], [1, depth], [depth, size]], offset=1),
        src=psum,
        engine=nisa.engine.vector,
    )
    return turned


def attend(queries: Any, keys: Any, values: Any, fresh: Any, bound: Any, ones: Any, bucket: int) -> Any:
    """Columns [128, n] of attention for queries [128, n] (scaled) over keys [128, 1 + bucket].

    values [size, depth, 128] are the old ones, fresh [1, 128] the new one. Column 0 of the scores is the new
    token, column s + 1 position s, so the mask is one bound. The sum of the weights comes from a matmul with
    ones, on every partition, beside the sum of the values.
    """
    count = queries.shape[1]
    size, depth = values.shape[0], values.shape[1]
    weights = softmax_weights(_scores(queries, keys, bucket), bound, count, bucket)
    own, by_position = _turn_weights(weights, count, size, depth)
    mixed = nl.ndarray((P, count), dtype=nl.float32, buffer=nl.psum)
    total = nl.ndarray((P, count), dtype=nl.float32, buffer=nl.psum)
    for dst, first in ((total, ones[0:1, :]), (mixed, fresh)):
        nisa.nc_matmul(dst=dst, stationary=first, moving=own, accumulate=False)
        for j in range(depth):
            rows = ones[0:size, :] if dst is total else values[:, j, :]
            nisa.nc_matmul(dst=dst, stationary=rows, moving=by_position[:, j, :], accumulate=True)
    inverse = nl.ndarray((P, count), dtype=nl.float32, buffer=nl.sbuf)
    nisa.reciprocal(dst=inverse, data=total)
    result = nl.ndarray((P, count), dtype=queries.dtype, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=result, data1=mixed, data2=inverse, op=nl.multiply)
    return result


def _scores(queries: Any, keys: Any, bucket: int) -> Any:
    """PSUM [n, 1 + bucket], a bank at a time."""
    banks = bucket // BANK + 1
    scores = nl.ndarray((queries.shape[1], banks * BANK), dtype=nl.float32, buffer=nl.psum)
    for start in range(0, 1 + bucket, BANK):
        stop = min(1 + bucket, start + BANK)
        nisa.nc_matmul(dst=scores[:, start:stop], stationary=queries, moving=keys[:, start:stop])
    return scores[:, 0 : 1 + bucket]


def softmax_weights(scores: Any, bound: Any, count: int, bucket: int) -> Any:
    """exp(score - largest) up to column `bound`, zero beyond, [n, 1 + bucket].

    The mask and the largest score are one instruction; on trn3 so are the shift and the exponential.
    """
    masked = nl.ndarray((count, 1 + bucket), dtype=nl.float32, buffer=nl.sbuf)
    largest = nl.ndarray((count, 1), dtype=nl.float32, buffer=nl.sbuf)
    zero = nl.ndarray((count, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=zero, value=0.0, engine=nisa.engine.gpsimd)
    nisa.range_select(
        dst=masked,
        on_true_tile=scores,
        comp_op0=nl.greater_equal,
        comp_op1=nl.less_equal,
        bound0=zero,
        bound1=bound,
        reduce_res=largest,
        reduce_op=nl.maximum,
    )
    weights = nl.ndarray((count, 1 + bucket), dtype=nl.bfloat16, buffer=nl.sbuf)
    if nisa.get_nc_version() >= nisa.nc_version.gen4:
        nisa.exponential(dst=weights, src=masked, max_value=largest)
    else:
        shift = nl.ndarray((count, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=shift, data=largest, op0=nl.multiply, operand0=-1.0, engine=nisa.engine.vector)
        nisa.activation(dst=weights, op=nl.exp, data=masked, bias=shift)
    return weights


def _turn_weights(weights: Any, count: int, size: int, depth: int) -> Any:
    """Weights [n, 1 + size * depth] as [1, n] of the new token and [size, depth, n] in the values' order."""
    own_psum = nl.ndarray((1, count), dtype=weights.dtype, buffer=nl.psum)
    nisa.nc_transpose(dst=own_psum, data=weights[:, 0:1], engine=nisa.engine.tensor)
    own = nl.ndarray((1, count), dtype=weights.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=own, src=own_psum, engine=nisa.engine.scalar)
    psum = nl.ndarray((size, depth, count), dtype=weights.dtype, buffer=nl.psum)
    for j in range(depth):
        nisa.nc_transpose(
            dst=psum[:, j, :],
            data=weights.ap(pattern=[[1 + size * depth, count], [depth, size]], offset=1 + j),
            engine=nisa.engine.tensor,
        )
    by_position = nl.ndarray((size, depth, count), dtype=weights.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=by_position, src=psum, engine=nisa.engine.vector)
    return own, by_position
