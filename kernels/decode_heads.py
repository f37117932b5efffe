"""One token's queries, key and value in column-major form: projection, q/k norm and RoPE."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from kernels.blocks import P

PIECES = 8  # of the depth, each summed in PSUM columns of its own as soon as it has arrived


def load_heads(q_weight: Any, k_weight: Any) -> Any:
    """The weights of the q and the k norm [1, 128] as columns [128, 2]."""
    weights = nl.ndarray((P, 2), dtype=q_weight.dtype, buffer=nl.sbuf)
    for which, source in ((0, q_weight), (1, k_weight)):
        nisa.dma_copy(
            dst=weights[:, which : which + 1],
            src=source.reshape((P, 1)),
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.sync,
        )
    return weights


def gains_of(weights: Any, queries: int) -> Any:
    """[128, queries + 1] fp32: the query weight by 1 / sqrt(128) for each query, the key weight last."""
    wide = nl.ndarray((P, 2), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=wide, src=weights, engine=nisa.engine.gpsimd)
    gains = nl.ndarray((P, queries + 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=gains, value=P**-0.5, engine=nisa.engine.gpsimd)
    nisa.tensor_scalar(
        dst=gains[:, 0:queries],
        data=gains[:, 0:queries],
        op0=nl.multiply,
        operand0=wide[:, 0:1],
        engine=nisa.engine.gpsimd,
    )
    nisa.tensor_copy(dst=gains[:, queries : queries + 1], src=wide[:, 1:2], engine=nisa.engine.gpsimd)
    return gains


def load_angles(cos: Any, sin: Any) -> Any:
    """cos and sin [1, 64] as columns [128, 2], each angle on both halves of the head."""
    half = P // 2
    angles = nl.ndarray((P, 2), dtype=nl.float32, buffer=nl.sbuf)
    for which, source in ((0, cos), (1, sin)):
        for low in (0, half):
            nisa.dma_copy(
                dst=angles[low : low + half, which : which + 1],
                src=source.reshape((half, 1)),
                dge_mode=nisa.dge_mode.swdge,
            )
    return angles


def project(weights: Any, column: Any, heads: int) -> Any:
    """Columns [128, heads] fp32 of a token's column [128, depth] times weights, a head a column.

    weights are tiles [128, depth, n * 128] side by side. A piece of the depth is multiplied as soon as it has
    arrived; the sum over pieces is one instruction.
    """
    depth = column.shape[1]
    step = max(1, depth // PIECES)
    pieces = (depth + step - 1) // step
    psum = nl.ndarray((P, heads, pieces), dtype=nl.float32, buffer=nl.psum)
    for piece in range(pieces):
        low, high = piece * step, min(depth, (piece + 1) * step)
        head = 0
        for tile in weights:
            for n in range(tile.shape[2] // P):
                for j in range(low, high):
                    nisa.nc_matmul(
                        dst=psum[:, head, piece : piece + 1],
                        stationary=tile[:, j, n * P : (n + 1) * P],
                        moving=column[:, j : j + 1],
                        accumulate=j > low,
                    )
                head = head + 1
    projected = nl.ndarray((P, heads), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=projected, op=nl.add, data=psum, axis=2)
    return projected


def eps_of_heads(total: Any, eps: float, width: int) -> Any:
    """eps times (mean square + eps), in the shape of sums of squares [128, n]: what eps is in the q/k norm.

    The projection is of the column before 1 / rms. In the q/k norm that factor cancels if eps is divided by
    its square.
    """
    small = nl.ndarray(total.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=small,
        data=total,
        op0=nl.multiply,
        operand0=eps / width,
        op1=nl.add,
        operand1=eps * eps,
        engine=nisa.engine.vector,
    )
    return small


def rotate_heads(
    projected: Any, queries: int, gains: Any, angles: Any, turn: Any, ones: Any, eps: Any, turned: Any
) -> Any:
    """Queries [128, queries] after norm and RoPE; the key, too, into the first column of turned.

    The turn and the sum of squares are taken side by side from the projection: 1 / rms of a head commutes
    with its rotation.
    """
    heads = queries + 1
    square = nl.ndarray((P, heads), dtype=turned.dtype, buffer=nl.sbuf)
    nisa.activation(dst=square, op=nl.square, data=projected[:, 0:heads])
    total = nl.ndarray((P, heads), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=total, stationary=ones, moving=square)
    scale = nl.ndarray((P, heads), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(dst=scale, op=nl.rsqrt, data=total, scale=1.0 / P, bias=eps)

    scaled = nl.ndarray((P, heads), dtype=turned.dtype, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=scaled, data1=projected[:, 0:heads], data2=gains, op=nl.multiply)
    crossed = nl.ndarray((P, heads), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=crossed, stationary=turn, moving=scaled)
    sines = nl.ndarray((P, heads), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=sines, data=crossed, op0=nl.multiply, operand0=angles[:, 1:2], engine=nisa.engine.vector
    )
    rotated = nl.ndarray((P, heads), dtype=nl.float32, buffer=nl.sbuf)
    nisa.scalar_tensor_tensor(
        dst=rotated, data=scaled, op0=nl.multiply, operand0=angles[:, 0:1], op1=nl.add, operand1=sines
    )
    key, asked = slice(queries, heads), slice(0, queries)
    nisa.tensor_tensor(dst=turned[:, 0:1], data1=rotated[:, key], data2=scale[:, key], op=nl.multiply)
    result = nl.ndarray((P, queries), dtype=turned.dtype, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=result, data1=rotated[:, asked], data2=scale[:, asked], op=nl.multiply)
    return result


def value_row(column: Any, inverse: Any, dtype: Any) -> Any:
    """A value column [128, 1] by 1 / rms as a row [1, 128]."""
    value = nl.ndarray((P, 1), dtype=dtype, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=value, data1=column, data2=inverse, op=nl.multiply, engine=nisa.engine.gpsimd)
    psum = nl.ndarray((1, P), dtype=dtype, buffer=nl.psum)
    nisa.nc_transpose(dst=psum, data=value, engine=nisa.engine.tensor)
    row = nl.ndarray((1, P), dtype=dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=row, src=psum, engine=nisa.engine.scalar)
    return row
