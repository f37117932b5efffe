"""The first half of a decoder layer for a token of each of several sequences, in one kernel."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.attention_block import request_qkv
from kernels.attention_decode import as_bound
from kernels.batch_columns import (
    LANES,
    TOGETHER,
    attend_group,
    load_bounds,
    own_lanes,
    request_caches,
    turn_caches,
)
from kernels.batch_heads import (
    project_columns,
    rotate_columns,
    scaled_columns,
    squares_of,
    turn_angles,
    turn_halves,
)
from kernels.blocks import BANK, P, core_of, load, request_pieces, share, transpose
from kernels.columns import half_turn, inverse_rms_of, load_halves, ones_matrix
from kernels.decode_heads import eps_of_heads, gains_of, load_heads

MOST = 16
"""Sequences a launch takes: their keys, turned, and both caches fit beside the weights."""


@nki.jit
def attention_block_batch(
    x: Any,
    norm_weight: Any,
    qkv: Any,
    q_weight: Any,
    k_weight: Any,
    cos: Any,
    sin: Any,
    k_cache: Any,
    v_cache: Any,
    position: Any,
    o_proj: Any,
    eps: float,
    bucket: int,
    pieces: int = 4,
    queues: str = "both",
) -> Any:
    """x [B, H] to what attention adds to it [B, H], and both caches [B, 1, S, 128], B 4, 8, 12 or 16.

    `attention_block` with B columns where it has one, on the same weights: a stationary tile takes the tensor
    engine as long for sixteen moving columns as for one, so the projection costs what it costs one token.
    Scores of four sequences share a tile, each on its own column tile of the engine, and with it one softmax;
    the new tokens' values enter through a block-diagonal matmul. Attention is then the stationary operand of
    the output projection, whose result is in rows as HBM wants it. Bound by HBM (weights, and at 16 sequences
    as many bytes of cache, which both cores read whole) and by the chain after the last weights. It loses to
    kernels that divide sequences over the cores where caches are long: those read each cache once.
    """
    core, cores = core_of()
    (rows, hidden), heads, parts = x.shape, o_proj.shape[2], qkv.shape[0]
    assert rows % TOGETHER == 0 and rows <= MOST, "4, 8, 12 or 16 sequences"
    assert hidden % (2 * P) == 0 and heads % parts == 0 and heads <= LANES, "up to 32 heads, divided by cores"
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    first, count = share(parts)
    queries = count * (heads // parts)
    columns = turn_halves(x)
    gamma = load_halves(norm_weight)
    keys = request_caches(k_cache, bucket, 0)
    weights = request_qkv(qkv, first, count, pieces, queues)
    gains = gains_of(load_heads(q_weight, k_weight), queries)
    bounds = load_bounds(position)
    values = request_caches(v_cache, bucket, 1)
    tiles = _request_out(o_proj, first, count, queues)

    turned = turn_caches(keys, bucket, x.dtype)
    scaled = scaled_columns(columns, gamma)
    squares = squares_of(columns, ones_matrix())
    inverse, head_eps = inverse_rms_of(squares, eps, hidden), eps_of_heads(squares, eps, hidden)
    angles, narrow = turn_angles(cos, sin), ones_matrix(x.dtype)
    projected = project_columns(weights, scaled, queries + 2)
    asked = nl.ndarray((P, rows, LANES), dtype=x.dtype, buffer=nl.sbuf)
    nisa.memset(dst=asked, value=0.0, engine=nisa.engine.gpsimd)
    by_head = asked.ap(pattern=[[rows * LANES, P], [1, queries], [LANES, rows]], offset=0)
    key = turned[:, :, 0]
    rotate_columns(projected, queries, gains, angles, half_turn(x.dtype), narrow, head_eps, by_head, key)
    value = nl.ndarray((P, rows), dtype=x.dtype, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=value, data1=projected[:, queries + 1, :], data2=inverse, op=nl.multiply)
    _store_rows(key, value, k_cache, v_cache, position, core, cores)
    mine = _attend(asked, turned, values, value, bounds, narrow, queries)
    _project_out(mine, tiles, out, first, core, cores)
    return out, k_cache, v_cache


def _attend(asked: Any, turned: Any, values: Any, fresh: Any, bounds: Any, ones: Any, queries: int) -> Any:
    """Attention of the core's heads, [128, queries, B]; fresh [128, B] are the new values."""
    rows = fresh.shape[1]
    result = nl.ndarray((P, queries, rows), dtype=fresh.dtype, buffer=nl.sbuf)
    mask = own_lanes()
    for group in range(rows // TOGETHER):
        low = group * TOGETHER
        new = transpose(fresh[:, low : low + TOGETHER], P, TOGETHER)
        mixed, inverse = attend_group(
            asked, turned, values[group], new, bounds[:, group : group + 1], mask, ones, group, queries
        )
        target = result.ap(pattern=[[queries * rows, P], [1, TOGETHER], [rows, queries]], offset=low)
        nisa.tensor_tensor(dst=target, data1=mixed, data2=inverse, op=nl.multiply)
    return result


def _request_out(o_proj: Any, first: int, count: int, queues: str) -> Any:
    """The core's columns of the weight, [128, heads, tiles * 128] for each of its shares."""
    heads, tiles = o_proj.shape[2], o_proj.shape[3]
    found = []
    for place in range(count):
        tile = nl.ndarray((P, heads, tiles * P), dtype=o_proj.dtype, buffer=nl.sbuf)
        request_pieces(tile, o_proj[first + place].reshape((P, heads, tiles * P)), heads // 4, queues)
        found.append(tile)
    return found


def _project_out(mine: Any, tiles: Any, out: Any, first: int, core: int, cores: int) -> None:
    """Attention [128, queries, B] of both cores times the core's columns of the weight, to out [B, H].

    The other core's heads travel while the core's own are multiplied.
    """
    queries, rows = mine.shape[1], mine.shape[2]
    held = [(core * queries, mine)]
    if cores == 2:
        theirs = nl.ndarray(mine.shape, dtype=mine.dtype, buffer=nl.sbuf)
        nisa.sendrecv(src=mine, dst=theirs, send_to_rank=1 - core, recv_from_rank=1 - core, pipe_id=0)
        held.append(((1 - core) * queries, theirs))
    width = tiles[0].shape[2]
    step, depth = min(BANK, width), width // P
    for place in range(len(tiles)):
        sums = [nl.ndarray((rows, step), dtype=nl.float32, buffer=nl.psum) for _ in range(0, width, step)]
        for turn in range(len(held)):
            low, heads = held[turn]
            for n in range(len(sums)):
                for head in range(queries):
                    nisa.nc_matmul(
                        dst=sums[n],
                        stationary=heads[:, head, :],
                        moving=tiles[place][:, low + head, n * step : (n + 1) * step],
                        accumulate=turn + head > 0,
                    )
        result = nl.ndarray((rows, width), dtype=out.dtype, buffer=nl.sbuf)
        for n in range(len(sums)):
            # column p of tile t is column p * depth + t of the core's part
            target = result.ap(pattern=[[width, rows], [1, step // P], [depth, P]], offset=n * step // P)
            engine = nisa.engine.vector if n % 2 == 0 else nisa.engine.scalar
            nisa.tensor_copy(dst=target, src=sums[n].reshape((rows, step // P, P)), engine=engine)
        column = (first + place) * width
        nisa.dma_copy(
            dst=out[:, column : column + width],
            src=result,
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.sync,
        )


def _store_rows(
    key: Any, value: Any, k_cache: Any, v_cache: Any, position: Any, core: int, cores: int
) -> None:
    """New keys and values [128, B] into row position[b] of each sequence's caches, one core each."""
    rows, length = k_cache.shape[0], k_cache.shape[2]
    first_row = nl.ndarray((rows, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=first_row, pattern=[[0, 1]], offset=0, channel_multiplier=length)
    where = nl.ndarray((rows, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=where, data1=first_row, data2=as_bound(load(position, nl.uint32)), op=nl.add)
    for owner, column, cache in ((0, key, k_cache), (cores - 1, value, v_cache)):
        if core == owner:
            target = cache.reshape((rows * length, P)).ap(
                pattern=[[P, rows], [1, P]], offset=0, vector_offset=where, indirect_dim=0
            )
            nisa.dma_copy(dst=target, src=transpose(column, P, rows), dge_mode=nisa.dge_mode.swdge)
