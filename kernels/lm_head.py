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
    transpose_interleaved,
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


def load_row(x: Any, position: Any) -> Any:
    """Row position [1, 1] of x [T, H] as [128, H / 128], H interleaved."""
    depth = x.shape[1] // P
    column = nl.ndarray((P, depth), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=column,
        src=x.ap(
            pattern=[[depth, P], [1, depth]], offset=0, scalar_offset=load_scalar(position), indirect_dim=0
        ),
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.scalar,
    )
    return column


def request_columns(weight: Any, start: int, tiles: Any, queues: str) -> None:
    """Columns from `start` on into tiles [128, H / 128, n], half of the depth on either kind of queue."""
    depth, group = tiles.shape[1], tiles.shape[2]
    rows = weight.reshape((P, depth, weight.shape[1]))
    half = depth // 2
    for turn, part in ((0, slice(0, half)), (1, slice(half, depth))):
        copy_weights(queues, turn, tiles[:, part, :], rows[:, part, start : start + group])


@nki.jit
def lm_head_wide(
    x: Any, weight: Any, position: Any, columns: int = 2048, buffers: int = 3, queues: str = "both"
) -> Any:
    """`lm_head` with one 4 KiB-descriptor transfer per 2048 columns, alternating between two queues.

    The transfer of a group of columns is split over a hardware and a software queue, the hidden dimension is
    interleaved so x needs no transpose, and four PSUM banks take turns. Bound by HBM bandwidth. SBUF holds
    three groups (192 KiB per partition for Qwen3-30B-A3B), so nothing else fits beside it.
    """
    hidden = x.shape[1]
    assert hidden % (2 * P) == 0, "the hidden dimension comes in blocks of 256"
    out = nl.ndarray((1, weight.shape[1]), dtype=nl.float32, buffer=nl.shared_hbm)
    column = load_row(x, position).reshape((P, hidden // P, 1))
    _stream_columns(column, weight, out, columns, buffers, queues)
    return out


@nki.jit
def lm_head_batch(x: Any, weight: Any, columns: int = 2048, buffers: int = 3, queues: str = "both") -> Any:
    """x [B, H] times weight [H, V] to logits [B, V] in fp32: a row for each of up to 128 sequences.

    `lm_head_wide` with all rows stationary, turned once: the weight leaves HBM once and moves past every row
    in the same instructions one row takes. Bound by HBM bandwidth, the tensor engine level with it; SBUF
    holds nothing beside its three groups of columns.
    """
    sequences, hidden = x.shape
    assert sequences <= P and hidden % (2 * P) == 0, "up to 128 rows, hidden in blocks of 256"
    out = nl.ndarray((sequences, weight.shape[1]), dtype=nl.float32, buffer=nl.shared_hbm)
    tile = nl.ndarray((sequences, hidden), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar)
    turned = transpose_interleaved(tile, sequences, hidden)
    _stream_columns(turned, weight, out, columns, buffers, queues)
    return out


def _stream_columns(turned: Any, weight: Any, out: Any, columns: int, buffers: int, queues: str) -> None:
    """Stationary rows [128, H / 128, rows] times the core's columns of weight [H, V], to out [rows, V]."""
    depth, rows = turned.shape[1], turned.shape[2]
    first, size = share(weight.shape[1])
    flight = []
    for _ in range(buffers):
        flight.append(nl.ndarray((P, depth, min(columns, size)), dtype=weight.dtype, buffer=nl.sbuf))
    for start in range(first, first + size, columns):
        group = min(columns, first + size - start)
        tiles = flight[((start - first) // columns) % buffers]
        request_columns(weight, start, tiles[:, :, 0:group], queues)
        result = nl.ndarray((rows, group), dtype=nl.float32, buffer=nl.sbuf)
        for offset in range(0, group, BANK):
            width = min(BANK, group - offset)
            acc = contract(turned, tiles, rows, offset, width)
            engine = nisa.engine.vector if (offset // BANK) % 2 == 0 else nisa.engine.scalar
            nisa.tensor_copy(dst=result[:, offset : offset + width], src=acc, engine=engine)
        nisa.dma_copy(
            dst=out[:, start : start + group],
            src=result,
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.scalar,
        )
