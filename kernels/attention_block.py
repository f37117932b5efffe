"""The first half of a decoder layer for one token in one kernel: norm, QKV, RoPE, attention, projection."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.attention_decode import as_bound, load_position
from kernels.blocks import P, core_of, load_scalar, request_pieces, share
from kernels.columns import half_turn, inverse_rms_of, load_column, ones_matrix, scaled_column, sum_of_squares
from kernels.decode_attention import attend, load_cache, turn_keys
from kernels.decode_heads import (
    eps_of_heads,
    gains_of,
    load_angles,
    load_heads,
    project,
    rotate_heads,
    value_row,
)


@nki.jit
def attention_block(
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
) -> Any:
    """x [1, H] to what attention adds to it [1, H], and both caches with the new row.

    qkv and o_proj are laid out by `kernels.layouts`: each core's share is contiguous, 24 and 16 KiB per
    partition for Qwen3-30B-A3B, and all of it is requested before anything is computed, so the projections'
    weights arrive while norm, RoPE and softmax run. Everything stays column-major on 128 partitions; a core
    computes half of the query heads and the one key and value, sends the other its heads ([128, 4]) and then
    computes half of the columns. 1 / rms is not waited for: it cancels in the q/k norm but for eps.
    Bound by the transfer of its weights and, after the last of them, by a chain of some twenty small
    instructions and one exchange. It loses at several tokens (a token loop would repeat the chain), and where
    loading stationary tiles is not hidden: weights are the stationary operand of every matmul.
    """
    core, cores = core_of()
    hidden, heads = x.shape[1], o_proj.shape[2]
    parts = qkv.shape[0]
    assert x.shape[0] == 1 and hidden % (2 * P) == 0 and heads % parts == 0, "one token, heads for each core"
    out = nl.ndarray((1, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    first, count = share(parts)
    queries = count * (heads // parts)

    column, gamma = load_column(x), load_column(norm_weight)
    keys, values = load_cache(k_cache, v_cache, bucket)
    weights = _request_qkv(qkv, first, count)
    head_weights, angles = load_heads(q_weight, k_weight), load_angles(cos, sin)
    places = load_position(position, queries)
    tiles = _request_o_proj(o_proj, first, count, queries)
    turn, ones, narrow = half_turn(x.dtype), ones_matrix(nl.float32), ones_matrix(x.dtype)

    scaled = scaled_column(column, gamma)
    squares = sum_of_squares(column, ones)
    head_eps, inverse = eps_of_heads(squares, eps, hidden), inverse_rms_of(squares, eps, hidden)
    turned = turn_keys(keys, bucket, x.dtype)
    gains, bound = gains_of(head_weights, queries), as_bound(places)
    projected = project(weights, scaled, queries + 2)
    asked = rotate_heads(projected, queries, gains, angles, turn, narrow, head_eps, turned)
    fresh = value_row(projected[:, queries + 1 : queries + 2], inverse, x.dtype)
    mine = attend(asked, turned, values, fresh, bound, narrow, bucket)
    _store_row(turned[:, 0:1], fresh, k_cache, v_cache, position, core, cores)
    result = _project_out(mine, tiles, queries, heads, core, cores)
    for place in range(count):
        nisa.dma_copy(
            dst=out.reshape((parts, P, hidden // parts // P))[first + place],
            src=result[place],
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.sync,
        )
    return out, k_cache, v_cache


def _request_qkv(qkv: Any, first: int, count: int) -> Any:
    """The core's shares of the weight, [128, H / 128, columns] each, H interleaved; key and value once."""
    hidden, columns = qkv.shape[1], qkv.shape[2]
    tiles = []
    for place in range(count):
        size = columns if place == count - 1 else columns - 2 * P
        tile = nl.ndarray((P, hidden // P, size), dtype=qkv.dtype, buffer=nl.sbuf)
        source = qkv[first + place].reshape((P, hidden // P, columns))[:, :, 0:size]
        request_pieces(tile, source, max(1, hidden // P // 4))
        tiles.append(tile)
    return tiles


def _request_o_proj(o_proj: Any, first: int, count: int, queries: int) -> Any:
    """The core's columns of the weight, [128, heads, tiles * 128] each, its own heads first."""
    heads, tiles = o_proj.shape[2], o_proj.shape[3]
    found = []
    own = first * (heads // o_proj.shape[0])
    for place in range(count):
        tile = nl.ndarray((P, heads, tiles * P), dtype=o_proj.dtype, buffer=nl.sbuf)
        source = o_proj[first + place].reshape((P, heads, tiles * P))
        for start in (own, queries - own):
            if start < heads:
                piece = slice(start, start + queries)
                request_pieces(tile[:, piece, :], source[:, piece, :], (queries + 1) // 2)
        found.append(tile)
    return found


def _project_out(mine: Any, tiles: Any, queries: int, heads: int, core: int, cores: int) -> Any:
    """Columns [128, tiles] of attention times the weight, for each of this core's shares.

    The other core's heads travel while this core's own are multiplied.
    """
    own = core * queries
    theirs = None
    if cores == 2:
        theirs = nl.ndarray((P, queries), dtype=mine.dtype, buffer=nl.sbuf)
        nisa.sendrecv(src=mine, dst=theirs, send_to_rank=1 - core, recv_from_rank=1 - core, pipe_id=0)
    results = []
    for tile in tiles:
        width = tile.shape[2] // P
        total = _contract_heads(mine, tile, own, width)
        result = nl.ndarray((P, width), dtype=mine.dtype, buffer=nl.sbuf)
        if cores == 2:
            kept = nl.ndarray((P, width), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_copy(dst=kept, src=total, engine=nisa.engine.scalar)
            other = _contract_heads(theirs, tile, heads - queries - own, width)
            nisa.tensor_tensor(dst=result, data1=other, data2=kept, op=nl.add)
        else:
            nisa.tensor_copy(dst=result, src=total, engine=nisa.engine.vector)
        results.append(result)
    return results


def _contract_heads(attention: Any, tile: Any, first: int, width: int) -> Any:
    """PSUM [128, width]: columns of attention [128, n] times heads first:first+n of the weight."""
    total = nl.ndarray((P, width), dtype=nl.float32, buffer=nl.psum)
    for n in range(width):
        for head in range(attention.shape[1]):
            nisa.nc_matmul(
                dst=total[:, n : n + 1],
                stationary=tile[:, first + head, n * P : (n + 1) * P],
                moving=attention[:, head : head + 1],
                accumulate=head > 0,
            )
    return total


def _store_row(
    key: Any, value: Any, k_cache: Any, v_cache: Any, position: Any, core: int, cores: int
) -> None:
    """The new key [128, 1] and value [1, 128] into the caches, one core each."""
    row = load_scalar(position)
    pattern = [[P, 1], [1, P]]
    if core == 0:
        psum = nl.ndarray((1, P), dtype=key.dtype, buffer=nl.psum)
        nisa.nc_transpose(dst=psum, data=key, engine=nisa.engine.tensor)
        turned = nl.ndarray((1, P), dtype=key.dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=turned, src=psum, engine=nisa.engine.scalar)
        nisa.dma_copy(
            dst=k_cache.ap(pattern=pattern, offset=0, scalar_offset=row, indirect_dim=2), src=turned
        )
    if core == cores - 1:
        nisa.dma_copy(dst=v_cache.ap(pattern=pattern, offset=0, scalar_offset=row, indirect_dim=2), src=value)
