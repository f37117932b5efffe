"""Several sequences in one decode step: their caches written and read, one new token each."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.attention_decode import as_bound
from kernels.attention_prefill import divide
from kernels.blocks import MASKED, P, copy_weights, core_of, load, share, transpose


@nki.jit
def kv_update_batch(k: Any, v: Any, k_cache: Any, v_cache: Any, position: Any) -> Any:
    """k, v [B, 128] into k_cache, v_cache [B, 1, S, 128], sequence b at row position[b]; returns both caches,
    in place.

    One scatter per cache, one core each: a sequence's row in the cache seen as [B * S, 128] is its position
    plus b * S. Bound by the fixed cost of a transfer whose addresses software writes.
    """
    core, cores = core_of()
    sequences, head = k.shape
    rows = k_cache.shape[2]
    first_row = nl.ndarray((sequences, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=first_row, pattern=[[0, 1]], offset=0, channel_multiplier=rows)
    where = nl.ndarray((sequences, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=where, data1=first_row, data2=as_bound(load(position, nl.uint32)), op=nl.add)
    for owner, new, cache in ((0, k, k_cache), (cores - 1, v, v_cache)):
        if core == owner:
            target = cache.reshape((sequences * rows, head)).ap(
                pattern=[[head, sequences], [1, head]], offset=0, vector_offset=where, indirect_dim=0
            )
            nisa.dma_copy(dst=target, src=load(new, new.dtype), dge_mode=nisa.dge_mode.swdge)
    return k_cache, v_cache


@nki.jit
def attention_decode_batch(q: Any, k_cache: Any, v_cache: Any, position: Any, bucket: int) -> Any:
    """q [B, heads * 128] over rows 0..position[b] of k_cache, v_cache [B, 1, S, 128]; returns [B, heads *
    128].

    Cores divide the sequences; nothing is shared between sequences but the instructions: scores are made with
    keys stationary, so that every head of every sequence ends as one row of one tile, and the softmax of a
    core's rows is four instructions whatever the batch. Each cache arrives in one transfer a sequence, on
    alternating kinds of queue. Bound by transposes of keys, one per 128 rows and sequence; a lone sequence
    would leave one core idle.
    """
    sequences, heads = q.shape[0], q.shape[1] // P
    size = min(P, bucket)
    depth = bucket // size
    assert bucket == size * depth and bucket <= k_cache.shape[2], (
        "below 128 or a multiple of it, inside the cache"
    )
    out = nl.ndarray(q.shape, dtype=q.dtype, buffer=nl.shared_hbm)
    first, count = share(sequences)
    rows = count * heads
    assert rows <= P, "a core holds up to 128 heads of all its sequences"
    if count > 0:
        own = slice(first * heads, first * heads + rows)
        keys, values = [], []
        for place in range(count):
            keys.append(_cache_rows(k_cache, first + place, size, depth, 2 * place))
            values.append(_cache_rows(v_cache, first + place, size, depth, 2 * place + 1))
        turned = transpose(load(q.reshape((sequences * heads, P))[own, :], q.dtype), rows, P)
        scores = _scores(turned, keys, heads, _penalty(position, first, count, heads, size, depth))
        weights, total = _softmax(scores, rows, bucket, q.dtype)
        mixed = _mix(weights, values, heads, size)
        nisa.dma_copy(
            dst=out.reshape((sequences * heads, P))[own, :],
            src=divide(transpose(mixed, P, rows), total, rows, q.dtype),
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.sync,
        )
    return out


def _cache_rows(cache: Any, sequence: int, size: int, depth: int, turn: int) -> Any:
    """The first size * depth rows of a sequence as [size, depth, 128]: neighbours on one partition."""
    tile = nl.ndarray((size, depth, P), dtype=cache.dtype, buffer=nl.sbuf)
    source = cache.ap(pattern=[[depth * P, size], [P, depth], [1, P]], offset=sequence * cache.shape[2] * P)
    copy_weights("both", turn, tile, source)
    return tile


def _penalty(position: Any, first: int, count: int, heads: int, size: int, depth: int) -> Any:
    """[count * heads, bucket]: MASKED after each sequence's position; column j * size + p is p * depth +
    j.
    """
    rows = count * heads
    raw = nl.ndarray((rows, 1), dtype=nl.uint32, buffer=nl.sbuf)
    for place in range(count):
        nisa.dma_copy(
            dst=raw[place * heads : (place + 1) * heads, :],
            src=position.ap(pattern=[[0, heads], [1, 1]], offset=first + place),
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.scalar,
        )
    index = nl.ndarray((rows, depth, size), dtype=nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=index, pattern=[[1, depth], [depth, size]], offset=0, channel_multiplier=0)
    penalty = nl.ndarray((rows, depth * size), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=penalty,
        data=index.reshape((rows, depth * size)),
        op0=nl.greater,
        operand0=as_bound(raw),
        op1=nl.multiply,
        operand1=MASKED,
        engine=nisa.engine.vector,
    )
    return penalty


def _scores(turned: Any, keys: Any, heads: int, penalty: Any) -> Any:
    """fp32 [rows, bucket] of queries [128, rows] with each sequence's keys [size, depth, 128], masked."""
    size, depth, _ = keys[0].shape
    rows = turned.shape[1]
    by_dimension = []
    for place in range(len(keys)):
        psum = nl.ndarray((P, depth, size), dtype=turned.dtype, buffer=nl.psum)
        for j in range(depth):
            nisa.nc_transpose(dst=psum[:, j, :], data=keys[place][:, j, :], engine=nisa.engine.tensor)
        tile = nl.ndarray((P, depth, size), dtype=turned.dtype, buffer=nl.sbuf)
        engine = nisa.engine.vector if place % 2 == 0 else nisa.engine.scalar
        nisa.tensor_copy(dst=tile, src=psum, engine=engine)
        by_dimension.append(tile)
    scores = nl.ndarray((rows, depth * size), dtype=nl.float32, buffer=nl.sbuf)
    for j in range(depth):
        psum = nl.ndarray((size, rows), dtype=nl.float32, buffer=nl.psum)
        for place in range(len(keys)):
            own = slice(place * heads, (place + 1) * heads)
            nisa.nc_matmul(dst=psum[:, own], stationary=by_dimension[place][:, j, :], moving=turned[:, own])
        column = nl.ndarray((size, rows), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=column, src=psum, engine=nisa.engine.scalar)
        row = nl.ndarray((rows, size), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_transpose(dst=row, data=column, engine=nisa.engine.tensor)
        part = slice(j * size, (j + 1) * size)
        nisa.tensor_tensor(dst=scores[:, part], data1=row, data2=penalty[:, part], op=nl.add)
    return scores


def _softmax(scores: Any, rows: int, bucket: int, dtype: Any) -> Any:
    """exp of scores / sqrt(128) less each row's peak, and its row sum [rows, 1]."""
    peak = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=peak, op=nl.maximum, data=scores, axis=1, negate=True)
    bias = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=bias, data=peak, op0=nl.multiply, operand0=P**-0.5, engine=nisa.engine.vector)
    weights = nl.ndarray((rows, bucket), dtype=dtype, buffer=nl.sbuf)
    total = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation_reduce(
        dst=weights, op=nl.exp, data=scores, reduce_op=nl.add, reduce_res=total, bias=bias, scale=P**-0.5
    )
    return weights, total


def _mix(weights: Any, values: Any, heads: int, size: int) -> Any:
    """fp32 [128, rows]: each sequence's values [size, depth, 128] by its rows of weights [rows, bucket]."""
    rows, bucket = weights.shape
    depth = bucket // size
    psum = nl.ndarray((size, depth, rows), dtype=weights.dtype, buffer=nl.psum)
    for j in range(depth):
        nisa.nc_transpose(
            dst=psum[:, j, :], data=weights[:, j * size : (j + 1) * size], engine=nisa.engine.tensor
        )
    by_position = nl.ndarray((size, depth, rows), dtype=weights.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=by_position, src=psum, engine=nisa.engine.vector)
    acc = nl.ndarray((P, rows), dtype=nl.float32, buffer=nl.psum)
    for place in range(len(values)):
        own = slice(place * heads, (place + 1) * heads)
        for j in range(depth):
            nisa.nc_matmul(
                dst=acc[:, own],
                stationary=values[place][:, j, :],
                moving=by_position[:, j, own],
                accumulate=j > 0,
            )
    mixed = nl.ndarray((P, rows), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=mixed, src=acc, engine=nisa.engine.scalar)
    return mixed
