"""Routed experts over a prompt, from the router's choice to the weighted sum, in one kernel."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, contract, copy_weights, core_of, load, share, transpose_interleaved
from kernels.expert_weights import add_down, inner_depth, scaled_active, store_sum, turn_active
from kernels.group_tokens import column_index
from kernels.router import TOP_K


@nki.jit
def experts_prompt(
    x: Any, gate_up: Any, down: Any, ids: Any, affinities: Any, buffers: int = 3, queues: str = "both"
) -> Any:
    """x [T, H], gate_up [E, H, 2 I], down [E, I, H], ids and affinities [T, 8] to the sum over experts [T,
    H].

    Up to 128 tokens are one stationary tile, so a block of all tokens costs an expert what a block of its own
    tokens would: no grouping, no gather, no transpose per block, and addresses known at compile time.
    Affinities (zero where the router did not choose the expert) scale the activated rows, so the sum over a
    core's experts accumulates in four PSUM banks and no expert's answer is ever written. Cores divide the
    experts and exchange halves of the sum at the end. Each expert is two transfers with 12 and 8 KiB runs,
    three experts in flight. Bound by HBM bandwidth, the tensor engine close behind. More tokens would stream
    every expert's weights through the tensor engine once per 128 of them; grouping wins there.
    """
    tokens, hidden = x.shape
    experts, inner, _ = down.shape
    assert tokens <= P, "at most 128 tokens stay resident"
    assert hidden % (2 * P) == 0 and hidden <= 4 * BANK, "the sum over experts stays in four PSUM banks"
    assert 2 * inner <= BANK and experts <= 512, "2 I in one PSUM bank, at most 512 experts"
    out = nl.ndarray((tokens, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    core, cores = core_of()
    first, count = share(experts)
    pairs = expert_buffers(gate_up, down, buffers)
    tile = nl.ndarray((tokens, hidden), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar)
    turned = transpose_interleaved(tile, tokens, hidden)
    scales = affinity_table(ids, affinities, tokens, experts)
    sums = _sum_experts(turned, scales, gate_up, down, pairs, tokens, first, count, queues)
    store_sum(sums, out, 0, tokens, core, cores)
    return out


def expert_buffers(gate_up: Any, down: Any, count: int) -> Any:
    """Pairs of SBUF tiles for one expert's weights each: 20 KiB per partition for Qwen3-30B-A3B."""
    hidden, width = gate_up.shape[1], gate_up.shape[2]
    inner = down.shape[1]
    run = inner_depth(inner)
    pairs = []
    for _ in range(count):
        first = nl.ndarray((P, hidden // P, width), dtype=gate_up.dtype, buffer=nl.sbuf)
        second = nl.ndarray((inner // run, run, hidden), dtype=down.dtype, buffer=nl.sbuf)
        pairs.append((first, second))
    return pairs


def _request(gate_up: Any, down: Any, expert: int, pair: Any, queues: str) -> None:
    """One expert's weights into a pair of buffers: two transfers, one run per partition."""
    hidden, width = gate_up.shape[1], gate_up.shape[2]
    experts, inner, _ = down.shape
    run = inner_depth(inner)
    copy_weights(queues, 0, pair[0], gate_up.reshape((experts, P, hidden // P, width))[expert, :, :, :])
    copy_weights(queues, 1, pair[1], down.reshape((experts, inner // run, run, hidden))[expert, :, :, :])


def affinity_table(ids: Any, affinities: Any, rows: int, experts: int, least: float = 0.0) -> Any:
    """[rows, E] fp32: a token's affinity to each expert, zero where it was not chosen.

    No chosen expert's is below `least`: more than zero tells one chosen from one that was not.
    """
    chosen = nl.ndarray((rows, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=chosen, src=load(ids, nl.uint32), engine=nisa.engine.vector)
    weight = load(affinities, nl.float32)
    if least > 0.0:
        raised = nl.ndarray((rows, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_scalar(dst=raised, data=weight, op0=nl.maximum, operand0=least, engine=nisa.engine.vector)
        weight = raised
    index = column_index(rows, experts)
    parts = nl.ndarray((rows, TOP_K, experts), dtype=nl.float32, buffer=nl.sbuf)
    for k in range(TOP_K):
        nisa.tensor_scalar(
            dst=parts[:, k, :],
            data=index,
            op0=nl.equal,
            operand0=chosen[:, k : k + 1],
            op1=nl.multiply,
            operand1=weight[:, k : k + 1],
            engine=nisa.engine.vector,
        )
    table = nl.ndarray((rows, experts), dtype=nl.float32, buffer=nl.sbuf)
    by_expert = parts.ap(pattern=[[TOP_K * experts, rows], [1, experts], [experts, TOP_K]], offset=0)
    nisa.tensor_reduce(dst=table, op=nl.add, data=by_expert, axis=2)
    return table


def _sum_experts(
    turned: Any,
    scales: Any,
    gate_up: Any,
    down: Any,
    pairs: Any,
    rows: int,
    first: int,
    count: int,
    queues: str,
) -> Any:
    """PSUM banks [rows, <= 512] holding the sum over experts first:first+count of affinity times answer."""
    hidden, inner = gate_up.shape[1], down.shape[1]
    width = min(BANK, hidden)
    sums = []
    for _ in range(0, hidden, width):
        sums.append(nl.ndarray((rows, width), dtype=nl.float32, buffer=nl.psum))
    for ahead in range(min(len(pairs), count)):
        _request(gate_up, down, first + ahead, pairs[ahead], queues)
    acc = contract(turned, pairs[0][0], rows, 0, 2 * inner)
    for place in range(count):
        pair = pairs[place % len(pairs)]
        scale = scales[:, first + place : first + place + 1]
        active = scaled_active(acc, scale, rows, inner, turned.dtype)
        if place + 1 < count:
            acc = contract(turned, pairs[(place + 1) % len(pairs)][0], rows, 0, 2 * inner)
        add_down(sums, turn_active(active, rows, inner, turned.dtype), pair[1], place == 0)
        if place + len(pairs) < count:
            _request(gate_up, down, first + place + len(pairs), pair, queues)
    return sums
