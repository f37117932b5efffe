"""Language-model head of one rank: logits of its part of the vocabulary for one position."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import (
    BANK,
    P,
    contract,
    copy_weights,
    load_scalar,
    load_weight_tiles,
    share,
    transpose_tokens,
)


def _load_position(x: Any, position: Any) -> Any:
    """Row position [1, 1] of x [T, H] as [1, H]."""
    hidden = x.shape[1]
    row = nl.ndarray((1, hidden), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=row,
        src=x.ap(
            pattern=[[hidden, 1], [1, hidden]], offset=0, scalar_offset=load_scalar(position), indirect_dim=0
        ),
    )
    return row


@nki.jit
def lm_head(x: Any, weight: Any, position: Any) -> Any:
    """Row position [1, 1] of x [T, H] times weight [H, V] to logits [1, V] in fp32.

    Cores divide the vocabulary, 512 columns at a time; weights come in pieces of 128 rows x 1 KiB. Bound by
    the weight transfer, whose descriptors are half the size at which a queue runs well.
    """
    tokens, hidden = x.shape
    vocabulary = weight.shape[1]
    assert hidden % P == 0, "the hidden dimension comes in blocks of 128"
    out = nl.ndarray((1, vocabulary), dtype=nl.float32, buffer=nl.shared_hbm)
    turned = transpose_tokens(_load_position(x, position), 1, hidden)
    first, size = share(vocabulary)
    for column in range(first, first + size, BANK):
        width = min(BANK, first + size - column)
        tiles = load_weight_tiles(weight, column, width)
        acc = contract(turned, tiles, 1, 0, width)
        result = nl.ndarray((1, width), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=result, src=acc, engine=nisa.engine.scalar)
        nisa.dma_copy(dst=out[:, column : column + width], src=result)
    return out


@nki.jit
def lm_head_wide(
    x: Any, weight: Any, position: Any, columns: int = 2048, buffers: int = 3, queues: str = "both"
) -> Any:
    """`lm_head` with one 4 KiB-descriptor transfer per 2048 columns, alternating between two queues.

    The transfer of a group of columns is split over a hardware and a software queue, the hidden dimension is
    interleaved so x needs no transpose, and four PSUM banks take turns. Bound by HBM bandwidth. SBUF holds
    three groups (192 KiB per partition for Qwen3-30B-A3B), so nothing else fits beside it.
    """
    tokens, hidden = x.shape
    vocabulary = weight.shape[1]
    assert hidden % (2 * P) == 0, "the hidden dimension comes in blocks of 256"
    out = nl.ndarray((1, vocabulary), dtype=nl.float32, buffer=nl.shared_hbm)
    depth = hidden // P
    half = depth // 2
    rows = weight.reshape((P, depth, vocabulary))
    column = nl.ndarray((P, depth), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=column,
        src=x.ap(
            pattern=[[depth, P], [1, depth]], offset=0, scalar_offset=load_scalar(position), indirect_dim=0
        ),
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.scalar,
    )
    first, size = share(vocabulary)
    flight = []
    for _ in range(buffers):
        flight.append(nl.ndarray((P, depth, min(columns, size)), dtype=weight.dtype, buffer=nl.sbuf))
    for start in range(first, first + size, columns):
        group = min(columns, first + size - start)
        tiles = flight[((start - first) // columns) % buffers]
        copy_weights(queues, 0, tiles[:, 0:half, 0:group], rows[:, 0:half, start : start + group])
        copy_weights(queues, 1, tiles[:, half:depth, 0:group], rows[:, half:depth, start : start + group])
        result = nl.ndarray((1, group), dtype=nl.float32, buffer=nl.sbuf)
        for offset in range(0, group, BANK):
            width = min(BANK, group - offset)
            acc = nl.ndarray((1, width), dtype=nl.float32, buffer=nl.psum)
            for k in range(depth):
                nisa.nc_matmul(
                    dst=acc,
                    stationary=column[:, k : k + 1],
                    moving=tiles[:, k, offset : offset + width],
                    accumulate=k > 0,
                )
            engine = nisa.engine.vector if (offset // BANK) % 2 == 0 else nisa.engine.scalar
            nisa.tensor_copy(dst=result[:, offset : offset + width], src=acc, engine=engine)
        nisa.dma_copy(
            dst=out[:, start : start + group],
            src=result,
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.scalar,
        )
    return out
