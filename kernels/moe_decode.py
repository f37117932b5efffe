"""The second half of a decoder layer for one token in one kernel: norm, routing, experts and their sum."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, constant, contract, core_of, share
from kernels.columns import load_column, normalise_column, ones_matrix
from kernels.expert_weights import sum_chosen
from kernels.router import TOP_K, choose


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

    The normalised row stays column-major in SBUF from the norm through the router to every expert's gate and
    up, and expert ids go from top-8 into transfer addresses, so nothing between the residual and the answer
    touches HBM. Both cores route, which costs less than telling each other, and then fetch four experts each.
    Bound by HBM bandwidth after a serial prologue of norm and routing in which no expert can be fetched; that
    prologue is what separate kernels could overlap with something else.
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
    unit = nl.ndarray((P, depth, 1), dtype=x.dtype, buffer=nl.sbuf)
    normed = normalise_column(column, gamma, ones_matrix(), constant(P, eps), hidden)
    nisa.tensor_copy(dst=unit.reshape((P, depth)), src=normed, engine=nisa.engine.vector)
    acc = contract(unit, tiles, 1, 0, experts)
    logits = nl.ndarray((1, experts), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=logits, src=acc, engine=nisa.engine.vector)
    ids, affinities = choose(logits, 1, experts)
    first, count = share(TOP_K)
    sum_chosen(unit, gate_up, down, ids, affinities, first, count, out, core, cores, pieces, queues)
    return out
