"""Attention of one new token over the cache: one key/value head, several query heads per rank."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.attention_prefill import divide, softmax_numerator
from kernels.blocks import BANK, MASKED, P, core_of, load, load_scalar, share, transpose


def load_position(position: Any, rows: int) -> Any:
    """Position [1, 1] uint32 on `rows` partitions."""
    raw = nl.ndarray((rows, 1), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.dma_copy(dst=raw, src=position.ap(pattern=[[0, rows], [1, 1]], offset=0))
    return raw


def as_bound(raw: Any) -> Any:
    """Positions as fp32, for comparison with an iota."""
    bound = nl.ndarray(raw.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=bound, src=raw, engine=nisa.engine.vector)
    return bound


@nki.jit
def attention_decode(q: Any, k_cache: Any, v_cache: Any, position: Any, bucket: int) -> Any:
    """q [1, heads * 128] over rows 0..position of k_cache, v_cache [1, 1, S, 128]; returns [1, heads * 128].

    Only the first `bucket` rows are read. Cores divide the heads. Keys arrive 128 rows at a time (256-byte
    descriptors) and are transposed one by one. Bound by the chain of small transfers, transposes and
    evictions, each with its fixed cost.
    """
    heads = q.shape[1] // P
    out = nl.ndarray(q.shape, dtype=q.dtype, buffer=nl.shared_hbm)
    size = min(P, bucket)
    assert bucket % size == 0 and bucket <= k_cache.shape[2], (
        "below 128 or a multiple of it, inside the cache"
    )
    first, count = share(heads)
    turned = transpose(load(q.reshape((heads, P))[first : first + count, :], q.dtype), count, P)
    k_rows = k_cache.reshape((k_cache.shape[2], P))
    v_rows = v_cache.reshape((v_cache.shape[2], P))
    scores = nl.ndarray((count, bucket), dtype=nl.float32, buffer=nl.sbuf)
    for start in range(0, bucket, size):
        keys = transpose(load(k_rows[start : start + size, :], q.dtype), size, P)
        psum = nl.ndarray((count, size), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=psum, stationary=turned, moving=keys)
        nisa.activation(dst=scores[:, start : start + size], op=nl.copy, data=psum, scale=P**-0.5)
    index = nl.ndarray((count, bucket), dtype=nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=index, pattern=[[1, bucket]], offset=0, channel_multiplier=0)
    order = nl.ndarray((count, bucket), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=order, src=index, engine=nisa.engine.vector)
    penalty = nl.ndarray((count, bucket), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=penalty,
        data=order,
        op0=nl.greater,
        operand0=as_bound(load_position(position, count)),
        op1=nl.multiply,
        operand1=MASKED,
        engine=nisa.engine.vector,
    )
    masked = nl.ndarray((count, bucket), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=masked, data1=scores, data2=penalty, op=nl.add)
    weights, total = softmax_numerator(masked, count, bucket, q.dtype)
    acc = nl.ndarray((count, P), dtype=nl.float32, buffer=nl.psum)
    for start in range(0, bucket, size):
        nisa.nc_matmul(
            dst=acc,
            stationary=transpose(weights[:, start : start + size], count, size),
            moving=load(v_rows[start : start + size, :], q.dtype),
            accumulate=start > 0,
        )
    nisa.dma_copy(
        dst=out.reshape((heads, P))[first : first + count, :], src=divide(acc, total, count, q.dtype)
    )
    return out


@nki.jit
def attention_decode_cached(
    q: Any, k: Any, v: Any, k_cache: Any, v_cache: Any, position: Any, bucket: int
) -> Any:
    """`kv_update` and `attention_decode` in one: returns attention [1, heads * 128] and both caches.

    The new token never makes the trip through HBM: old rows come from the cache, the new key and value from
    the kernel's arguments, and the cache is written off the critical path. Each partition loads bucket / 128
    neighbouring rows in one descriptor (softmax does not care about the order of positions), all transposes
    share one PSUM bank and one eviction, and the scale rides in exp. Bound by the fixed latency of one load
    and of a chain of about ten small instructions; it loses nothing but SBUF at larger buckets.
    """
    core, cores = core_of()
    heads = q.shape[1] // P
    cache_rows = k_cache.shape[2]
    size = min(P, bucket)
    depth = bucket // size
    assert bucket == size * depth and bucket <= cache_rows, "below 128 or a multiple of it, inside the cache"
    out = nl.ndarray(q.shape, dtype=q.dtype, buffer=nl.shared_hbm)
    first, count = share(heads)

    keys = nl.ndarray((size, depth, P), dtype=q.dtype, buffer=nl.sbuf)
    values = nl.ndarray((size, depth, P), dtype=q.dtype, buffer=nl.sbuf)
    neighbours = [[depth * P, size], [P, depth], [1, P]]
    k_old = k_cache.ap(pattern=neighbours, offset=0)
    v_old = v_cache.ap(pattern=neighbours, offset=0)
    sync, scalar = nisa.engine.sync, nisa.engine.scalar
    hwdge = nisa.dge_mode.hwdge
    nisa.dma_copy(dst=keys, src=k_old, dge_mode=hwdge, engine=sync)
    queries = nl.ndarray((count + 1, P), dtype=q.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=queries[0:count, :],
        src=q.reshape((heads, P))[first : first + count, :],
        dge_mode=hwdge,
        engine=scalar,
    )
    nisa.dma_copy(dst=queries[count : count + 1, :], src=k, dge_mode=hwdge, engine=scalar)
    nisa.dma_copy(dst=values, src=v_old, dge_mode=hwdge, engine=sync)
    fresh = nl.ndarray((1, P), dtype=q.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=fresh, src=v, dge_mode=hwdge, engine=scalar)
    bound = as_bound(load_position(position, count))

    # column j * size + p holds position p * depth + j
    index = nl.ndarray((count, depth, size), dtype=nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=index, pattern=[[1, depth], [depth, size]], offset=0, channel_multiplier=0)
    penalty = nl.ndarray((count, bucket), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=penalty,
        data=index.reshape((count, bucket)),
        op0=nl.greater_equal,
        operand0=bound,
        op1=nl.multiply,
        operand1=MASKED,
        engine=nisa.engine.vector,
    )

    turned = transpose(queries, count + 1, P)
    psum = nl.ndarray((P, depth, size), dtype=q.dtype, buffer=nl.psum)
    for j in range(depth):
        nisa.nc_transpose(dst=psum[:, j, :], data=keys[:, j, :], engine=nisa.engine.tensor)
    old = nl.ndarray((P, bucket), dtype=q.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=old, src=psum.reshape((P, bucket)), engine=nisa.engine.vector)

    scores = nl.ndarray((count, bucket + 1), dtype=nl.float32, buffer=nl.sbuf)
    for column in range(0, bucket, BANK):
        width = min(BANK, bucket - column)
        part = nl.ndarray((count, width), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=part, stationary=turned[:, 0:count], moving=old[:, column : column + width])
        nisa.tensor_tensor(
            dst=scores[:, column : column + width],
            data1=part,
            data2=penalty[:, column : column + width],
            op=nl.add,
        )
    own = nl.ndarray((count, 1), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=own, stationary=turned[:, 0:count], moving=turned[:, count : count + 1])
    nisa.tensor_copy(dst=scores[:, bucket : bucket + 1], src=own, engine=nisa.engine.vector)

    peak = nl.ndarray((count, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=peak, op=nl.maximum, data=scores, axis=1, negate=True)
    bias = nl.ndarray((count, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=bias, data=peak, op0=nl.multiply, operand0=P**-0.5, engine=nisa.engine.vector)
    weights = nl.ndarray((count, bucket + 1), dtype=q.dtype, buffer=nl.sbuf)
    total = nl.ndarray((count, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation_reduce(
        dst=weights, op=nl.exp, data=scores, reduce_op=nl.add, reduce_res=total, bias=bias, scale=P**-0.5
    )

    mixed = nl.ndarray((size, depth, count), dtype=q.dtype, buffer=nl.psum)
    for j in range(depth):
        nisa.nc_transpose(
            dst=mixed[:, j, :], data=weights[:, j * size : (j + 1) * size], engine=nisa.engine.tensor
        )
    by_position = nl.ndarray((size, depth, count), dtype=q.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=by_position, src=mixed, engine=nisa.engine.vector)
    own_row = transpose(weights[:, bucket : bucket + 1], count, 1)
    acc = nl.ndarray((count, P), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=acc, stationary=own_row, moving=fresh, accumulate=False)
    for j in range(depth):
        nisa.nc_matmul(dst=acc, stationary=by_position[:, j, :], moving=values[:, j, :], accumulate=True)
    nisa.dma_copy(
        dst=out.reshape((heads, P))[first : first + count, :],
        src=divide(acc, total, count, q.dtype),
        dge_mode=hwdge,
        engine=sync,
    )

    row = load_scalar(position)
    pattern = [[P, 1], [1, P]]
    if core == 0:
        nisa.dma_copy(dst=k_cache.ap(pattern=pattern, offset=0, scalar_offset=row, indirect_dim=2), src=k)
    if core == cores - 1:
        nisa.dma_copy(dst=v_cache.ap(pattern=pattern, offset=0, scalar_offset=row, indirect_dim=2), src=v)
    return out, k_cache, v_cache
