"""Post-attention norm and expert routing in one kernel, for one token and for a prompt."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import (
    P,
    constant,
    contract,
    core_of,
    load_broadcast,
    request_pieces,
    token_share,
    transpose_interleaved,
)
from kernels.columns import load_column, normalise_column, ones_matrix
from kernels.router import TOP_K, choose_best, store_choice


@nki.jit
def norm_router(
    x: Any, norm_weight: Any, weight: Any, eps: float, pieces: int = 1, queues: str = "software"
) -> Any:
    """x [T, H], norm_weight [1, H], bf16 weight [H, E] to the normalised x, ids [T, 8] and affinities [T, 8].

    The checkpoint's router weight is bf16, so bf16 operands with fp32 accumulation give the same products as
    the fp32 matmul at a quarter of its cycles and half of its bytes. The weight is one transfer with one run
    per partition, on a software queue so that tokens do not wait behind it, and at one token the hidden state
    stays column-major from norm to logits, without a transpose. Softmax is taken over the eight best alone.
    Bound at one token by the chain of small instructions from norm to shares, at a prompt by the norm on the
    vector and scalar engines. It gives nothing on a checkpoint with a true fp32 router.
    """
    tokens, hidden = x.shape
    experts = weight.shape[1]
    assert hidden % P == 0 and TOP_K <= experts <= 512, "hidden in blocks of 128, 8 to 512 experts"
    out = nl.ndarray((tokens, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    ids_out = nl.ndarray((tokens, TOP_K), dtype=nl.uint32, buffer=nl.shared_hbm)
    affinities_out = nl.ndarray((tokens, TOP_K), dtype=nl.float32, buffer=nl.shared_hbm)
    depth = hidden // P
    tiles = nl.ndarray((P, depth, experts), dtype=weight.dtype, buffer=nl.sbuf)
    request_pieces(tiles, weight.reshape((P, depth, experts)), max(1, depth // pieces), queues)
    if tokens == 1:
        _one_token(x, norm_weight, tiles, eps, out, ids_out, affinities_out)
    else:
        _prompt(x, norm_weight, tiles, eps, out, ids_out, affinities_out)
    return out, ids_out, affinities_out


def _one_token(
    x: Any, norm_weight: Any, tiles: Any, eps: float, out: Any, ids_out: Any, affinities_out: Any
) -> None:
    """Both cores route; the first also stores the normalised row."""
    core, cores = core_of()
    hidden, experts = x.shape[1], tiles.shape[2]
    depth = hidden // P
    column, gamma = load_column(x), load_column(norm_weight)
    unit = normalise_column(column, gamma, ones_matrix(), constant(P, eps), hidden)
    if core == 0:
        nisa.dma_copy(
            dst=out.reshape((P, depth)), src=unit, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar
        )
    acc = nl.ndarray((1, experts), dtype=nl.float32, buffer=nl.psum)
    for j in range(depth):
        nisa.nc_matmul(dst=acc, stationary=unit[:, j : j + 1], moving=tiles[:, j, :], accumulate=j > 0)
    ids, affinities = choose_best(acc, 1)
    store_choice(ids, affinities, ids_out, affinities_out, 0, 1)


def _prompt(
    x: Any, norm_weight: Any, tiles: Any, eps: float, out: Any, ids_out: Any, affinities_out: Any
) -> None:
    """Cores divide the tokens; one instruction normalises and scales."""
    tokens, hidden = x.shape
    experts = tiles.shape[2]
    first, count = token_share(tokens)
    gamma = load_broadcast(norm_weight, min(P, count))
    for start in range(first, first + count, P):
        rows = min(P, first + count - start)
        tile = nl.ndarray((rows, hidden), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(
            dst=tile, src=x[start : start + rows, :], dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.sync
        )
        square = nl.ndarray((rows, hidden), dtype=x.dtype, buffer=nl.sbuf)
        total = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation_reduce(dst=square, op=nl.square, data=tile, reduce_op=nl.add, reduce_res=total)
        scale = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(dst=scale, op=nl.rsqrt, data=total, scale=1.0 / hidden, bias=constant(rows, eps))
        unit = nl.ndarray((rows, hidden), dtype=x.dtype, buffer=nl.sbuf)
        nisa.scalar_tensor_tensor(
            dst=unit,
            data=tile,
            op0=nl.multiply,
            operand0=scale,
            op1=nl.multiply,
            operand1=gamma[0:rows, :],
        )
        nisa.dma_copy(
            dst=out[start : start + rows, :],
            src=unit,
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.scalar,
        )
        turned = transpose_interleaved(unit, rows, hidden)
        ids, affinities = choose_best(contract(turned, tiles, rows, 0, experts), rows)
        store_choice(ids, affinities, ids_out, affinities_out, start, start + rows)
