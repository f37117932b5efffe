"""Final norm and language-model head for one position, weights as stationary tiles."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import P, share
from kernels.columns import inverse_rms_of, load_column, ones_matrix, scaled_column, sum_of_squares
from kernels.lm_head import load_row, request_columns


@nki.jit
def lm_head_tiles(
    x: Any,
    norm_weight: Any,
    weight: Any,
    position: Any,
    eps: float,
    columns: int = 2048,
    buffers: int = 3,
    queues: str = "both",
) -> Any:
    """Row position [1, 1] of x [T, H], normalised by norm_weight [1, H], times weight [H, V]: logits [1, V].

    One row is normalised whatever T is, and no transfer waits for it: the first weights are on their way
    before the row has arrived, and 1 / rms is multiplied as logits leave PSUM. As stationary tiles weights
    take the tensor engine half the time they take moving past the row, so that it never holds up the
    queues; 128 x 16 logits are then turned at once. Bound by HBM bandwidth. It loses to `wide` where loading
    stationary tiles is not hidden, and SBUF holds nothing beside its three groups of columns.
    """
    hidden = x.shape[1]
    vocabulary = weight.shape[1]
    assert hidden % (2 * P) == 0, "the hidden dimension comes in blocks of 256"
    out = nl.ndarray((1, vocabulary), dtype=nl.float32, buffer=nl.shared_hbm)
    first, size = share(vocabulary)
    column, gamma = load_row(x, position), load_column(norm_weight)
    flight = []
    for _ in range(buffers):
        flight.append(nl.ndarray((P, hidden // P, min(columns, size)), dtype=weight.dtype, buffer=nl.sbuf))
    scaled = scaled_column(column, gamma)
    inverse = inverse_rms_of(sum_of_squares(column, ones_matrix()), eps, hidden)
    turn = 0
    for start, group in _groups(size, columns):
        tiles = flight[turn % buffers][:, :, 0:group]
        turn = turn + 1
        request_columns(weight, first + start, tiles, queues)
        whole = group // P * P
        if whole > 0:
            _store(_logits(scaled, tiles, 0, whole // P, P, inverse), out, first + start)
        if whole < group:
            rest = _logits(scaled, tiles, whole, 1, group - whole, inverse)
            _store(rest, out, first + start + whole)
    return out


def _groups(size: int, columns: int) -> Any:
    """(start, size) of groups of columns; those at the end are halved, since nothing hides their matmuls."""
    found = []
    start = 0
    while start < size:
        left = size - start
        group = min(left, columns if left > 2 * columns else columns // 2)
        found.append((start, group))
        start = start + group
    return found


def _logits(column: Any, tiles: Any, start: int, count: int, width: int, inverse: Any) -> Any:
    """fp32 [width, count]: logit n * width + p of columns start:start+count*width on partition p."""
    acc = nl.ndarray((width, count), dtype=nl.float32, buffer=nl.psum)
    for n in range(count):
        low = start + n * width
        for j in range(tiles.shape[1]):
            nisa.nc_matmul(
                dst=acc[:, n : n + 1],
                stationary=tiles[:, j, low : low + width],
                moving=column[:, j : j + 1],
                accumulate=j > 0,
            )
    logits = nl.ndarray((width, count), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=logits, data=acc, op0=nl.multiply, operand0=inverse[0:width, :], engine=nisa.engine.vector
    )
    return logits


def _store(logits: Any, out: Any, start: int) -> None:
    """[width, count] to count * width logits of out from `start` on."""
    width, count = logits.shape
    psum = nl.ndarray((count, width), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_transpose(dst=psum, data=logits, engine=nisa.engine.tensor)
    rows = nl.ndarray((count, width), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=rows, src=psum, engine=nisa.engine.scalar)
    nisa.dma_copy(
        dst=out[:, start : start + count * width].reshape((count, width)),
        src=rows,
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.scalar,
    )
