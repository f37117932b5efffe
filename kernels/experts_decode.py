"""The eight chosen experts of one token: only their weights leave HBM."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, core_of, load, share, transpose, transpose_tokens
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


def inner_depth(inner: int) -> int:
    """Neighbouring rows of the down weight per partition, so that all rows fit on 128 partitions."""
    depth = (inner + P - 1) // P
    while inner % depth != 0:
        depth = depth + 1
    return depth


def load_expert(gate_up: Any, down: Any, owner: Any) -> Any:
    """One expert's weights in two transfers: gate and up together on a hardware queue, down on a software
    one.

    Partition p holds rows p * d ... p * d + d - 1, one contiguous run (12 KiB of gate and up, 8 KiB of down
    for Qwen3-30B-A3B), the sizes at which a transfer runs near the bandwidth of its queue.
    """
    hidden, width = gate_up.shape[1], gate_up.shape[2]
    inner = down.shape[1]
    depth, run = hidden // P, inner_depth(inner)
    first = nl.ndarray((P, depth, width), dtype=gate_up.dtype, buffer=nl.sbuf)
    second = nl.ndarray((inner // run, run, hidden), dtype=down.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=first,
        src=gate_up.ap(
            pattern=[[depth * width, P], [width, depth], [1, width]],
            offset=0,
            scalar_offset=owner,
            indirect_dim=0,
        ),
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.sync,
    )
    nisa.dma_copy(
        dst=second,
        src=down.ap(
            pattern=[[run * hidden, inner // run], [hidden, run], [1, hidden]],
            offset=0,
            scalar_offset=owner,
            indirect_dim=0,
        ),
        dge_mode=nisa.dge_mode.swdge,
    )
    return first, second


def _turn_active(active: Any, inner: int, dtype: Any) -> Any:
    """[1, inner] to [inner / run, run]: row i of the down weight sits on partition i // run."""
    run = inner_depth(inner)
    rows = inner // run
    psum = nl.ndarray((rows, run), dtype=dtype, buffer=nl.psum)
    for j in range(run):
        nisa.nc_transpose(
            dst=psum[:, j : j + 1],
            data=active.ap(pattern=[[inner, 1], [run, rows]], offset=j),
            engine=nisa.engine.tensor,
        )
    turned = nl.ndarray((rows, run), dtype=dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=turned, src=psum, engine=nisa.engine.vector)
    return turned


@nki.jit
def experts_decode_prefetched(x: Any, gate_up: Any, down: Any, ids: Any, affinities: Any) -> Any:
    """`experts_decode` and `aggregate` in one for one token: returns the weighted sum over experts [1, H].

    Every weight a core needs is requested before the first matmul: two large transfers per expert, hardware-
    and software-described in parallel, so the queues never wait for compute (80 KiB per partition hold four
    experts). Affinities scale the small activated row, and all experts then accumulate into the same PSUM
    banks in fp32, in the router's order within a core; the cores exchange halves of the row at the end. Bound
    by HBM bandwidth and, close behind, by the tensor engine, which streams each weight once past one token.
    It loses at several tokens, where experts repeat.
    """
    core, cores = core_of()
    hidden = x.shape[1]
    experts, inner, _ = down.shape
    chosen = ids.shape[1]
    depth, run = hidden // P, inner_depth(inner)
    assert x.shape[0] == 1 and hidden % (2 * P) == 0 and 2 * inner <= BANK, "one token, 2 I in one PSUM bank"
    assert hidden <= 4 * BANK, "the sum over experts stays in four PSUM banks"
    out = nl.ndarray((1, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    owners = nl.ndarray((1, chosen), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.dma_copy(dst=owners, src=ids, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.sync)
    first, count = share(chosen)
    weights = []
    for k in range(first, first + count):
        weights.append(load_expert(gate_up, down, owners.ap(pattern=[[chosen, 1], [1, 1]], offset=k)))
    column = nl.ndarray((P, depth), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=column, src=x.reshape((P, depth)), dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar
    )
    scales = nl.ndarray((1, chosen), dtype=nl.float32, buffer=nl.sbuf)
    nisa.dma_copy(dst=scales, src=affinities, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.scalar)
    width = min(BANK, hidden)
    sums = []
    for _ in range(0, hidden, width):
        sums.append(nl.ndarray((1, width), dtype=nl.float32, buffer=nl.psum))
    for k in range(count):
        first_weight, second_weight = weights[k]
        acc = nl.ndarray((1, 2 * inner), dtype=nl.float32, buffer=nl.psum)
        for j in range(depth):
            nisa.nc_matmul(
                dst=acc, stationary=column[:, j : j + 1], moving=first_weight[:, j, :], accumulate=j > 0
            )
        gate = nl.ndarray((1, inner), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(dst=gate, op=nl.silu, data=acc[:, 0:inner])
        active = nl.ndarray((1, inner), dtype=x.dtype, buffer=nl.sbuf)
        nisa.scalar_tensor_tensor(
            dst=active,
            data=gate,
            op0=nl.multiply,
            operand0=scales[:, first + k : first + k + 1],
            op1=nl.multiply,
            operand1=acc[:, inner : 2 * inner],
        )
        turned = _turn_active(active, inner, x.dtype)
        for j in range(run):
            for n in range(len(sums)):
                nisa.nc_matmul(
                    dst=sums[n],
                    stationary=turned[:, j : j + 1],
                    moving=second_weight[:, j, n * width : (n + 1) * width],
                    accumulate=k + j > 0,
                )
    store_half(sums, out, hidden, core, cores, x.dtype)
    return out


def store_half(sums: Any, out: Any, hidden: int, core: int, cores: int, dtype: Any) -> None:
    """PSUM rows [1, hidden] summed over the cores into out; with two cores each adds and writes one half."""
    width = sums[0].shape[1]
    total = nl.ndarray((1, hidden), dtype=nl.float32, buffer=nl.sbuf)
    for n in range(len(sums)):
        engine = nisa.engine.vector if n % 2 == 0 else nisa.engine.scalar
        nisa.tensor_copy(dst=total[:, n * width : (n + 1) * width], src=sums[n], engine=engine)
    if cores == 1:
        whole = nl.ndarray((1, hidden), dtype=dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=whole, src=total, engine=nisa.engine.vector)
        nisa.dma_copy(dst=out, src=whole)
    else:
        half = hidden // 2
        mine, theirs = core * half, (1 - core) * half
        other = nl.ndarray((1, half), dtype=nl.float32, buffer=nl.sbuf)
        nisa.sendrecv(
            src=total[:, theirs : theirs + half],
            dst=other,
            send_to_rank=1 - core,
            recv_from_rank=1 - core,
            pipe_id=0,
        )
        result = nl.ndarray((1, half), dtype=dtype, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=result, data1=total[:, mine : mine + half], data2=other, op=nl.add)
        nisa.dma_copy(
            dst=out[:, mine : mine + half], src=result, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.sync
        )
