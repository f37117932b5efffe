"""RMSNorm of a few tokens, each row spread over all partitions."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.batch_heads import squares_of
from kernels.blocks import P, core_of, transpose
from kernels.columns import inverse_rms_of, ones_matrix

MOST = 16


@nki.jit
def rmsnorm_spread(x: Any, weight: Any, eps: float) -> Any:
    """x [T, H] and weight [1, H] to x / rms(x) * weight [T, H] for up to 16 tokens.

    The tensor engine turns the rows, so that an instruction has H / 128 elements of each token on 128 lanes
    instead of H on T, and a matmul with ones sums over partitions; cores divide the columns and turn them
    back. Bound by the fixed latencies of loading and storing. It loses at a prompt's tokens, which fill the
    partitions as they are, and wherever a neighbour can take the norm in.
    """
    tokens, hidden = x.shape
    assert tokens <= MOST and hidden % (2 * P) == 0, "up to 16 tokens, hidden in blocks of 256"
    out = nl.ndarray((tokens, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    core, cores = core_of()
    depth = hidden // P
    count = depth // cores
    low = core * count
    tile = nl.ndarray((tokens, hidden), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.sync)
    gamma = _turned_gain(weight)
    columns = nl.ndarray((P, depth, tokens), dtype=x.dtype, buffer=nl.psum)
    for j in range(depth):
        nisa.nc_transpose(dst=columns[:, j, :], data=tile[:, j * P : (j + 1) * P], engine=nisa.engine.tensor)
    inverse = inverse_rms_of(squares_of(columns, ones_matrix()), eps, hidden)
    unit = nl.ndarray((P, count, tokens), dtype=x.dtype, buffer=nl.sbuf)
    spread = inverse.ap(pattern=[[tokens, P], [0, count], [1, tokens]], offset=0)
    nisa.tensor_tensor(dst=unit, data1=columns[:, low : low + count, :], data2=spread, op=nl.multiply)
    scaled = nl.ndarray((P, count, tokens), dtype=x.dtype, buffer=nl.sbuf)
    gains = gamma.ap(pattern=[[depth, P], [1, count], [0, tokens]], offset=low)
    nisa.tensor_tensor(dst=scaled, data1=unit, data2=gains, op=nl.multiply)
    psum = nl.ndarray((tokens, count * P), dtype=x.dtype, buffer=nl.psum)
    for n in range(count):
        nisa.nc_transpose(dst=psum[:, n * P : (n + 1) * P], data=scaled[:, n, :], engine=nisa.engine.tensor)
    rows = nl.ndarray((tokens, count * P), dtype=x.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=rows, src=psum, engine=nisa.engine.vector)
    nisa.dma_copy(
        dst=out[:, low * P : (low + count) * P],
        src=rows,
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.sync,
    )
    return out


def _turned_gain(weight: Any) -> Any:
    """A weight [1, H] as [128, H / 128]: index k on partition k % 128."""
    depth = weight.shape[1] // P
    rows = nl.ndarray((depth, P), dtype=weight.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=rows,
        src=weight.reshape((depth, P)),
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.scalar,
    )
    return transpose(rows, depth, P)
