"""One expert's weights in few large transfers, and the layout its activated row needs for them."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, contract, copy_weights


def inner_depth(inner: int) -> int:
    """Neighbouring rows of the down weight per partition, so that all rows fit on 128 partitions."""
    depth = (inner + P - 1) // P
    while inner % depth != 0:
        depth = depth + 1
    return depth


def request_gate_up(
    gate_up: Any,
    owner: Any,
    tile: Any,
    pieces: int = 2,
    queues: str = "both",
    oob: Any = nisa.oob_mode.error,
) -> None:
    """Gate and up of expert `owner` ([1, 1] in SBUF) into tile [128, H / 128, 2 I] in `pieces` transfers.

    Partition p holds neighbouring rows, so a descriptor of two pieces moves one run of 6 KiB for
    Qwen3-30B-A3B. `queues` are those of `copy_weights`.
    """
    depth, width = tile.shape[1], tile.shape[2]
    size = max(1, depth // pieces)
    for low in range(0, depth, size):
        source = gate_up.ap(
            pattern=[[depth * width, P], [width, min(size, depth - low)], [1, width]],
            offset=low * width,
            scalar_offset=owner,
            indirect_dim=0,
        )
        copy_weights(queues, low // size, tile[:, low : low + size, :], source, oob)


def request_down(
    down: Any, owner: Any, tile: Any, queues: str = "both", oob: Any = nisa.oob_mode.error
) -> None:
    """The down weight of expert `owner` into tile [I / run, run, H], half of the columns on either queue."""
    size, run, hidden = tile.shape
    half = hidden // 2
    for low in (0, half):
        source = down.ap(
            pattern=[[run * hidden, size], [hidden, run], [1, half]],
            offset=low,
            scalar_offset=owner,
            indirect_dim=0,
        )
        copy_weights(queues, low // half, tile[:, :, low : low + half], source, oob)


def copy_on(hardware: bool, target: Any, source: Any) -> None:
    """A transfer described by hardware (triggered by the sync engine) or by GpSimd's software."""
    if hardware:
        nisa.dma_copy(dst=target, src=source, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.sync)
    else:
        nisa.dma_copy(dst=target, src=source, dge_mode=nisa.dge_mode.swdge)


def request_expert(
    gate_up: Any,
    down: Any,
    owner: Any,
    first: Any,
    second: Any,
    queues: str = "both",
    oob: Any = nisa.oob_mode.error,
) -> None:
    """All weights of expert `owner`, gate and up before down; `oob` as `copy_weights` takes it."""
    request_gate_up(gate_up, owner, first, queues=queues, oob=oob)
    request_down(down, owner, second, queues, oob)


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
    pieces: int = 2,
    queues: str = "both",
) -> None:
    """The weighted sum of chosen experts first:first+count of one token, summed over cores, to out [1, H].

    column [128, H / 128, 1] is the token, interleaved; owners and scales [1, K] are in SBUF. All weights are
    requested before the first matmul, in the order they are used; an expert's gate and up run while the one
    before it is activated.
    """
    hidden, inner, chosen = gate_up.shape[1], down.shape[1], owners.shape[1]
    depth, run = hidden // P, inner_depth(inner)
    tiles, downs = [], []
    for _ in range(count):
        tiles.append(nl.ndarray((P, depth, 2 * inner), dtype=gate_up.dtype, buffer=nl.sbuf))
        downs.append(nl.ndarray((inner // run, run, hidden), dtype=down.dtype, buffer=nl.sbuf))
    for k in range(count + 1):
        if k < count:
            owner = owners.ap(pattern=[[chosen, 1], [1, 1]], offset=first + k)
            request_gate_up(gate_up, owner, tiles[k], pieces, queues)
        if k > 0:
            owner = owners.ap(pattern=[[chosen, 1], [1, 1]], offset=first + k - 1)
            request_down(down, owner, downs[k - 1], queues)
    width = min(BANK, hidden)
    sums = []
    for _ in range(0, hidden, width):
        sums.append(nl.ndarray((1, width), dtype=nl.float32, buffer=nl.psum))
    acc = contract(column, tiles[0], 1, 0, 2 * inner)
    for k in range(count):
        active = scaled_active(acc, scales[:, first + k : first + k + 1], 1, inner, column.dtype)
        if k + 1 < count:
            acc = contract(column, tiles[k + 1], 1, 0, 2 * inner)
        side = turn_active(active, 1, inner, column.dtype)
        add_down(sums, side, downs[k], k == 0)
    store_sum(sums, out, 0, 1, core, cores)


def store_sum(sums: Any, out: Any, start: int, rows: int, core: int, cores: int) -> None:
    """The sum over cores of PSUM banks [rows, H] to rows start:start+rows of out.

    With two cores each sends the half of the columns it does not own, adds and writes the other, which it
    reads where it was summed.
    """
    width = sums[0].shape[1]
    banks = len(sums) // cores
    if cores == 2 and len(sums) == 1:
        banks = 1
        width = width // 2
    mine = _halves(sums, core, banks, width)
    result = nl.ndarray((rows, banks * width), dtype=out.dtype, buffer=nl.sbuf)
    if cores == 1:
        for n in range(banks):
            _evict(result[:, n * width : (n + 1) * width], mine[n], n)
    else:
        theirs = _halves(sums, 1 - core, banks, width)
        sent = nl.ndarray((rows, banks * width), dtype=nl.float32, buffer=nl.sbuf)
        other = nl.ndarray((rows, banks * width), dtype=nl.float32, buffer=nl.sbuf)
        for n in range(banks):
            _evict(sent[:, n * width : (n + 1) * width], theirs[n], n)
        nisa.sendrecv(src=sent, dst=other, send_to_rank=1 - core, recv_from_rank=1 - core, pipe_id=0)
        for n in range(banks):
            part = slice(n * width, (n + 1) * width)
            nisa.tensor_tensor(dst=result[:, part], data1=mine[n], data2=other[:, part], op=nl.add)
    column = core * banks * width
    nisa.dma_copy(
        dst=out[start : start + rows, column : column + banks * width],
        src=result,
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.sync,
    )


def _halves(sums: Any, core: int, banks: int, width: int) -> Any:
    """The PSUM pieces [rows, width] of the columns a core owns."""
    pieces = []
    for n in range(banks):
        column = (core * banks + n) * width
        bank = column // sums[0].shape[1]
        low = column - bank * sums[0].shape[1]
        pieces.append(sums[bank][:, low : low + width])
    return pieces


def _evict(target: Any, bank: Any, turn: int) -> None:
    """PSUM to SBUF, the vector and the scalar engine taking turns."""
    engine = nisa.engine.vector if turn % 2 == 0 else nisa.engine.scalar
    nisa.tensor_copy(dst=target, src=bank, engine=engine)
