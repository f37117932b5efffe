"""The second half of a decoder layer for a token of each of several sequences, in one kernel."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.batch_experts import (
    activate,
    add_answer,
    expert_buffers,
    project,
    request_expert,
    store_answer,
)
from kernels.batch_heads import partial_squares, scaled_columns
from kernels.batch_router import listed, share_table, shares_of, top_mask
from kernels.blocks import BANK, P, core_of, row_scale, transpose_interleaved
from kernels.columns import inverse_rms_of, load_column, ones_matrix
from kernels.router import TOP_K


@nki.jit
def moe_block_batch(
    x: Any, norm_weight: Any, router_weight: Any, gate_up: Any, down: Any, eps: float, queues: str = "both"
) -> Any:
    """x [T, H] before the norm, norm_weight [1, H], bf16 router_weight [H, E], gate_up, down to [T, H].

    Norm, routing, the list of chosen experts and the experts themselves, T up to 32, with nothing in HBM
    between them. Both cores route all tokens, which costs less than telling each other. A choice needs
    neither softmax nor 1 / rms, so the list is made from the eight largest logits and the first weights are
    asked for before the norm and the shares exist. As in `experts_batch` a hardware loop fetches each listed
    expert once; as in `moe_block` weights are the stationary operand, so a tile costs the tensor engine 64
    cycles however many tokens move past it, activations come out as the down projection wants them, and the
    sum over a core's experts stays in one PSUM bank. Cores take turns along the list and exchange halves of
    the sum. Bound by HBM bandwidth after a serial prologue of some seven microseconds. It loses where loading
    stationary tiles is not hidden (`batched` moves weights past the tokens), and beyond 32 tokens.
    """
    core, cores = core_of()
    (tokens, hidden), inner = x.shape, down.shape[1]
    experts, depth = router_weight.shape[1], hidden // P
    assert hidden % (2 * P) == 0 and depth * tokens <= BANK, "the sum over experts fits a PSUM bank"
    assert TOP_K <= experts <= P and inner <= 2 * P, "8 to 128 experts, at most 256 wide"
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    tile = nl.ndarray((tokens, hidden), dtype=x.dtype, buffer=nl.sbuf)
    hwdge = nisa.dge_mode.hwdge
    nisa.dma_copy(dst=tile, src=x, dge_mode=hwdge, engine=nisa.engine.scalar)
    router = nl.ndarray((P, depth, experts), dtype=router_weight.dtype, buffer=nl.sbuf)
    source = router_weight.reshape((P, depth, experts))
    nisa.dma_copy(dst=router, src=source, dge_mode=hwdge, engine=nisa.engine.sync)
    gamma = load_column(norm_weight)
    columns = transpose_interleaved(tile, tokens, hidden)
    scaled = scaled_columns(columns, gamma)
    logits = nl.ndarray((tokens, experts), dtype=nl.float32, buffer=nl.psum)
    for j in range(depth):
        nisa.nc_matmul(dst=logits, stationary=scaled[:, j, :], moving=router[:, j, :], accumulate=j > 0)
    mask, best = top_mask(logits)
    # a token chooses eight, so the first round is full and no transfer of it is skipped
    buffers = TOP_K // 2
    owners, picks, rounds = listed(mask, buffers, core, cores)
    held = expert_buffers(gate_up, down, buffers)
    longest = owners.shape[1]
    for place in range(buffers):
        owner = owners.ap(pattern=[[longest, 1], [1, 1]], offset=place)
        request_expert(gate_up, down, owner, held[place], place, queues)

    ones, part = ones_matrix(), partial_squares(columns)
    unit, by_token = _normalised(scaled, part, ones, eps)
    table = share_table(shares_of(logits, mask, best, by_token), picks, ones)
    answer = nl.ndarray((P, depth, tokens), dtype=nl.float32, buffer=nl.psum)
    nisa.memset(dst=answer, value=0.0, engine=nisa.engine.vector)
    groups = longest // buffers
    by_round = owners.reshape((1, groups, buffers))
    table_by_round = table.reshape((P, groups, buffers * tokens))
    for turn in nl.dynamic_range(rounds):
        shares = nl.ndarray((P, buffers, tokens), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(
            dst=shares.reshape((P, buffers * tokens)),
            src=table_by_round.ap(
                pattern=[[longest * tokens, P], [1, buffers * tokens]],
                offset=0,
                scalar_offset=turn,
                indirect_dim=1,
            ),
            engine=nisa.engine.vector,
        )
        sides = project(unit, held[0][0], 0, inner)
        for place in range(buffers):
            active = activate(sides, shares[:, place, :], place, inner, x.dtype)
            if place + 1 < buffers:
                sides = project(unit, held[place + 1][0], place + 1, inner)
            add_answer(answer, active, held[place][1], place, inner)
            following = by_round.ap(
                pattern=[[longest, 1], [1, 1]], offset=buffers + place, scalar_offset=turn, indirect_dim=1
            )
            request_expert(gate_up, down, following, held[place], place, queues)
    store_answer(answer, out, core, cores)
    return out


def _normalised(scaled: Any, part: Any, ones: Any, eps: float) -> Any:
    """scaled [128, depth, T] by 1 / rms of each token, and that factor as [T, 1].

    part [128, T] are sums of squares of each partition.
    """
    _, depth, tokens = scaled.shape
    total = nl.ndarray((P, tokens), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=total, stationary=ones, moving=part)
    down = nl.ndarray((tokens, 1), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=down, stationary=part, moving=ones[:, 0:1])
    inverse = inverse_rms_of(total, eps, depth * P)
    unit = nl.ndarray(scaled.shape, dtype=scaled.dtype, buffer=nl.sbuf)
    spread = inverse.ap(pattern=[[tokens, P], [0, depth], [1, tokens]], offset=0)
    nisa.tensor_tensor(dst=unit, data1=scaled, data2=spread, op=nl.multiply)
    return unit, row_scale(down, tokens, depth * P, eps)
