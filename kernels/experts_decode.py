"""The eight chosen experts of one token: only their weights leave HBM."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, core_of, load, share, transpose, transpose_tokens
from kernels.expert_weights import sum_chosen
from kernels.experts_prefill import activate


@nki.jit
def experts_decode(x: Any, gate_up: Any, down: Any, ids: Any) -> Any:
    """x [1, H], gate_up [E, H, 2 I], down [E, I, H], ids [1, K] to each expert's answer [K, H].

    Cores divide the chosen experts. Weights come in 128-row pieces, each a transfer whose address is the
    expert id, so GpSimd writes descriptors for eighteen transfers per expert. Bound by exactly that.
    """
    hidden = x.shape[1]
    experts, inner, _ = down.shape
    chosen = ids.shape[1]
    assert x.shape[0] == 1 and hidden % P == 0 and 2 * inner <= BANK, "one token, 2 I in one PSUM bank"
    out = nl.ndarray((chosen, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    owners = load(ids, nl.uint32)
    turned = transpose_tokens(load(x, x.dtype), 1, hidden)
    first, count = share(chosen)
    for k in range(first, first + count):
        owner = owners.ap(pattern=[[chosen, 1], [1, 1]], offset=k)
        acc = nl.ndarray((1, 2 * inner), dtype=nl.float32, buffer=nl.psum)
        for block in range(hidden // P):
            piece = nl.ndarray((P, 2 * inner), dtype=gate_up.dtype, buffer=nl.sbuf)
            nisa.dma_copy(
                dst=piece,
                src=gate_up.ap(
                    pattern=[[2 * inner, P], [1, 2 * inner]],
                    offset=block * P * 2 * inner,
                    scalar_offset=owner,
                    indirect_dim=0,
                ),
            )
            nisa.nc_matmul(dst=acc, stationary=turned[:, block, :], moving=piece, accumulate=block > 0)
        active = activate(acc, 1, inner, x.dtype)
        sides, weights = [], []
        for start in range(0, inner, P):
            size = min(P, inner - start)
            sides.append(transpose(active[:, start : start + size], 1, size))
            piece = nl.ndarray((size, hidden), dtype=down.dtype, buffer=nl.sbuf)
            nisa.dma_copy(
                dst=piece,
                src=down.ap(
                    pattern=[[hidden, size], [1, hidden]],
                    offset=start * hidden,
                    scalar_offset=owner,
                    indirect_dim=0,
                ),
            )
            weights.append(piece)
        result = nl.ndarray((1, hidden), dtype=x.dtype, buffer=nl.sbuf)
        for column in range(0, hidden, BANK):
            width = min(BANK, hidden - column)
            part = nl.ndarray((1, width), dtype=nl.float32, buffer=nl.psum)
            for side in range(len(sides)):
                nisa.nc_matmul(
                    dst=part,
                    stationary=sides[side],
                    moving=weights[side][:, column : column + width],
                    accumulate=side > 0,
                )
            nisa.tensor_copy(dst=result[:, column : column + width], src=part, engine=nisa.engine.scalar)
        nisa.dma_copy(dst=out[k : k + 1, :], src=result)
    return out


@nki.jit
def experts_decode_prefetched(
    x: Any, gate_up: Any, down: Any, ids: Any, affinities: Any, pieces: int = 2, queues: str = "both"
) -> Any:
    """`experts_decode` and `aggregate` in one for one token: returns the weighted sum over experts [1, H].

    Every weight a core needs is requested before the first matmul: two large transfers per expert, hardware-
    and software-described in parallel, so the queues never wait for compute (80 KiB per partition hold four
    experts). Affinities scale the small activated row, and all experts then accumulate into the same PSUM
    banks in fp32, in the router's order within a core; the cores exchange halves of the row at the end. Bound
    by HBM bandwidth and, close behind, by the tensor engine, which streams each weight once past one token
    and multiplies the next expert's gate and up while this one's activation is computed. It loses at several
    tokens, where experts repeat.
    """
    core, cores = core_of()
    hidden, inner, chosen = x.shape[1], down.shape[1], ids.shape[1]
    assert x.shape[0] == 1 and hidden % (2 * P) == 0 and 2 * inner <= BANK, "one token, 2 I in one PSUM bank"
    assert hidden <= 4 * BANK, "the sum over experts stays in four PSUM banks"
    out = nl.ndarray((1, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    hwdge, scalar = nisa.dge_mode.hwdge, nisa.engine.scalar
    owners = nl.ndarray((1, chosen), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.dma_copy(dst=owners, src=ids, dge_mode=hwdge, engine=nisa.engine.sync)
    column = nl.ndarray((P, hidden // P, 1), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=column, src=x.reshape((P, hidden // P, 1)), dge_mode=hwdge, engine=scalar)
    scales = nl.ndarray((1, chosen), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=scales, src=affinities, dge_mode=hwdge, engine=scalar)
    first, count = share(chosen)
    sum_chosen(column, gate_up, down, owners, scales, first, count, out, core, cores, pieces, queues)
    return out
