"""Routed experts over up to 128 tokens that fetches only the experts some token chose."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, contract, core_of, transpose, transpose_interleaved
from kernels.expert_weights import (
    add_down,
    request_expert,
    scaled_active,
    store_sum,
    turn_active,
)
from kernels.experts_prompt import affinity_table, expert_buffers
from kernels.group_tokens import triangle
from kernels.router import TOP_K

LEAST = 1e-30
"""An affinity no answer shows, and more than none."""


@nki.jit
def experts_batch(
    x: Any, gate_up: Any, down: Any, ids: Any, affinities: Any, buffers: int = 4, queues: str = "both"
) -> Any:
    """x [T, H], gate_up [E, H, 2 I], down [E, I, H], ids and affinities [T, 8] to the sum over experts [T,
    H].

    The experts anybody chose are listed on the device, and a hardware loop runs over that list as far as it
    goes: each one's weights leave HBM once however many tokens chose it, and those nobody chose never do. All
    tokens are one stationary tile and an affinity of zero silences those that chose otherwise, so there is
    nothing to sort, gather or scatter; cores take turns along the list. Bound by HBM bandwidth with the
    tensor engine close behind, after a list of about ten dependent instructions. It loses to `resident` where
    nearly every expert is chosen: its addresses come from data and its loop has a seam every few experts.
    """
    core, cores = core_of()
    tokens, hidden = x.shape
    experts, inner, _ = down.shape
    assert tokens <= P and TOP_K <= experts <= P, "at most 128 tokens, 8 to 128 experts"
    assert hidden % (2 * P) == 0 and hidden <= 4 * BANK, "the sum over experts stays in four PSUM banks"
    assert 2 * inner <= BANK and buffers & (buffers - 1) == 0, "2 I in a PSUM bank, a power of two of buffers"
    # a token chooses eight, so the first round is full and no transfer of it is skipped: every buffer holds
    # numbers, which an affinity of zero silences
    assert cores * buffers <= TOP_K, "no more buffers than experts a token chooses"
    out = nl.ndarray((tokens, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    table = affinity_table(ids, affinities, tokens, experts, LEAST)
    owners, scales, rounds = _listed(table, tokens, experts, buffers, core, cores, tokens * TOP_K)
    pairs = expert_buffers(gate_up, down, buffers)
    for place in range(buffers):
        owner = owners.ap(pattern=[[owners.shape[1], 1], [1, 1]], offset=place)
        request_expert(gate_up, down, owner, pairs[place][0], pairs[place][1], queues, nisa.oob_mode.skip)
    tile = nl.ndarray((tokens, hidden), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar)
    turned = transpose_interleaved(tile, tokens, hidden)
    sums = _zero_sums(tokens, hidden)
    groups = owners.shape[1] // buffers
    by_round = owners.reshape((1, groups, buffers))
    scale_by_round = scales.reshape((tokens, groups, buffers))
    for turn in nl.dynamic_range(rounds):
        acc = contract(turned, pairs[0][0], tokens, 0, 2 * inner)
        for place in range(buffers):
            scale = scale_by_round.ap(
                pattern=[[groups * buffers, tokens], [1, 1]], offset=place, scalar_offset=turn, indirect_dim=1
            )
            active = scaled_active(acc, scale, tokens, inner, x.dtype)
            if place + 1 < buffers:
                acc = contract(turned, pairs[place + 1][0], tokens, 0, 2 * inner)
            add_down(sums, turn_active(active, tokens, inner, x.dtype), pairs[place][1], False)
            following = by_round.ap(
                pattern=[[groups * buffers, 1], [1, 1]],
                offset=buffers + place,
                scalar_offset=turn,
                indirect_dim=1,
            )
            request_expert(
                gate_up, down, following, pairs[place][0], pairs[place][1], queues, nisa.oob_mode.skip
            )
    store_sum(sums, out, 0, tokens, core, cores)
    return out


def _listed(table: Any, tokens: int, experts: int, buffers: int, core: int, cores: int, choices: int) -> Any:
    """The core's part of the experts with an affinity in table [T, E].

    Owners [1, N] uint32 hold expert ids in order and E, which is no expert, from the end of the list on;
    scales [T, N] each token's affinity to them, zero there; a register the rounds of `buffers` experts. N is
    the longest list there can be, and a round more, which is asked for and never computed.
    """
    by_expert = transpose(table, tokens, experts)
    used = nl.ndarray((experts, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=used, op=nl.maximum, data=by_expert, axis=1)
    chosen = nl.ndarray((experts, 1), dtype=nl.bfloat16, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=chosen, data=used, op0=nl.greater, operand0=0.0, engine=nisa.engine.vector)
    step = cores * buffers
    longest = (min(experts, choices) + step - 1) // step * buffers + buffers
    rank = ranks_of(chosen, experts)
    place = nl.ndarray((experts, longest), dtype=nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=place, pattern=[[cores, longest]], offset=core, channel_multiplier=0)
    picks = nl.ndarray((experts, longest), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=picks, data=place, op0=nl.equal, operand0=rank, engine=nisa.engine.vector)
    scales = nl.ndarray((tokens, longest), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=scales, stationary=by_expert, moving=picks)
    kept = nl.ndarray((tokens, longest), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=kept, src=scales, engine=nisa.engine.scalar)
    return owners_of(picks, experts, longest), kept, rounds_of(chosen, experts, step)


def ranks_of(chosen: Any, experts: int) -> Any:
    """[E, 1] fp32: how many chosen experts come before each chosen one; far out for the others."""
    before = nl.ndarray((experts, 1), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=before, stationary=triangle()[0:experts, 0:experts], moving=chosen)
    away = nl.ndarray((experts, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=away,
        data=chosen,
        op0=nl.equal,
        operand0=0.0,
        op1=nl.multiply,
        operand1=float(4 * P),
        engine=nisa.engine.vector,
    )
    rank = nl.ndarray((experts, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=rank, data1=before, data2=away, op=nl.add)
    return rank


def owners_of(picks: Any, experts: int, longest: int) -> Any:
    """[1, N] uint32: the expert each column of picks [E, N] names, E where it names none.

    A column with its one at expert e sums e - E over the experts; one without sums nothing.
    """
    raw = nl.ndarray((experts, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=raw, pattern=[[0, 1]], offset=-experts, channel_multiplier=1)
    index = nl.ndarray((experts, 1), dtype=picks.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=index, src=raw, engine=nisa.engine.vector)
    below = nl.ndarray((1, longest), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=below, stationary=index, moving=picks)
    owners = nl.ndarray((1, longest), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=owners, data=below, op0=nl.add, operand0=float(experts), engine=nisa.engine.vector)
    return owners


def rounds_of(chosen: Any, experts: int, step: int) -> Any:
    """A register of ceil(chosen experts / step), step a power of two."""
    ones = nl.ndarray((experts, 1), dtype=nl.bfloat16, buffer=nl.sbuf)
    nisa.memset(dst=ones, value=1.0)
    count = nl.ndarray((1, 1), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=count, stationary=ones, moving=chosen)
    raised = nl.ndarray((1, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=raised, data=count, op0=nl.add, operand0=float(step - 1), engine=nisa.engine.vector
    )
    rounds = nl.ndarray((1, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=rounds,
        data=raised,
        op0=nl.right_shift,
        operand0=step.bit_length() - 1,
        engine=nisa.engine.vector,
    )
    register = nisa.register_alloc()
    nisa.register_load(dst=register, src=rounds)
    return register


def _zero_sums(rows: int, hidden: int) -> Any:
    """PSUM banks [rows, <= 512] of zeros for a sum whose first term is inside a loop."""
    sums = []
    width = min(BANK, hidden)
    for _ in range(0, hidden, width):
        bank = nl.ndarray((rows, width), dtype=nl.float32, buffer=nl.psum)
        nisa.memset(dst=bank, value=0.0, engine=nisa.engine.vector)
        sums.append(bank)
    return sums
