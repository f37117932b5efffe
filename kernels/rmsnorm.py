"""RMSNorm of the hidden state: input norm, post-attention norm, final norm."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import P, load, load_broadcast, row_scale, share, token_share


@nki.jit
def rmsnorm(x: Any, weight: Any, eps: float) -> Any:
    """x [T, H] and weight [1, H] to x / rms(x) * weight [T, H], rounded to x's type before the weight.

    Tokens on partitions, the whole row in one pass: square, sum, rsqrt, two multiplies. Bound by the vector
    engine at many tokens. At one token it uses a single partition, so 127 of 128 lanes idle.
    """
    tokens, hidden = x.shape
    out = nl.ndarray((tokens, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    first, count = token_share(tokens)
    column, columns = 0, hidden
    if tokens == 1:
        column, columns = share(hidden)
    gamma = load_broadcast(weight, min(P, count))
    for start in range(first, first + count, P):
        rows = min(P, first + count - start)
        tile = load(x[start : start + rows, :], x.dtype)
        square = nl.ndarray((rows, hidden), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=square, data1=tile, data2=tile, op=nl.multiply)
        total = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_reduce(dst=total, op=nl.add, data=square, axis=1)
        scale = row_scale(total, rows, hidden, eps)
        unit = nl.ndarray((rows, columns), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_scalar(
            dst=unit,
            data=tile[:, column : column + columns],
            op0=nl.multiply,
            operand0=scale,
            engine=nisa.engine.vector,
        )
        scaled = nl.ndarray((rows, columns), dtype=x.dtype, buffer=nl.sbuf)
        nisa.tensor_tensor(
            dst=scaled, data1=unit, data2=gamma[:rows, column : column + columns], op=nl.multiply
        )
        nisa.dma_copy(dst=out[start : start + rows, column : column + columns], src=scaled)
    return out
