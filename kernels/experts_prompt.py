"""Routed experts over a prompt, from the router's choice to the weighted sum, in one kernel."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, core_of, load, share
from kernels.experts_decode import inner_depth
from kernels.group_tokens import column_index
from kernels.norm_router import transpose_interleaved
from kernels.router import TOP_K

BUFFERS = 3  # experts in flight: 3 x 20 KiB per partition for Qwen3-30B-A3B


@nki.jit
def experts_prompt(x: Any, gate_up: Any, down: Any, ids: Any, affinities: Any) -> Any:
    """x [T, H], gate_up [E, H, 2 I], down [E, I, H], ids and affinities [T, 8] to the sum over experts [T, H].

    Up to 128 tokens are one stationary tile, so a block of all tokens costs an expert what a block of its own
    tokens would: no grouping, no gather, no transpose per block, and addresses known at compile time. Affinities
    (zero where the router did not choose the expert) scale the activated rows, so the sum over a core's experts
    accumulates in four PSUM banks and no expert's answer is ever written. Cores divide the experts and exchange
    halves of the sum at the end. Each expert is two transfers with 12 and 8 KiB runs, three experts in flight.
    Bound by HBM bandwidth, the tensor engine close behind. Every further 128 tokens stream the experts' weights
    through the tensor engine again, so it loses to grouping where most experts have few of many tokens.
    """
    tokens, hidden = x.shape
    experts, inner, _ = down.shape
    assert hidden % (2 * P) == 0 and hidden <= 4 * BANK, "the sum over experts stays in four PSUM banks"
    assert 2 * inner <= BANK and experts <= 512, "2 I in one PSUM bank, at most 512 experts"
    out = nl.ndarray((tokens, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    first, count = share(experts)
    buffers = _buffers(gate_up, down)
    index = column_index(P, experts)
    for start in range(0, tokens, P):
        rows = min(P, tokens - start)
        tile = nl.ndarray((rows, hidden), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(
            dst=tile, src=x[start : start + rows, :], dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar
        )
        turned = transpose_interleaved(tile, rows, hidden)
        scales = _affinity_table(ids, affinities, start, rows, experts, index)
        sums = _sum_experts(turned, scales, gate_up, down, buffers, rows, first, count)
        _store(sums, out, start, rows)
    return out


def _buffers(gate_up: Any, down: Any) -> Any:
    """BUFFERS pairs of SBUF tiles for one expert's weights."""
    hidden, width = gate_up.shape[1], gate_up.shape[2]
    inner = down.shape[1]
    run = inner_depth(inner)
    pairs = []
    for _ in range(BUFFERS):
        first = nl.ndarray((P, hidden // P, width), dtype=gate_up.dtype, buffer=nl.sbuf)
        second = nl.ndarray((inner // run, run, hidden), dtype=down.dtype, buffer=nl.sbuf)
        pairs.append((first, second))
    return pairs


def _request(gate_up: Any, down: Any, expert: int, pair: Any) -> None:
    """One expert's weights into a pair of buffers: a hardware and a software queue, one run per partition."""
    hidden, width = gate_up.shape[1], gate_up.shape[2]
    experts, inner, _ = down.shape
    run = inner_depth(inner)
    nisa.dma_copy(
        dst=pair[0],
        src=gate_up.reshape((experts, P, hidden // P, width))[expert, :, :, :],
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.sync,
    )
    nisa.dma_copy(
        dst=pair[1],
        src=down.reshape((experts, inner // run, run, hidden))[expert, :, :, :],
        dge_mode=nisa.dge_mode.swdge,
    )


def _affinity_table(ids: Any, affinities: Any, start: int, rows: int, experts: int, index: Any) -> Any:
    """[rows, E] fp32: a token's affinity to each expert, zero where it was not chosen."""
    chosen = nl.ndarray((rows, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(
        dst=chosen, src=load(ids[start : start + rows, :], nl.uint32), engine=nisa.engine.vector
    )
    weight = load(affinities[start : start + rows, :], nl.float32)
    parts = nl.ndarray((rows, TOP_K, experts), dtype=nl.float32, buffer=nl.sbuf)
    for k in range(TOP_K):
        nisa.tensor_scalar(
            dst=parts[:, k, :],
            data=index[0:rows, :],
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
    turned: Any, scales: Any, gate_up: Any, down: Any, buffers: Any, rows: int, first: int, count: int
) -> Any:
    """PSUM banks [rows, <= 512] holding the sum over experts first:first+count of affinity times answer."""
    hidden = gate_up.shape[1]
    inner = down.shape[1]
    width = min(BANK, hidden)
    sums = []
    for _ in range(0, hidden, width):
        sums.append(nl.ndarray((rows, width), dtype=nl.float32, buffer=nl.psum))
    for ahead in range(min(BUFFERS, count)):
        _request(gate_up, down, first + ahead, buffers[ahead])
    for place in range(count):
        pair = buffers[place % BUFFERS]
        acc = nl.ndarray((rows, 2 * inner), dtype=nl.float32, buffer=nl.psum)
        for j in range(hidden // P):
            nisa.nc_matmul(dst=acc, stationary=turned[:, j, :], moving=pair[0][:, j, :], accumulate=j > 0)
        scale = scales[:, first + place : first + place + 1]
        side = _activate(acc, scale, rows, inner, turned.dtype)
        run = side.shape[1]
        for j in range(run):
            for n in range(len(sums)):
                nisa.nc_matmul(
                    dst=sums[n],
                    stationary=side[:, j, :],
                    moving=pair[1][:, j, n * width : (n + 1) * width],
                    accumulate=place + j > 0,
                )
        if place + BUFFERS < count:
            _request(gate_up, down, first + place + BUFFERS, pair)
    return sums


def _activate(acc: Any, scale: Any, rows: int, inner: int, dtype: Any) -> Any:
    """silu(gate) * up * affinity of PSUM [rows, 2 * inner], transposed to [inner / run, run, rows]."""
    gate = nl.ndarray((rows, inner), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(dst=gate, op=nl.silu, data=acc[:, 0:inner])
    active = nl.ndarray((rows, inner), dtype=dtype, buffer=nl.sbuf)
    nisa.scalar_tensor_tensor(
        dst=active,
        data=gate,
        op0=nl.multiply,
        operand0=scale,
        op1=nl.multiply,
        operand1=acc[:, inner : 2 * inner],
    )
    run = inner_depth(inner)
    psum = nl.ndarray((inner // run, run, rows), dtype=dtype, buffer=nl.psum)
    for j in range(run):
        nisa.nc_transpose(
            dst=psum[:, j, :],
            data=active.ap(pattern=[[inner, rows], [run, inner // run]], offset=j),
            engine=nisa.engine.tensor,
        )
    side = nl.ndarray((inner // run, run, rows), dtype=dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=side, src=psum, engine=nisa.engine.vector)
    return side


def _store(sums: Any, out: Any, start: int, rows: int) -> None:
    """The sum over cores of PSUM rows to out; with two cores each adds and writes one half of the columns."""
    core, cores = core_of()
    hidden = out.shape[1]
    width = sums[0].shape[1]
    total = nl.ndarray((rows, hidden), dtype=nl.float32, buffer=nl.sbuf)
    for n in range(len(sums)):
        engine = nisa.engine.vector if n % 2 == 0 else nisa.engine.scalar
        nisa.tensor_copy(dst=total[:, n * width : (n + 1) * width], src=sums[n], engine=engine)
    mine, size = 0, hidden
    if cores == 2:
        size = hidden // 2
        mine = core * size
        theirs = (1 - core) * size
        other = nl.ndarray((rows, size), dtype=nl.float32, buffer=nl.sbuf)
        nisa.sendrecv(
            src=total[:, theirs : theirs + size],
            dst=other,
            send_to_rank=1 - core,
            recv_from_rank=1 - core,
            pipe_id=0,
        )
    result = nl.ndarray((rows, size), dtype=out.dtype, buffer=nl.sbuf)
    if cores == 2:
        nisa.tensor_tensor(dst=result, data1=total[:, mine : mine + size], data2=other, op=nl.add)
    else:
        nisa.tensor_copy(dst=result, src=total, engine=nisa.engine.vector)
    nisa.dma_copy(
        dst=out[start : start + rows, mine : mine + size],
        src=result,
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.sync,
    )
