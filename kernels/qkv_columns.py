"""QKV projection of up to 128 tokens with the weight as the stationary operand."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import P, share, transpose_interleaved
from kernels.columns import load_interleaved


@nki.jit
def qkv_columns(x: Any, weight: Any, pieces: int = 4, queues: str = "both") -> Any:
    """x [T, H] and weight [H, (heads + 2) * 128] to q [T, heads * 128], k [T, 128], v [T, 128], T up to 128.

    The weight arrives in few large transfers while the tokens are turned, and its 128 x 128 tiles are
    stationary: up to 64 tokens move past a tile in the 64 cycles it takes anyway, so sixteen tokens cost what
    one does. A head's columns are turned back as they leave PSUM. Bound by the weight's transfer. It loses at
    more than 64 tokens, where moving the weight takes fewer cycles, and to `fused`, which has no trip through
    HBM before or after it.
    """
    tokens, hidden = x.shape
    columns = weight.shape[1]
    heads = columns // P - 2
    assert tokens <= P and hidden % (2 * P) == 0, "up to 128 tokens, hidden in blocks of 256"
    assert columns % P == 0 and heads > 0, "heads of 128"
    outs = (
        nl.ndarray((tokens, heads * P), dtype=x.dtype, buffer=nl.shared_hbm),
        nl.ndarray((tokens, P), dtype=x.dtype, buffer=nl.shared_hbm),
        nl.ndarray((tokens, P), dtype=x.dtype, buffer=nl.shared_hbm),
    )
    low, count = share(columns // P)
    tile = nl.ndarray((tokens, hidden), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar)
    weights = load_interleaved(weight, low * P, count * P, pieces, queues)
    turned = transpose_interleaved(tile, tokens, hidden)
    rows = nl.ndarray((tokens, count, P), dtype=x.dtype, buffer=nl.sbuf)
    for place in range(count):
        acc = nl.ndarray((P, tokens), dtype=nl.float32, buffer=nl.psum)
        for j in range(hidden // P):
            nisa.nc_matmul(
                dst=acc,
                stationary=weights[:, j, place * P : (place + 1) * P],
                moving=turned[:, j, :],
                accumulate=j > 0,
            )
        kept = nl.ndarray((P, tokens), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=kept, src=acc, engine=nisa.engine.scalar)
        back = nl.ndarray((tokens, P), dtype=x.dtype, buffer=nl.psum)
        nisa.nc_transpose(dst=back, data=kept, engine=nisa.engine.tensor)
        nisa.tensor_copy(dst=rows[:, place, :], src=back, engine=nisa.engine.vector)
    _store(rows, outs, low, heads)
    return outs


def _store(rows: Any, outs: Any, low: int, heads: int) -> None:
    """Columns [T, n, 128] from head `low` on to q, and what is beyond the query heads to k and v."""
    tokens, count, _ = rows.shape
    queries = max(0, min(count, heads - low))
    if queries > 0:
        nisa.dma_copy(
            dst=outs[0].reshape((tokens, heads, P))[:, low : low + queries, :],
            src=rows[:, 0:queries, :],
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.sync,
        )
    for which in (1, 2):
        place = heads + which - 1 - low
        if place >= 0 and place < count:
            nisa.dma_copy(
                dst=outs[which],
                src=rows[:, place, :],
                dge_mode=nisa.dge_mode.hwdge,
                engine=nisa.engine.scalar,
            )
