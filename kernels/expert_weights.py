"""One expert's weights in few large transfers, and the layout its activated row needs for them."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, contract


def inner_depth(inner: int) -> int:
    """Neighbouring rows of the down weight per partition, so that all rows fit on 128 partitions."""
    depth = (inner + P - 1) // P
    while inner % depth != 0:
        depth = depth + 1
    return depth


def request_expert(gate_up: Any, down: Any, owner: Any, first: Any, second: Any) -> None:
    """Weights of expert `owner` ([1, 1] in SBUF) into first [128, H / 128, 2 I] and second [I / run, run, H].

    Two transfers with a dynamic address: gate and up together, described by hardware, and down by software.
    Partition p holds neighbouring rows, one contiguous run (12 KiB of gate and up, 8 KiB of down for
    Qwen3-30B-A3B), the sizes at which a transfer runs near the bandwidth of its queue.
    """
    hidden, width = gate_up.shape[1], gate_up.shape[2]
    inner = down.shape[1]
    depth, run = hidden // P, inner_depth(inner)
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


def turn_active(active: Any, rows: int, inner: int, dtype: Any) -> Any:
    """[rows, inner] to [inner / run, run, rows], index i on partition i // run as the down weight has it."""
    run = inner_depth(inner)
    size = inner // run
    psum = nl.ndarray((size, run, rows), dtype=dtype, buffer=nl.psum)
    for j in range(run):
        nisa.nc_transpose(
            dst=psum[:, j, :],
            data=active.ap(pattern=[[inner, rows], [run, size]], offset=j),
            engine=nisa.engine.tensor,
        )
    turned = nl.ndarray((size, run, rows), dtype=dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=turned, src=psum, engine=nisa.engine.vector)
    return turned


def scaled_active(acc: Any, scale: Any, rows: int, inner: int, dtype: Any) -> Any:
    """silu(gate) * up * scale for PSUM [rows, 2 * inner] and scale [rows, 1]."""
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
    return active


def add_down(sums: Any, side: Any, weight: Any, first: bool) -> None:
    """Add side [I / run, run, rows] times the down weight to the PSUM banks of the sum; `first` starts it."""
    width = sums[0].shape[1]
    for j in range(side.shape[1]):
        for n in range(len(sums)):
            nisa.nc_matmul(
                dst=sums[n],
                stationary=side[:, j, :],
                moving=weight[:, j, n * width : (n + 1) * width],
                accumulate=j > 0 or not first,
            )


def sum_chosen(
    column: Any,
    gate_up: Any,
    down: Any,
    owners: Any,
    scales: Any,
    first: int,
    count: int,
    out: Any,
    core: int,
    cores: int,
) -> None:
    """The weighted sum of chosen experts first:first+count of one token, summed over cores, to out [1, H].

    column [128, H / 128, 1] is the token, interleaved; owners and scales [1, K] are in SBUF. All weights are
    requested before the first matmul; an expert's gate and up run while the one before it is activated.
    """
    hidden, inner, chosen = gate_up.shape[1], down.shape[1], owners.shape[1]
    depth, run = hidden // P, inner_depth(inner)
    weights = []
    for k in range(first, first + count):
        one = nl.ndarray((P, depth, 2 * inner), dtype=gate_up.dtype, buffer=nl.sbuf)
        two = nl.ndarray((inner // run, run, hidden), dtype=down.dtype, buffer=nl.sbuf)
        request_expert(gate_up, down, owners.ap(pattern=[[chosen, 1], [1, 1]], offset=k), one, two)
        weights.append((one, two))
    width = min(BANK, hidden)
    sums = []
    for _ in range(0, hidden, width):
        sums.append(nl.ndarray((1, width), dtype=nl.float32, buffer=nl.psum))
    acc = contract(column, weights[0][0], 1, 0, 2 * inner)
    for k in range(count):
        active = scaled_active(acc, scales[:, first + k : first + k + 1], 1, inner, column.dtype)
        if k + 1 < count:
            acc = contract(column, weights[k + 1][0], 1, 0, 2 * inner)
        side = turn_active(active, 1, inner, column.dtype)
        add_down(sums, side, weights[k][1], k == 0)
    store_sum(sums, out, 0, 1, core, cores)


def store_sum(sums: Any, out: Any, start: int, rows: int, core: int, cores: int) -> None:
    """The sum over cores of PSUM banks [rows, H] to rows start:start+rows of out.

    With two cores each sends the half of the columns it does not own, adds and writes the other.
    """
    hidden = out.shape[1]
    width = sums[0].shape[1]
    total = nl.ndarray((rows, hidden), dtype=nl.float32, buffer=nl.sbuf)
    for n in range(len(sums)):
        engine = nisa.engine.vector if n % 2 == 0 else nisa.engine.scalar
        nisa.tensor_copy(dst=total[:, n * width : (n + 1) * width], src=sums[n], engine=engine)
    size = hidden // cores
    mine = core * size
    result = nl.ndarray((rows, size), dtype=out.dtype, buffer=nl.sbuf)
    if cores == 1:
        nisa.tensor_copy(dst=result, src=total, engine=nisa.engine.vector)
    else:
        theirs = (1 - core) * size
        other = nl.ndarray((rows, size), dtype=nl.float32, buffer=nl.sbuf)
        nisa.sendrecv(
            src=total[:, theirs : theirs + size],
            dst=other,
            send_to_rank=1 - core,
            recv_from_rank=1 - core,
            pipe_id=0,
        )
        nisa.tensor_tensor(dst=result, data1=total[:, mine : mine + size], data2=other, op=nl.add)
    nisa.dma_copy(
        dst=out[start : start + rows, mine : mine + size],
        src=result,
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.sync,
    )
