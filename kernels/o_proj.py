"""Attention output projection of one rank; the sum over ranks is an all-reduce outside."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import (
    BANK,
    P,
    contract,
    load,
    load_weight_tiles,
    request_pieces,
    share,
    transpose_interleaved,
    transpose_tokens,
)


@nki.jit
def o_proj(x: Any, weight: Any) -> Any:
    """x [T, K] and weight [K, H] to x @ weight [T, H].

    Each core computes half of the columns for all tokens. Bound by the weight transfer at one token, by
    matmuls at a full bucket.
    """
    tokens, inner = x.shape
    hidden = weight.shape[1]
    assert inner % P == 0 and hidden % P == 0, "both dimensions come in blocks of 128"
    out = nl.ndarray((tokens, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    first, size = share(hidden, P)
    tiles = load_weight_tiles(weight, first, size)
    for start in range(0, tokens, P):
        rows = min(P, tokens - start)
        turned = transpose_tokens(load(x[start : start + rows, :], x.dtype), rows, inner)
        for column in range(0, size, BANK):
            width = min(BANK, size - column)
            acc = contract(turned, tiles, rows, column, width)
            result = nl.ndarray((rows, width), dtype=x.dtype, buffer=nl.sbuf)
            nisa.tensor_copy(dst=result, src=acc, engine=nisa.engine.scalar)
            nisa.dma_copy(dst=out[start : start + rows, first + column : first + column + width], src=result)
    return out


@nki.jit
def o_proj_interleaved(x: Any, weight: Any, pieces: int = 4, queues: str = "both") -> Any:
    """`o_proj` for one token with K interleaved over partitions, so no transpose and few transfers.

    Partition p holds x[8p:8p+8] and the same rows of the weight. The weight comes as four transfers that take
    turns on a hardware and a software queue, and the first rows' matmuls run while the rest arrives. Bound by
    the weight's bytes. It loses for many tokens: x would then arrive in 16-byte pieces.
    """
    tokens, inner = x.shape
    hidden = weight.shape[1]
    assert tokens == 1 and inner % (2 * P) == 0 and hidden % P == 0, "one token, K in blocks of 256"
    out = nl.ndarray((1, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    depth = inner // P
    first, size = share(hidden, P)
    rows = weight.reshape((P, depth, hidden))
    tiles = nl.ndarray((P, depth, size), dtype=weight.dtype, buffer=nl.sbuf)
    column = nl.ndarray((P, depth), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=column, src=x.reshape((P, depth)), dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar
    )
    request_pieces(tiles, rows[:, :, first : first + size], max(1, depth // pieces), queues)
    result = nl.ndarray((1, size), dtype=x.dtype, buffer=nl.sbuf)
    accs = []
    for start in range(0, size, BANK):
        accs.append(nl.ndarray((1, min(BANK, size - start)), dtype=nl.float32, buffer=nl.psum))
    for k in range(depth):
        for n in range(len(accs)):
            width = accs[n].shape[1]
            nisa.nc_matmul(
                dst=accs[n],
                stationary=column[:, k : k + 1],
                moving=tiles[:, k, n * BANK : n * BANK + width],
                accumulate=k > 0,
            )
    for n in range(len(accs)):
        width = accs[n].shape[1]
        engine = nisa.engine.vector if n % 2 == 0 else nisa.engine.scalar
        nisa.tensor_copy(dst=result[:, n * BANK : n * BANK + width], src=accs[n], engine=engine)
    nisa.dma_copy(
        dst=out[:, first : first + size], src=result, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.sync
    )
    return out


@nki.jit
def o_proj_rows(x: Any, weight: Any, pieces: int = 4, queues: str = "both") -> Any:
    """`o_proj` for 1 to 128 tokens: the weight as `o_proj_interleaved` loads it, the tokens turned to match.

    All tokens are one stationary tile, turned a PSUM bank at a time while the first rows of the weight are on
    their way; the answer leaves in one transfer. Bound by the weight's bytes at few tokens, by its columns
    moving past the tile at 128. It is level with `interleaved` at one token, where that needs no
    transpose, and does not run beyond 128, where a bucket would need a tile after the other.
    """
    tokens, inner = x.shape
    hidden = weight.shape[1]
    assert tokens <= P and inner % (2 * P) == 0 and hidden % P == 0, "up to 128 tokens, K in blocks of 256"
    out = nl.ndarray((tokens, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    depth = inner // P
    first, size = share(hidden, P)
    tile = nl.ndarray((tokens, inner), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar)
    tiles = nl.ndarray((P, depth, size), dtype=weight.dtype, buffer=nl.sbuf)
    rows = weight.reshape((P, depth, hidden))
    request_pieces(tiles, rows[:, :, first : first + size], max(1, depth // pieces), queues)
    turned = transpose_interleaved(tile, tokens, inner)
    result = nl.ndarray((tokens, size), dtype=x.dtype, buffer=nl.sbuf)
    for start in range(0, size, BANK):
        width = min(BANK, size - start)
        acc = contract(turned, tiles, tokens, start, width)
        engine = nisa.engine.vector if (start // BANK) % 2 == 0 else nisa.engine.scalar
        nisa.tensor_copy(dst=result[:, start : start + width], src=acc, engine=engine)
    nisa.dma_copy(
        dst=out[:, first : first + size], src=result, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.sync
    )
    return out
