"""`norm_qkv` for many tokens."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, constant, load_broadcast, share
from kernels.columns import load_column, load_interleaved
from kernels.qk_norm_rope import rotate


def prompt(
    x: Any,
    norm_weight: Any,
    weight: Any,
    q_weight: Any,
    k_weight: Any,
    cos: Any,
    sin: Any,
    eps: float,
    outs: Any,
    pieces: int,
    queues: str,
) -> None:
    """`norm_qkv` for many tokens; each core computes half of the heads for all of them."""
    tokens, hidden = x.shape
    columns = weight.shape[1]
    heads = columns // P - 2
    depth = hidden // P
    gamma = load_column(norm_weight)
    gamma_wide = nl.ndarray((P, depth), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=gamma_wide, src=gamma, engine=nisa.engine.vector)
    low, mine = share(columns // P)
    tiles = load_interleaved(weight, low * P, mine * P, pieces, queues)
    rotated = min(mine, heads + 1 - low)
    queries = max(min(rotated, heads - low), 0)
    q_gamma = load_broadcast(q_weight, P)
    k_gamma = load_broadcast(k_weight, P)
    for start in range(0, tokens, P):
        rows = min(P, tokens - start)
        stop = start + rows
        tile = nl.ndarray((rows, hidden), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=x[start:stop, :], dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.sync)
        eps_column = constant(rows, eps)
        square = nl.ndarray((rows, hidden), dtype=x.dtype, buffer=nl.sbuf)
        total = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation_reduce(dst=square, op=nl.square, data=tile, reduce_op=nl.add, reduce_res=total)
        scale = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(dst=scale, op=nl.rsqrt, data=total, scale=1.0 / hidden, bias=eps_column)
        turned = _transpose_scaled(tile, gamma_wide, rows, hidden)
        projected = nl.ndarray((rows, mine, P), dtype=nl.float32, buffer=nl.sbuf)
        for head in range(0, mine, BANK // P):
            width = min(BANK // P, mine - head)
            acc = nl.ndarray((rows, width, P), dtype=nl.float32, buffer=nl.psum)
            for j in range(depth):
                nisa.nc_matmul(
                    dst=acc.reshape((rows, width * P)),
                    stationary=turned[:, j, :],
                    moving=tiles[:, j, head * P : (head + width) * P],
                    accumulate=j > 0,
                )
            nisa.activation(dst=projected[:, head : head + width, :], op=nl.copy, data=acc, scale=scale)
        unit = _norm_heads(projected, rows, rotated, queries, q_gamma, k_gamma, eps_column, x.dtype)
        angle_cos = nl.ndarray((rows, P // 2), dtype=nl.float32, buffer=nl.sbuf)
        angle_sin = nl.ndarray((rows, P // 2), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=angle_cos, src=cos[start:stop, :])
        nisa.dma_copy(dst=angle_sin, src=sin[start:stop, :])
        result = rotate(unit, angle_cos, angle_sin, rows, rotated, x.dtype)
        if queries > 0:
            nisa.dma_copy(
                dst=outs[0].reshape((tokens, heads, P))[start:stop, low : low + queries, :],
                src=result[:, 0:queries, :],
            )
        if queries < rotated:
            nisa.dma_copy(dst=outs[1][start:stop, :], src=result[:, queries, :])
        if rotated < mine:
            value = nl.ndarray((rows, P), dtype=x.dtype, buffer=nl.sbuf)
            nisa.tensor_copy(dst=value, src=projected[:, rotated, :], engine=nisa.engine.vector)
            nisa.dma_copy(dst=outs[2][start:stop, :], src=value)


def _transpose_scaled(tile: Any, gamma: Any, rows: int, hidden: int) -> Any:
    """[rows, hidden] to [128, depth, rows], hidden interleaved, times gamma [128, depth] on the way out."""
    depth = hidden // P
    turned = nl.ndarray((P, depth, rows), dtype=tile.dtype, buffer=nl.sbuf)
    for j in range(depth):
        psum = nl.ndarray((P, rows), dtype=tile.dtype, buffer=nl.psum)
        nisa.nc_transpose(
            dst=psum,
            data=tile.ap(pattern=[[hidden, rows], [depth, P]], offset=j),
            engine=nisa.engine.tensor,
        )
        engine = nisa.engine.vector if j % 2 == 0 else nisa.engine.scalar
        nisa.tensor_scalar(
            dst=turned[:, j, :], data=psum, op0=nl.multiply, operand0=gamma[:, j : j + 1], engine=engine
        )
    return turned


def _norm_heads(
    projected: Any, rows: int, heads: int, queries: int, q_gamma: Any, k_gamma: Any, eps: Any, dtype: Any
) -> Any:
    """RMSNorm of each of `heads` heads of [rows, n, 128], token-major."""
    square = nl.ndarray((rows, heads, P), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(dst=square, op=nl.square, data=projected[:, 0:heads, :])
    total = nl.ndarray((rows, heads), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=total, op=nl.add, data=square, axis=2)
    scale = nl.ndarray((rows, heads), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(dst=scale, op=nl.rsqrt, data=total, scale=1.0 / P, bias=eps)
    unit = nl.ndarray((rows, heads, P), dtype=dtype, buffer=nl.sbuf)
    for head in range(heads):
        gamma = q_gamma if head < queries else k_gamma
        nisa.scalar_tensor_tensor(
            dst=unit[:, head, :],
            data=projected[:, head, :],
            op0=nl.multiply,
            operand0=scale[:, head : head + 1],
            op1=nl.multiply,
            operand1=gamma[0:rows, :],
        )
    return unit
