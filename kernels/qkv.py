"""Query, key and value projection of one rank: 8 query heads, one key head, one value head."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, contract, load, load_weight_tiles, share, transpose_tokens


def _split(start: int, stop: int, queries: int, head: int) -> Any:
    """Column ranges of [q | k | v] inside start:stop, none wider than a bank and none across two outputs."""
    cuts = []
    for which, low, high in (
        (0, 0, queries),
        (1, queries, queries + head),
        (2, queries + head, queries + 2 * head),
    ):
        left = max(low, start)
        while left < min(high, stop):
            width = min(BANK, min(high, stop) - left)
            cuts.append((which, left - low, left - start, width))
            left = left + width
    return cuts


@nki.jit
def qkv(x: Any, weight: Any) -> Any:
    """x [T, H] and weight [H, (heads + 2) * 128] to q [T, heads * 128], k [T, 128], v [T, 128].

    Each core computes half of the columns for all tokens. Tokens are transposed on the tensor engine, 128 x
    128 at a time. Bound by the weight transfer at one token (128-row pieces), by matmuls at a full bucket.
    """
    tokens, hidden = x.shape
    columns = weight.shape[1]
    queries = columns - 2 * P
    assert hidden % P == 0 and columns % P == 0 and queries > 0, (
        "hidden and head columns come in blocks of 128"
    )
    outs = (
        nl.ndarray((tokens, queries), dtype=x.dtype, buffer=nl.shared_hbm),
        nl.ndarray((tokens, P), dtype=x.dtype, buffer=nl.shared_hbm),
        nl.ndarray((tokens, P), dtype=x.dtype, buffer=nl.shared_hbm),
    )
    first, size = share(columns, P)
    tiles = load_weight_tiles(weight, first, size)
    for start in range(0, tokens, P):
        rows = min(P, tokens - start)
        turned = transpose_tokens(load(x[start : start + rows, :], x.dtype), rows, hidden)
        for which, target, source, width in _split(first, first + size, queries, P):
            acc = contract(turned, tiles, rows, source, width)
            result = nl.ndarray((rows, width), dtype=x.dtype, buffer=nl.sbuf)
            nisa.tensor_copy(dst=result, src=acc, engine=nisa.engine.scalar)
            nisa.dma_copy(dst=outs[which][start : start + rows, target : target + width], src=result)
    return outs
