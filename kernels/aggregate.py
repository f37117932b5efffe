"""Expert aggregation: each token's weighted sum of its experts' answers, in fp32, in the router's order."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, load, share


@nki.jit
def aggregate(y: Any, slot: Any, affinities: Any) -> Any:
    """Rows y [R, H], slot [T, K] (row of each choice) and affinities [T, K] to sum_k a_k y[slot_k] [T, H].

    Many tokens: cores divide them, choice after choice is gathered and added, highest affinity first. One
    token: its K rows are gathered onto K partitions and summed by a matmul, cores dividing the columns. Bound
    by GpSimd's descriptors for the gathers.
    """
    if slot.shape[0] == 1:
        out = _one_token(y, slot, affinities)
    else:
        out = _many_tokens(y, slot, affinities)
    return out


def _many_tokens(y: Any, slot: Any, affinities: Any) -> Any:
    """`aggregate` for a prompt; fp32 accumulation on the vector engine."""
    tokens, choices = slot.shape
    hidden = y.shape[1]
    out = nl.ndarray((tokens, hidden), dtype=y.dtype, buffer=nl.shared_hbm)
    first, count = share(tokens)
    for start in range(first, first + count, P):
        rows = min(P, first + count - start)
        where = load(slot[start : start + rows, :], nl.int32)
        scale = load(affinities[start : start + rows, :], nl.float32)
        acc = nl.ndarray((rows, hidden), dtype=nl.float32, buffer=nl.sbuf)
        nisa.memset(dst=acc, value=0.0)
        for k in range(choices):
            index = nl.ndarray((rows, 1), dtype=nl.int32, buffer=nl.sbuf)
            nisa.tensor_copy(dst=index, src=where[:, k : k + 1], engine=nisa.engine.vector)
            piece = _gather(y, index, rows, hidden)
            nisa.scalar_tensor_tensor(
                dst=acc,
                data=piece,
                op0=nl.multiply,
                operand0=scale[:, k : k + 1],
                op1=nl.add,
                operand1=acc,
            )
        result = nl.ndarray((rows, hidden), dtype=y.dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=result, src=acc, engine=nisa.engine.vector)
        nisa.dma_copy(dst=out[start : start + rows, :], src=result)
    return out


def _gather(y: Any, index: Any, rows: int, hidden: int) -> Any:
    """Rows of y named by index [rows, 1]."""
    tile = nl.ndarray((rows, hidden), dtype=y.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=tile,
        src=y.ap(pattern=[[hidden, rows], [1, hidden]], offset=0, vector_offset=index, indirect_dim=0),
        dge_mode=nisa.dge_mode.swdge,
    )
    return tile


def _one_token(y: Any, slot: Any, affinities: Any) -> Any:
    """`aggregate` for one token; the matmul accumulates in fp32 from fp32 operands."""
    choices = slot.shape[1]
    hidden = y.shape[1]
    out = nl.ndarray((1, hidden), dtype=y.dtype, buffer=nl.shared_hbm)
    index = load(slot.reshape((choices, 1)), nl.int32)
    scale = load(affinities.reshape((choices, 1)), nl.float32)
    wide = nl.ndarray((choices, hidden), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=wide, src=_gather(y, index, choices, hidden), engine=nisa.engine.vector)
    first, size = share(hidden, P)
    for column in range(first, first + size, BANK):
        width = min(BANK, first + size - column)
        acc = nl.ndarray((1, width), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=acc, stationary=scale, moving=wide[:, column : column + width])
        result = nl.ndarray((1, width), dtype=y.dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=result, src=acc, engine=nisa.engine.vector)
        nisa.dma_copy(dst=out[:, column : column + width], src=result)
    return out
