"""Input norm, QKV projection, per-head q/k norm and RoPE in one kernel, for one token and for a prompt."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, constant, share
from kernels.columns import (
    half_turn,
    inverse_rms,
    load_column,
    load_interleaved,
    normalise_column,
    ones_matrix,
)
from kernels.norm_qkv_prompt import prompt


@nki.jit
def norm_qkv(
    x: Any,
    norm_weight: Any,
    weight: Any,
    q_weight: Any,
    k_weight: Any,
    cos: Any,
    sin: Any,
    eps: float,
    pieces: int = 8,
    queues: str = "software",
) -> Any:
    """x [T, H], norm_weight [1, H], weight [H, (heads + 2) * 128] to rotated q and k, and v.

    The normalised hidden state never goes to HBM. One token: column-major throughout, so sums over a row are
    a matmul with ones, RoPE is a matmul with a signed permutation, and every vector instruction touches a
    handful of elements on 128 lanes instead of a thousand on one. A prompt: the norm weight is multiplied
    while transposes leave PSUM and 1 / rms while the projection does, since scaling a row commutes with
    projecting it. The weight comes on a software queue, so that tokens do not wait behind it. Bound by its
    transfer at one token, by matmuls at a full bucket; at batch sizes between, the column-major form would
    need a token loop and loses.
    """
    tokens, hidden = x.shape
    columns = weight.shape[1]
    queries = columns - 2 * P
    assert hidden % (2 * P) == 0 and columns % P == 0 and queries > 0, "hidden in blocks of 256, heads of 128"
    outs = (
        nl.ndarray((tokens, queries), dtype=x.dtype, buffer=nl.shared_hbm),
        nl.ndarray((tokens, P), dtype=x.dtype, buffer=nl.shared_hbm),
        nl.ndarray((tokens, P), dtype=x.dtype, buffer=nl.shared_hbm),
    )
    if tokens == 1:
        _one_token(x, norm_weight, weight, q_weight, k_weight, cos, sin, eps, outs, pieces, queues)
    else:
        prompt(x, norm_weight, weight, q_weight, k_weight, cos, sin, eps, outs, pieces, queues)
    return outs


def _columns_of(rows: Any, count: int, dtype: Any) -> Any:
    """[count, 128] in SBUF to fp32 [128, count]."""
    psum = nl.ndarray((P, count), dtype=dtype, buffer=nl.psum)
    nisa.nc_transpose(dst=psum, data=rows, engine=nisa.engine.tensor)
    tile = nl.ndarray((P, count), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=tile, src=psum, engine=nisa.engine.vector)
    return tile


def _load_angles(cos: Any, sin: Any) -> Any:
    """cos, sin [1, 64] as rows [2, 128], each angle on both halves of the head."""
    rows = nl.ndarray((2, 2, P // 2), dtype=nl.float32, buffer=nl.sbuf)
    for which, source in ((0, cos), (1, sin)):
        nisa.dma_copy(
            dst=rows[which : which + 1, :, :],
            src=source.ap(pattern=[[P // 2, 1], [0, 2], [1, P // 2]], offset=0),
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.sync,
        )
    return rows.reshape((2, P))


def _one_token(
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
    """`norm_qkv` for one token; each core computes half of the heads."""
    hidden = x.shape[1]
    columns = weight.shape[1]
    heads = columns // P - 2
    column = load_column(x)
    gamma = load_column(norm_weight)
    low, mine = share(columns // P)
    tiles = load_interleaved(weight, low * P, mine * P, pieces, queues)
    ones = ones_matrix()
    eps_column = constant(P, eps)
    unit = normalise_column(column, gamma, ones, eps_column, hidden)
    head_weights = nl.ndarray((2, P), dtype=q_weight.dtype, buffer=nl.sbuf)
    hwdge, sync = nisa.dge_mode.hwdge, nisa.engine.sync
    nisa.dma_copy(dst=head_weights[0:1, :], src=q_weight, dge_mode=hwdge, engine=sync)
    nisa.dma_copy(dst=head_weights[1:2, :], src=k_weight, dge_mode=hwdge, engine=sync)
    angle_rows = _load_angles(cos, sin)
    turn = half_turn(x.dtype)

    projected = _project_heads(tiles, unit, mine)
    gammas = _columns_of(head_weights, 2, q_weight.dtype)
    angles = _columns_of(angle_rows, 2, nl.float32)
    result = nl.ndarray((P, mine), dtype=x.dtype, buffer=nl.sbuf)
    rotated = min(mine, heads + 1 - low)
    _norm_and_rotate(
        projected, result, rotated, min(rotated, heads - low), gammas, angles, turn, ones, eps_column
    )
    if rotated < mine:
        nisa.tensor_copy(
            dst=result[:, rotated:mine], src=projected[:, rotated:mine], engine=nisa.engine.scalar
        )
    psum = nl.ndarray((mine, P), dtype=x.dtype, buffer=nl.psum)
    nisa.nc_transpose(dst=psum, data=result, engine=nisa.engine.tensor)
    by_head = nl.ndarray((mine, P), dtype=x.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=by_head, src=psum, engine=nisa.engine.vector)
    queries = min(mine, heads - low)
    if queries > 0:
        nisa.dma_copy(
            dst=outs[0].reshape((heads, P))[low : low + queries, :],
            src=by_head[0:queries, :],
            dge_mode=hwdge,
            engine=nisa.engine.sync,
        )
    for which in (1, 2):
        place = heads + which - 1 - low
        if place >= 0 and place < mine:
            nisa.dma_copy(
                dst=outs[which], src=by_head[place : place + 1, :], dge_mode=hwdge, engine=nisa.engine.sync
            )


def _project_heads(tiles: Any, unit: Any, heads: int) -> Any:
    """Columns [128, heads] fp32 of the projection, a head a column.

    Rows of the weight are used in the order they arrive, so each head accumulates in a PSUM bank of its own.
    """
    banks = []
    for _ in range(heads):
        banks.append(nl.ndarray((P, BANK), dtype=nl.float32, buffer=nl.psum))
    for j in range(tiles.shape[1]):
        for head in range(heads):
            nisa.nc_matmul(
                dst=banks[head][:, 0:1],
                stationary=tiles[:, j, head * P : (head + 1) * P],
                moving=unit[:, j : j + 1],
                accumulate=j > 0,
            )
    projected = nl.ndarray((P, heads), dtype=nl.float32, buffer=nl.sbuf)
    for head in range(heads):
        engine = nisa.engine.vector if head % 2 == 0 else nisa.engine.scalar
        nisa.tensor_copy(dst=projected[:, head : head + 1], src=banks[head][:, 0:1], engine=engine)
    return projected


def _norm_and_rotate(
    projected: Any,
    result: Any,
    heads: int,
    queries: int,
    gammas: Any,
    angles: Any,
    turn: Any,
    ones: Any,
    eps: Any,
) -> None:
    """q/k norm and RoPE of columns [128, heads], the first `queries` with the query weight."""
    square = nl.ndarray((P, heads), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(dst=square, op=nl.square, data=projected[:, 0:heads])
    scale = inverse_rms(square, ones, eps, P)
    unit = nl.ndarray((P, heads), dtype=result.dtype, buffer=nl.sbuf)
    for which, start, stop in ((0, 0, max(queries, 0)), (1, max(queries, 0), heads)):
        if start < stop:
            nisa.scalar_tensor_tensor(
                dst=unit[:, start:stop],
                data=scale[:, start:stop],
                op0=nl.multiply,
                operand0=gammas[:, which : which + 1],
                op1=nl.multiply,
                operand1=projected[:, start:stop],
            )
    turned = nl.ndarray((P, heads), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=turned, stationary=turn, moving=unit)
    crossed = nl.ndarray((P, heads), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=crossed, data=turned, op0=nl.multiply, operand0=angles[:, 1:2], engine=nisa.engine.vector
    )
    nisa.scalar_tensor_tensor(
        dst=result[:, 0:heads],
        data=unit,
        op0=nl.multiply,
        operand0=angles[:, 0:1],
        op1=nl.add,
        operand1=crossed,
    )
