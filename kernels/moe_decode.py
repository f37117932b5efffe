"""The second half of a decoder layer for one token in one kernel: norm, routing, experts and their sum."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, core_of, share
from kernels.columns import inverse_rms_of, load_column, ones_matrix, scaled_column, sum_of_squares
from kernels.decode_router import affinities_of, best_experts, logits_of
from kernels.expert_weights import sum_chosen
from kernels.router import TOP_K


@nki.jit
def moe_decode(
    x: Any,
    norm_weight: Any,
    router_weight: Any,
    gate_up: Any,
    down: Any,
    eps: float,
    pieces: int = 2,
    queues: str = "both",
) -> Any:
    """x [1, H] before the norm, norm_weight [1, H], bf16 router_weight [H, E], gate_up, down to [1, H].

    The row stays column-major in SBUF from the norm through the router to every expert's gate and up, and
    expert ids go from top-8 into transfer addresses, before softmax and 1 / rms are known, so nothing between
    the residual and the answer touches HBM. Both cores route, which costs less than telling each other, and
    then fetch four experts each. Weights move past the token. Bound by HBM and the tensor engine alike, after
    a serial prologue in which no expert can be fetched and before a sum over the cores. It loses to `block`
    where stationary tiles load behind the matmul before.
    """
    core, cores = core_of()
    hidden, experts = x.shape[1], router_weight.shape[1]
    depth = hidden // P
    assert x.shape[0] == 1 and hidden % (2 * P) == 0 and hidden <= 4 * BANK, "one token, hidden up to 2048"
    assert 2 * down.shape[1] <= BANK and TOP_K <= experts <= 512, "2 I in one PSUM bank, 8 to 512 experts"
    out = nl.ndarray((1, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    column, gamma = load_column(x), load_column(norm_weight)
    tiles = nl.ndarray((P, depth, experts), dtype=router_weight.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=tiles,
        src=router_weight.reshape((P, depth, experts)),
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.sync,
    )
    ones = ones_matrix()
    scaled = scaled_column(column, gamma)
    best, ids = best_experts(logits_of(scaled, tiles))
    inverse = inverse_rms_of(sum_of_squares(column, ones), eps, hidden)
    affinities = affinities_of(best, inverse, ones)[0:1, :]
    unit = nl.ndarray((P, depth, 1), dtype=x.dtype, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=unit.reshape((P, depth)),
        data=scaled,
        op0=nl.multiply,
        operand0=inverse,
        engine=nisa.engine.vector,
    )
    first, count = share(TOP_K)
    sum_chosen(unit, gate_up, down, ids, affinities, first, count, out, core, cores, pieces, queues)
    return out
