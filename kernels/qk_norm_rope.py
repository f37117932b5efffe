"""Per-head RMSNorm of queries and keys, then rotary position embedding (half-split, as Qwen3 does it)."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import P, row_scale, share, token_share


def rotate(unit: Any, cos: Any, sin: Any, rows: int, heads: int, dtype: Any) -> Any:
    """[rows, heads, 128] rotated by cos, sin [rows, 64], the same angle for every head."""
    half = P // 2
    out = nl.ndarray((rows, heads, P), dtype=dtype, buffer=nl.sbuf)
    c = cos.ap(pattern=[[half, rows], [0, heads], [1, half]], offset=0)
    s = sin.ap(pattern=[[half, rows], [0, heads], [1, half]], offset=0)
    low, high = unit[:, :, 0:half], unit[:, :, half:P]
    for part, straight, crossed, op in ((0, low, high, nl.subtract), (half, high, low, nl.add)):
        kept = nl.ndarray((rows, heads, half), dtype=nl.float32, buffer=nl.sbuf)
        turned = nl.ndarray((rows, heads, half), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=kept, data1=straight, data2=c, op=nl.multiply)
        nisa.tensor_tensor(dst=turned, data1=crossed, data2=s, op=nl.multiply)
        nisa.tensor_tensor(dst=out[:, :, part : part + half], data1=kept, data2=turned, op=op)
    return out


@nki.jit
def qk_norm_rope(q: Any, k: Any, q_weight: Any, k_weight: Any, cos: Any, sin: Any, eps: float) -> Any:
    """q [T, heads * 128], k [T, 128], weights [1, 128], cos and sin [T, 64] to rotated q and k, same shapes.

    Tokens on partitions, all heads side by side in the free dimension, so one instruction serves every head.
    Cores divide tokens, or heads when there is one token. Bound by the vector engine.
    """
    tokens, width = q.shape
    heads = width // P
    q_out = nl.ndarray((tokens, width), dtype=q.dtype, buffer=nl.shared_hbm)
    k_out = nl.ndarray((tokens, P), dtype=k.dtype, buffer=nl.shared_hbm)
    first, count = token_share(tokens)
    low, mine = 0, heads + 1
    if tokens == 1:
        low, mine = share(heads + 1)
    queries = min(heads - low, mine)
    for start in range(first, first + count, P):
        rows = min(P, first + count - start)
        stop = start + rows
        tile = nl.ndarray((rows, mine, P), dtype=q.dtype, buffer=nl.sbuf)
        gamma = nl.ndarray((rows, mine, P), dtype=q_weight.dtype, buffer=nl.sbuf)
        if queries > 0:
            nisa.dma_copy(
                dst=tile[:, 0:queries, :],
                src=q.reshape((tokens, heads, P))[start:stop, low : low + queries, :],
            )
            nisa.dma_copy(
                dst=gamma[:, 0:queries, :],
                src=q_weight.ap(pattern=[[0, rows], [0, queries], [1, P]], offset=0),
            )
        if queries < mine:
            nisa.dma_copy(dst=tile[:, queries, :], src=k[start:stop, :])
            nisa.dma_copy(dst=gamma[:, queries, :], src=k_weight.ap(pattern=[[0, rows], [1, P]], offset=0))
        square = nl.ndarray((rows, mine, P), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=square, data1=tile, data2=tile, op=nl.multiply)
        total = nl.ndarray((rows, mine), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_reduce(dst=total, op=nl.add, data=square, axis=2)
        scale = row_scale(total, rows, P, eps)
        unit = nl.ndarray((rows, mine, P), dtype=q.dtype, buffer=nl.sbuf)
        spread = scale.ap(pattern=[[mine, rows], [1, mine], [0, P]], offset=0)
        nisa.tensor_tensor(dst=unit, data1=tile, data2=spread, op=nl.multiply)
        scaled = nl.ndarray((rows, mine, P), dtype=q.dtype, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=scaled, data1=unit, data2=gamma, op=nl.multiply)
        angle_cos = nl.ndarray((rows, P // 2), dtype=nl.float32, buffer=nl.sbuf)
        angle_sin = nl.ndarray((rows, P // 2), dtype=nl.float32, buffer=nl.sbuf)
        nisa.dma_copy(dst=angle_cos, src=cos[start:stop, :])
        nisa.dma_copy(dst=angle_sin, src=sin[start:stop, :])
        turned = rotate(scaled, angle_cos, angle_sin, rows, mine, q.dtype)
        if queries > 0:
            nisa.dma_copy(
                dst=q_out.reshape((tokens, heads, P))[start:stop, low : low + queries, :],
                src=turned[:, 0:queries, :],
            )
        if queries < mine:
            nisa.dma_copy(dst=k_out[start:stop, :], src=turned[:, queries, :])
    return q_out, k_out
