"""Queries, keys and values of several sequences in column-major form: projection, q/k norm and RoPE."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P


def turn_halves(x: Any) -> Any:
    """Rows x [B, H] of HBM as PSUM columns [128, H / 128, B], each half of H interleaved by itself.

    The layout of `kernels.columns.load_halves`, by the tensor engine: a descriptor moves a whole row where
    the column form would move 32 bytes.
    """
    rows, hidden = x.shape
    width = hidden // 2 // P
    tile = nl.ndarray((rows, hidden), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar)
    columns = nl.ndarray((P, 2 * width, rows), dtype=x.dtype, buffer=nl.psum)
    for place in range(2 * width):
        first = place // width * width * P + place % width
        nisa.nc_transpose(
            dst=columns[:, place, :],
            data=tile.ap(pattern=[[hidden, rows], [width, P]], offset=first),
            engine=nisa.engine.tensor,
        )
    return columns


def scaled_columns(columns: Any, gamma: Any) -> Any:
    """Columns [128, depth, B] by the norm's weight [128, depth], before 1 / rms, in SBUF."""
    _, depth, rows = columns.shape
    scaled = nl.ndarray(columns.shape, dtype=gamma.dtype, buffer=nl.sbuf)
    spread = gamma.ap(pattern=[[depth, P], [1, depth], [0, rows]], offset=0)
    nisa.tensor_tensor(dst=scaled, data1=columns, data2=spread, op=nl.multiply)
    return scaled


def partial_squares(columns: Any) -> Any:
    """Sums of squares [128, B] of each partition's share of columns [128, depth, B]."""
    _, depth, rows = columns.shape
    square = nl.ndarray((P, rows, depth), dtype=nl.float32, buffer=nl.sbuf)
    turned = square.ap(pattern=[[rows * depth, P], [1, depth], [depth, rows]], offset=0)
    nisa.activation(dst=turned, op=nl.square, data=columns)
    part = nl.ndarray((P, rows), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=part, op=nl.add, data=square, axis=2)
    return part


def squares_of(columns: Any, ones: Any) -> Any:
    """Each row's sum of squares on every partition: PSUM [128, B] of columns [128, depth, B]."""
    part = partial_squares(columns)
    total = nl.ndarray(part.shape, dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=total, stationary=ones, moving=part)
    return total


def turn_angles(cos: Any, sin: Any) -> Any:
    """cos and sin [B, 64] as columns [128, 2, B], each angle on both halves of the head."""
    rows, half = cos.shape
    tile = nl.ndarray((rows, 2, 2, half), dtype=nl.float32, buffer=nl.sbuf)
    psum = nl.ndarray((P, 2, rows), dtype=nl.float32, buffer=nl.psum)
    for which, source in ((0, cos), (1, sin)):
        nisa.dma_copy(
            dst=tile[:, which, :, :],
            src=source.ap(pattern=[[half, rows], [0, 2], [1, half]], offset=0),
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.scalar,
        )
        nisa.nc_transpose(
            dst=psum[:, which, :],
            data=tile.ap(pattern=[[4 * half, rows], [1, 2 * half]], offset=which * 2 * half),
            engine=nisa.engine.tensor,
        )
    angles = nl.ndarray((P, 2, rows), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=angles, src=psum, engine=nisa.engine.vector)
    return angles


def project_columns(weights: Any, columns: Any, heads: int) -> Any:
    """fp32 [128, heads, B] of columns [128, depth, B] times weights, a head's weight 128 stationary columns.

    weights are tiles [128, depth, n * 128] side by side. As in `decode_heads.project`, a piece of the depth
    is multiplied as soon as it has arrived, and there are as many as fit a PSUM bank.
    """
    depth, rows = columns.shape[1], columns.shape[2]
    pieces = 1
    while 2 * pieces * heads * rows <= BANK and 2 * pieces <= depth:
        pieces = 2 * pieces
    step = depth // pieces
    psum = nl.ndarray((P, heads, rows, pieces), dtype=nl.float32, buffer=nl.psum)
    for piece in range(pieces):
        head = 0
        for tile in weights:
            for n in range(tile.shape[2] // P):
                for j in range(piece * step, (piece + 1) * step):
                    nisa.nc_matmul(
                        dst=psum[:, head, :, piece],
                        stationary=tile[:, j, n * P : (n + 1) * P],
                        moving=columns[:, j, :],
                        accumulate=j > piece * step,
                    )
                head = head + 1
    projected = nl.ndarray((P, heads, rows), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=projected, op=nl.add, data=psum, axis=3)
    return projected


def rotate_columns(
    projected: Any,
    queries: int,
    gains: Any,
    angles: Any,
    turn: Any,
    ones: Any,
    eps: Any,
    asked: Any,
    key: Any,
) -> None:
    """q/k norm and RoPE of projected [128, heads, B]: queries to asked [128, B, queries], key to [128, B].

    As `decode_heads.rotate_heads`, with angles [128, 2, B] and eps [128, B] of each sequence.
    """
    rows = projected.shape[2]
    heads = queries + 1
    shape = (P, heads, rows)
    square = nl.ndarray(shape, dtype=ones.dtype, buffer=nl.sbuf)
    nisa.activation(dst=square, op=nl.square, data=projected[:, 0:heads, :])
    total = nl.ndarray(shape, dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=total, stationary=ones, moving=square)
    mean = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.scalar_tensor_tensor(
        dst=mean,
        data=total,
        op0=nl.multiply,
        operand0=1.0 / P,
        op1=nl.add,
        operand1=_each_head(eps, 0, heads, rows),
    )
    scale = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(dst=scale, op=nl.rsqrt, data=mean)

    scaled = nl.ndarray(shape, dtype=ones.dtype, buffer=nl.sbuf)
    spread = gains.ap(pattern=[[heads, P], [1, heads], [0, rows]], offset=0)
    nisa.tensor_tensor(dst=scaled, data1=projected[:, 0:heads, :], data2=spread, op=nl.multiply)
    crossed = nl.ndarray(shape, dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=crossed, stationary=turn, moving=scaled)
    sines = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=sines, data1=crossed, data2=_each_head(angles, 1, heads, rows), op=nl.multiply)
    cosines = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor(
        dst=cosines,
        data1=scaled,
        data2=_each_head(angles, 0, heads, rows),
        op=nl.multiply,
        engine=nisa.engine.gpsimd,
    )
    rotated = nl.ndarray(shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=rotated, data1=cosines, data2=sines, op=nl.add)
    nisa.tensor_tensor(dst=key, data1=rotated[:, queries, :], data2=scale[:, queries, :], op=nl.multiply)
    nisa.tensor_tensor(
        dst=asked, data1=rotated[:, 0:queries, :], data2=scale[:, 0:queries, :], op=nl.multiply
    )


def _each_head(columns: Any, which: int, heads: int, rows: int) -> Any:
    """The which-th `rows` columns of a tile, one of each sequence, seen as [128, heads, rows]."""
    step = 1
    for size in columns.shape[1:]:
        step = step * size
    return columns.ap(pattern=[[step, P], [0, heads], [1, rows]], offset=which * rows)
