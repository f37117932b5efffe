"""The first half of a decoder layer for one token in one kernel: norm, QKV, RoPE, attention, projection."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.attention_decode import as_bound, load_position
from kernels.blocks import P, core_of, load_scalar, request_pieces, share
from kernels.columns import half_turn, inverse_rms_of, load_halves, ones_matrix, scaled_column, sum_of_squares
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
    pieces: int = 4,
    queues: str = "both",
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
    column, gamma = load_halves(x), load_halves(norm_weight)
    loaded = request_attention(
        qkv, q_weight, k_weight, cos, sin, k_cache, v_cache, position, o_proj, bucket, pieces, queues
    )
    result, key, value = attention_share(column, gamma, loaded, eps, bucket, core, cores)
    store_row(key, value, k_cache, v_cache, position, core, cores)
    store_share(result, out)
    return out, k_cache, v_cache


def request_attention(
    qkv: Any,
    q_weight: Any,
    k_weight: Any,
    cos: Any,
    sin: Any,
    k_cache: Any,
    v_cache: Any,
    position: Any,
    o_proj: Any,
    bucket: int,
    pieces: int = 4,
    queues: str = "both",
) -> Any:
    """Everything attention reads from HBM but its input, requested in the order of use.

    Each half of the qkv weight comes in `pieces` transfers; `queues` are those of `copy_weights`.
    """
    heads, parts = o_proj.shape[2], qkv.shape[0]
    first, count = share(parts)
    queries = count * (heads // parts)
    caches = load_cache(k_cache, v_cache, bucket)
    weights = request_qkv(qkv, first, count, pieces, queues)
    small = (load_heads(q_weight, k_weight), load_angles(cos, sin), load_position(position, queries))
    return caches, weights, small, _request_o_proj(o_proj, first, count, queries, queues)


def attention_share(
    column: Any, gamma: Any, loaded: Any, eps: float, bucket: int, core: int, cores: int
) -> Any:
    """The core's part [128, n] of what attention adds to a token's column [128, H / 128], and the new row.

    The row is a key column [128, 1] and a value row [1, 128]; n is H / 256 for each half the core computes.
    """
    (keys, values), weights, (head_weights, angles, places), tiles = loaded
    dtype, heads, queries = column.dtype, tiles[0].shape[1], places.shape[0]
    turn, ones, narrow = half_turn(dtype), ones_matrix(nl.float32), ones_matrix(dtype)
    turned = turn_keys(keys, bucket, dtype)
    scaled = scaled_column(column, gamma)
    squares, width = sum_of_squares(column, ones), column.shape[1] * P
    head_eps, inverse = eps_of_heads(squares, eps, width), inverse_rms_of(squares, eps, width)
    gains, bound = gains_of(head_weights, queries), as_bound(places)
    projected = project(weights, scaled, queries + 2)
    asked = rotate_heads(projected, queries, gains, angles, turn, narrow, head_eps, turned)
    fresh = value_row(projected[:, queries + 1 : queries + 2], inverse, dtype)
    mine = attend(asked, turned, values, fresh, bound, narrow, bucket)
    return _project_out(mine, tiles, queries, heads, core, cores), turned[:, 0:1], fresh


def store_share(result: Any, out: Any) -> None:
    """The core's part [128, n] of a row to its half of out [1, H], or both halves."""
    first, count = share(2)
    width = out.shape[1] // 2 // P
    for place in range(count):
        nisa.dma_copy(
            dst=out.reshape((2, P, width))[first + place],
            src=result[:, place * width : (place + 1) * width],
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.sync,
        )


def request_qkv(qkv: Any, first: int, count: int, pieces: int, queues: str) -> Any:
    """The core's shares of the weight, [128, H / 128, columns] each, key and value once.

    H is laid out as `load_halves` does it.
    """
    hidden, columns = qkv.shape[1], qkv.shape[2]
    width = hidden // 2 // P
    tiles = []
    for place in range(count):
        size = columns if place == count - 1 else columns - 2 * P
        tile = nl.ndarray((P, 2 * width, size), dtype=qkv.dtype, buffer=nl.sbuf)
        halves = qkv[first + place].reshape((2, P, width, columns))
        for half in (0, 1):
            piece = tile[:, half * width : (half + 1) * width, :]
            request_pieces(piece, halves[half][:, :, 0:size], (width + pieces - 1) // pieces, queues)
        tiles.append(tile)
    return tiles


def _request_o_proj(o_proj: Any, first: int, count: int, queries: int, queues: str) -> Any:
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
                request_pieces(tile[:, piece, :], source[:, piece, :], (queries + 1) // 2, queues)
        found.append(tile)
    return found


def _project_out(mine: Any, tiles: Any, queries: int, heads: int, core: int, cores: int) -> Any:
    """Attention times the weight, [128, tiles] for each of the core's shares side by side.

    The other core's heads travel while the core's own are multiplied.
    """
    own, width = core * queries, tiles[0].shape[2] // P
    theirs = None
    if cores == 2:
        theirs = nl.ndarray((P, queries), dtype=mine.dtype, buffer=nl.sbuf)
        nisa.sendrecv(src=mine, dst=theirs, send_to_rank=1 - core, recv_from_rank=1 - core, pipe_id=0)
    result = nl.ndarray((P, len(tiles) * width), dtype=mine.dtype, buffer=nl.sbuf)
    for place in range(len(tiles)):
        piece = result[:, place * width : (place + 1) * width]
        total = _contract_heads(mine, tiles[place], own, width)
        if cores == 2:
            kept = nl.ndarray((P, width), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_copy(dst=kept, src=total, engine=nisa.engine.scalar)
            other = _contract_heads(theirs, tiles[place], heads - queries - own, width)
            nisa.tensor_tensor(dst=piece, data1=other, data2=kept, op=nl.add)
        else:
            nisa.tensor_copy(dst=piece, src=total, engine=nisa.engine.vector)
    return result


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


def store_row(key: Any, value: Any, k_cache: Any, v_cache: Any, position: Any, core: int, cores: int) -> None:
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
