"""Input norm, QKV projection, per-head q/k norm and RoPE in one kernel, for one token and for a prompt."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, constant, load_broadcast, request_pieces, share
from kernels.qk_norm_rope import rotate


@nki.jit
def norm_qkv(
    x: Any, norm_weight: Any, weight: Any, q_weight: Any, k_weight: Any, cos: Any, sin: Any, eps: float
) -> Any:
    """x [T, H], norm_weight [1, H], weight [H, (heads + 2) * 128] to rotated q and k, and v.

    The normalised hidden state never goes to HBM. One token: column-major throughout, so sums over a row are
    a matmul with ones, RoPE is a matmul with a signed permutation, and every vector instruction touches a
    handful of elements on 128 lanes instead of a thousand on one. A prompt: the norm weight is multiplied
    while transposes leave PSUM and 1 / rms while the projection does, since scaling a row commutes with
    projecting it. Bound by the weight transfer at one token, by matmuls at a full bucket; at batch sizes
    between, the column-major form would need a token loop and loses.
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
        _one_token(x, norm_weight, weight, q_weight, k_weight, cos, sin, eps, outs)
    else:
        _prompt(x, norm_weight, weight, q_weight, k_weight, cos, sin, eps, outs)
    return outs


def load_interleaved(weight: Any, first: int, size: int) -> Any:
    """Columns first:first+size of weight [K, N] as [128, K / 128, size], K interleaved, in four transfers."""
    depth = weight.shape[0] // P
    tiles = nl.ndarray((P, depth, size), dtype=weight.dtype, buffer=nl.sbuf)
    source = weight.reshape((P, depth, weight.shape[1]))[:, :, first : first + size]
    request_pieces(tiles, source, max(1, depth // 4))
    return tiles


def load_column(row: Any) -> Any:
    """A [1, K] row of HBM as [128, K / 128], K interleaved."""
    depth = row.shape[1] // P
    tile = nl.ndarray((P, depth), dtype=row.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=tile, src=row.reshape((P, depth)), dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar
    )
    return tile


def ones_matrix() -> Any:
    """[128, 128] fp32 of ones: as a stationary tile it puts the sum over partitions on every partition."""
    ones = nl.ndarray((P, P), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=ones, value=1.0, engine=nisa.engine.gpsimd)
    return ones


def inverse_rms(squares: Any, ones: Any, eps: Any, width: int) -> Any:
    """1 / sqrt(sum over partitions of squares [128, n] / width + eps), on every partition [128, n]."""
    n = squares.shape[1]
    total = nl.ndarray((P, n), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=total, stationary=ones, moving=squares)
    scale = nl.ndarray((P, n), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(dst=scale, op=nl.rsqrt, data=total, scale=1.0 / width, bias=eps)
    return scale


def normalise_column(column: Any, gamma: Any, ones: Any, eps: Any, width: int) -> Any:
    """RMSNorm of a column-major row [128, depth]; gamma in the same layout."""
    depth = column.shape[1]
    square = nl.ndarray((P, depth), dtype=nl.float32, buffer=nl.sbuf)
    part = nl.ndarray((P, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation_reduce(dst=square, op=nl.square, data=column, reduce_op=nl.add, reduce_res=part)
    scale = inverse_rms(part, ones, eps, width)
    unit = nl.ndarray((P, depth), dtype=column.dtype, buffer=nl.sbuf)
    nisa.scalar_tensor_tensor(
        dst=unit, data=column, op0=nl.multiply, operand0=scale, op1=nl.multiply, operand1=gamma
    )
    return unit


def _half_turn(dtype: Any) -> Any:
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
) -> None:
    """`norm_qkv` for one token; each core computes half of the heads."""
    hidden = x.shape[1]
    columns = weight.shape[1]
    heads = columns // P - 2
    column = load_column(x)
    gamma = load_column(norm_weight)
    low, mine = share(columns // P)
    tiles = load_interleaved(weight, low * P, mine * P)
    ones = ones_matrix()
    eps_column = constant(P, eps)
    unit = normalise_column(column, gamma, ones, eps_column, hidden)
    head_weights = nl.ndarray((2, P), dtype=q_weight.dtype, buffer=nl.sbuf)
    hwdge, sync = nisa.dge_mode.hwdge, nisa.engine.sync
    nisa.dma_copy(dst=head_weights[0:1, :], src=q_weight, dge_mode=hwdge, engine=sync)
    nisa.dma_copy(dst=head_weights[1:2, :], src=k_weight, dge_mode=hwdge, engine=sync)
    angle_rows = _load_angles(cos, sin)
    turn = _half_turn(x.dtype)

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


def _prompt(
    x: Any,
    norm_weight: Any,
    weight: Any,
    q_weight: Any,
    k_weight: Any,
    cos: Any,
    sin: Any,
    eps: float,
    outs: Any,
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
    tiles = load_interleaved(weight, low * P, mine * P)
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
