"""One token on 128 partitions: loads, sums over partitions, norm and rotation in column-major form."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from kernels.blocks import P, constant, copy_weights, request_pieces


def load_interleaved(weight: Any, first: int, size: int, pieces: int = 4, queues: str = "both") -> Any:
    """Columns first:first+size of weight [K, N] as [128, K / 128, size], K interleaved, in pieces."""
    depth = weight.shape[0] // P
    tiles = nl.ndarray((P, depth, size), dtype=weight.dtype, buffer=nl.sbuf)
    source = weight.reshape((P, depth, weight.shape[1]))[:, :, first : first + size]
    request_pieces(tiles, source, max(1, depth // pieces), queues)
    return tiles


def load_column(row: Any) -> Any:
    """A [1, K] row of HBM as [128, K / 128], K interleaved."""
    depth = row.shape[1] // P
    tile = nl.ndarray((P, depth), dtype=row.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=tile, src=row.reshape((P, depth)), dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar
    )
    return tile


def load_halves(row: Any) -> Any:
    """A [1, K] row of HBM as [128, K / 128], each half of K interleaved by itself.

    Index h * K / 2 + p * T + t, T = K / 256, is column h * T + t of partition p: what a core that computes
    half of the columns holds lies in one piece, in the layout of `kernels.layouts.o_proj_by_core`.
    """
    width = row.shape[1] // 2 // P
    tile = nl.ndarray((P, 2 * width), dtype=row.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=tile.reshape((P, 2, width)),
        src=row.ap(pattern=[[width, P], [width * P, 2], [1, width]], offset=0),
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.scalar,
    )
    return tile


def request_halves(weight: Any) -> Any:
    """A weight [K, N] as [128, K / 128, N] in the layout of `load_halves`, half on either kind of queue."""
    rows, columns = weight.shape
    width = rows // 2 // P
    tile = nl.ndarray((P, 2 * width, columns), dtype=weight.dtype, buffer=nl.sbuf)
    source = weight.reshape((2, P, width, columns))
    for half in (0, 1):
        copy_weights("both", half, tile[:, half * width : (half + 1) * width, :], source[half])
    return tile


def ones_matrix(dtype: Any = nl.float32) -> Any:
    """[128, 128] of ones: as a stationary tile it puts the sum over partitions on every partition."""
    ones = nl.ndarray((P, P), dtype=dtype, buffer=nl.sbuf)
    nisa.memset(dst=ones, value=1.0, engine=nisa.engine.vector)
    return ones


def scaled_column(column: Any, gamma: Any) -> Any:
    """A column-major row by its norm's weight, before 1 / rms."""
    scaled = nl.ndarray(column.shape, dtype=column.dtype, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=scaled, data1=column, data2=gamma, op=nl.multiply)
    return scaled


def sum_of_squares(column: Any, ones: Any) -> Any:
    """Of a column-major row [128, depth], on every partition: PSUM [128, 1]."""
    square = nl.ndarray(column.shape, dtype=nl.float32, buffer=nl.sbuf)
    part = nl.ndarray((P, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation_reduce(dst=square, op=nl.square, data=column, reduce_op=nl.add, reduce_res=part)
    return _over_partitions(part, ones)


def _over_partitions(part: Any, ones: Any) -> Any:
    """The sum over partitions of part [128, n], on every partition: PSUM [128, n]."""
    total = nl.ndarray(part.shape, dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=total, stationary=ones, moving=part)
    return total


def inverse_rms_of(total: Any, eps: float, width: int) -> Any:
    """1 / sqrt(total / width + eps) [128, 1] for a sum of squares on every partition."""
    return _rsqrt(total, 1.0 / width, constant(P, eps))


def _rsqrt(total: Any, scale: float, bias: Any) -> Any:
    """1 / sqrt(total * scale + bias), in the shape of total [128, n]."""
    inverse = nl.ndarray(total.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(dst=inverse, op=nl.rsqrt, data=total, scale=scale, bias=bias)
    return inverse


def inverse_rms(squares: Any, ones: Any, eps: Any, width: int) -> Any:
    """1 / sqrt(sum over partitions of squares [128, n] / width + eps), on every partition [128, n]."""
    return _rsqrt(_over_partitions(squares, ones), 1.0 / width, eps)


def normalise_column(column: Any, gamma: Any, ones: Any, eps: Any, width: int) -> Any:
    """RMSNorm of a column-major row [128, depth]; gamma in the same layout."""
    scale = _rsqrt(sum_of_squares(column, ones), 1.0 / width, eps)
    unit = nl.ndarray(column.shape, dtype=column.dtype, buffer=nl.sbuf)
    nisa.scalar_tensor_tensor(
        dst=unit, data=column, op0=nl.multiply, operand0=scale, op1=nl.multiply, operand1=gamma
    )
    return unit


def half_turn(dtype: Any) -> Any:
    """[128, 128] S with (S^T x)[d] = -x[d + 64] below 64 and x[d - 64] from 64 on."""
    half = P // 2
    zero = nl.ndarray((P, P), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=zero, value=0.0, engine=nisa.engine.gpsimd)
    upper = nl.ndarray((P, P), dtype=nl.float32, buffer=nl.sbuf)
    both = nl.ndarray((P, P), dtype=nl.float32, buffer=nl.sbuf)
    # value = row - column - 64 is zero where row = column + 64; not_equal keeps zero, else -1
    nisa.affine_select(
        dst=upper,
        pattern=[[-1, P]],
        offset=-half,
        channel_multiplier=1,
        on_true_tile=zero,
        on_false_value=-1.0,
        cmp_op=nl.not_equal,
    )
    nisa.affine_select(
        dst=both,
        pattern=[[-1, P]],
        offset=half,
        channel_multiplier=1,
        on_true_tile=upper,
        on_false_value=1.0,
        cmp_op=nl.not_equal,
    )
    turn = nl.ndarray((P, P), dtype=dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=turn, src=both, engine=nisa.engine.gpsimd)
    return turn
