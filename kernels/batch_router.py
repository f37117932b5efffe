"""Routing of several tokens from unnormalised logits: the best experts, their list, and their shares."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from kernels.blocks import P, transpose
from kernels.experts_batch import owners_of, ranks_of, rounds_of
from kernels.router import TOP_K

STRUCK = -1e30
"""What replaces a logit that was chosen; no logit is as low."""


def top_mask(logits: Any) -> Any:
    """[T, E] fp32 of ones at the eight largest of PSUM logits [T, E], ties to the lower id; and those eight.

    A positive factor and softmax change no choice, so both are left for later.
    """
    best = nl.ndarray((logits.shape[0], TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.max8(dst=best, src=logits)
    rest = nl.ndarray(logits.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.nc_match_replace8(dst=rest, data=logits, vals=best, imm=STRUCK)
    mask = nl.ndarray(logits.shape, dtype=nl.bfloat16, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=mask, data=rest, op0=nl.equal, operand0=STRUCK, engine=nisa.engine.vector)
    return mask, best


def listed(mask: Any, buffers: int, core: int, cores: int) -> Any:
    """The core's part of the list of experts any row of mask [T, E] chose.

    Owners [1, N] uint32 hold ids in order and E from the end of the list on, picks [E, N] the same one-hot,
    a register the rounds of `buffers` experts. N is the longest list there can be, and a round more, which is
    asked for and never computed.
    """
    tokens, experts = mask.shape
    ones = nl.ndarray((tokens, 1), dtype=nl.bfloat16, buffer=nl.sbuf)
    nisa.memset(dst=ones, value=1.0)
    counts = nl.ndarray((experts, 1), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=counts, stationary=mask, moving=ones)
    chosen = nl.ndarray((experts, 1), dtype=nl.bfloat16, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=chosen, data=counts, op0=nl.greater, operand0=0.0, engine=nisa.engine.vector)
    step = cores * buffers
    longest = (min(experts, tokens * TOP_K) + step - 1) // step * buffers + buffers
    place = nl.ndarray((experts, longest), dtype=nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=place, pattern=[[cores, longest]], offset=core, channel_multiplier=0)
    picks = nl.ndarray((experts, longest), dtype=nl.bfloat16, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=picks, data=place, op0=nl.equal, operand0=ranks_of(chosen, experts), engine=nisa.engine.vector
    )
    return owners_of(picks, experts, longest), picks, rounds_of(chosen, experts, step)


def shares_of(logits: Any, mask: Any, best: Any, inverse: Any) -> Any:
    """Shares [T, E] of one of the chosen experts, zero elsewhere; inverse [T, 1] is 1 / rms of each token.

    Softmax over all experts divided by the sum over the best is softmax over the best.
    """
    tokens, experts = mask.shape
    below = nl.ndarray((tokens, experts), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=below, data=logits, op0=nl.subtract, operand0=best[:, 0:1], engine=nisa.engine.vector
    )
    numerators = nl.ndarray((tokens, experts), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(dst=numerators, op=nl.exp, data=below, scale=inverse)
    kept = nl.ndarray((tokens, experts), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=kept, data1=numerators, data2=mask, op=nl.multiply)
    total = nl.ndarray((tokens, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=total, op=nl.add, data=kept, axis=1)
    share = nl.ndarray((tokens, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.reciprocal(dst=share, data=total)
    shares = nl.ndarray((tokens, experts), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=shares, data=kept, op0=nl.multiply, operand0=share, engine=nisa.engine.vector)
    return shares


def share_table(shares: Any, picks: Any, ones: Any) -> Any:
    """Shares [T, E] in the order of the list picks [E, N] one-hot, on every partition: fp32 [128, N, T].

    ones is [128, 128]. A product names a token's share of a listed expert; the sum over experts, which puts
    it on every partition, adds zeros to it.
    """
    (tokens, experts), longest = shares.shape, picks.shape[1]
    by_expert = transpose(shares, tokens, experts)
    table = nl.ndarray((P, longest, tokens), dtype=nl.float32, buffer=nl.sbuf)
    step = max(1, 512 // tokens)
    for low in range(0, longest, step):
        size = min(step, longest - low)
        named = nl.ndarray((experts, size, tokens), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(
            dst=named,
            data1=picks.ap(pattern=[[longest, experts], [1, size], [0, tokens]], offset=low),
            data2=by_expert.ap(pattern=[[tokens, experts], [0, size], [1, tokens]], offset=0),
            op=nl.multiply,
        )
        psum = nl.ndarray((P, size, tokens), dtype=nl.float32, buffer=nl.psum)
        nisa.nc_matmul(dst=psum, stationary=ones[0:experts, :], moving=named)
        nisa.tensor_copy(dst=table[:, low : low + size, :], src=psum, engine=nisa.engine.scalar)
    return table
