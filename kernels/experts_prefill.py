"""The routed experts over a prompt: gate, up, SiLU, down for tokens grouped by expert."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, share, transpose, transpose_interleaved, transpose_tokens
from kernels.expert_weights import inner_depth, request_expert, turn_active


def _gather(x: Any, row_token: Any, start: int, rows: int) -> Any:
    """Rows of x named by row_token[start:start + rows], in SBUF."""
    hidden = x.shape[1]
    index = nl.ndarray((rows, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.dma_copy(dst=index, src=row_token[start : start + rows, :])
    tile = nl.ndarray((rows, hidden), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=tile,
        src=x.ap(pattern=[[hidden, rows], [1, hidden]], offset=0, vector_offset=index, indirect_dim=0),
        dge_mode=nisa.dge_mode.swdge,
    )
    return tile


def activate(gate_up: Any, rows: int, width: int, dtype: Any) -> Any:
    """silu(gate) * up for PSUM [rows, 2 * width]."""
    gate = nl.ndarray((rows, width), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(dst=gate, op=nl.silu, data=gate_up[:, 0:width])
    inner = nl.ndarray((rows, width), dtype=dtype, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=inner, data1=gate, data2=gate_up[:, width : 2 * width], op=nl.multiply)
    return inner


@nki.jit
def experts_prefill(
    x: Any, gate_up: Any, down: Any, row_token: Any, block_expert: Any, block_size: int
) -> Any:
    """x [T, H], gate_up [E, H, 2 I], down [E, I, H] and the grouping of `group_tokens` to rows [N * B, H].

    Every block of the worst case is computed, also those no token fills. Weights come in 128-row pieces with
    a dynamic address each; tokens are gathered and transposed per block. Cores divide the blocks. Bound by
    GpSimd writing the descriptors of those pieces.
    """
    tokens, hidden = x.shape
    experts, inner, _ = down.shape
    blocks = block_expert.shape[0]
    rows = block_size
    assert rows <= P and hidden % P == 0 and 2 * inner <= BANK, "blocks of at most 128, 2 I in one PSUM bank"
    out = nl.ndarray((blocks * rows, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    owners = nl.ndarray((1, blocks), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.dma_copy(dst=owners, src=block_expert.reshape((1, blocks)))
    first, count = share(blocks)
    for block in range(first, first + count):
        owner = owners.ap(pattern=[[blocks, 1], [1, 1]], offset=block)
        turned = transpose_tokens(_gather(x, row_token, block * rows, rows), rows, hidden)
        acc = nl.ndarray((rows, 2 * inner), dtype=nl.float32, buffer=nl.psum)
        for k in range(hidden // P):
            piece = nl.ndarray((P, 2 * inner), dtype=gate_up.dtype, buffer=nl.sbuf)
            nisa.dma_copy(
                dst=piece,
                src=gate_up.ap(
                    pattern=[[2 * inner, P], [1, 2 * inner]],
                    offset=k * P * 2 * inner,
                    scalar_offset=owner,
                    indirect_dim=0,
                ),
            )
            nisa.nc_matmul(dst=acc, stationary=turned[:, k, :], moving=piece, accumulate=k > 0)
        active = activate(acc, rows, inner, x.dtype)
        sides, weights = [], []
        for start in range(0, inner, P):
            size = min(P, inner - start)
            sides.append(transpose(active[:, start : start + size], rows, size))
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
        result = nl.ndarray((rows, hidden), dtype=x.dtype, buffer=nl.sbuf)
        for column in range(0, hidden, BANK):
            width = min(BANK, hidden - column)
            part = nl.ndarray((rows, width), dtype=nl.float32, buffer=nl.psum)
            for side in range(len(sides)):
                nisa.nc_matmul(
                    dst=part,
                    stationary=sides[side],
                    moving=weights[side][:, column : column + width],
                    accumulate=side > 0,
                )
            nisa.tensor_copy(dst=result[:, column : column + width], src=part, engine=nisa.engine.scalar)
        nisa.dma_copy(dst=out[block * rows : (block + 1) * rows, :], src=result)
    return out


@nki.jit
def experts_prefill_grouped(
    x: Any,
    gate_up: Any,
    down: Any,
    row_token: Any,
    block_expert: Any,
    block_size: int,
    buffers: int = 3,
    queues: str = "both",
) -> Any:
    """`experts_prefill` with each block's weights as two large transfers, requested three blocks ahead.

    Runs of 12 and 8 KiB per partition instead of eighteen 128-row pieces, on a hardware and a software queue;
    the block's tokens are gathered as early. Transposes fill a PSUM bank before they are evicted. Bound by
    HBM bandwidth with the tensor engine close behind. It still computes every worst-case block, so at 128
    tokens, where most blocks are nearly empty, keeping the tokens resident is better.
    """
    hidden = x.shape[1]
    inner = down.shape[1]
    blocks = block_expert.shape[0]
    rows = block_size
    assert rows <= P and hidden % (2 * P) == 0 and 2 * inner <= BANK, (
        "blocks of at most 128, 2 I in a PSUM bank"
    )
    out = nl.ndarray((blocks * rows, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    owners = nl.ndarray((1, blocks), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.dma_copy(dst=owners, src=block_expert.reshape((1, blocks)))
    index = nl.ndarray((rows, blocks), dtype=nl.int32, buffer=nl.sbuf)
    nisa.dma_copy(dst=index, src=row_token.ap(pattern=[[1, rows], [rows, blocks]], offset=0))
    first, count = share(blocks)
    flight = []
    for place in range(min(buffers, count)):
        held = block_buffers(x, gate_up, down, rows)
        flight.append(held)
        _request_block(x, gate_up, down, owners, index, first + place, held, queues)
    for place in range(count):
        block = first + place
        tile, first_weight, second_weight = flight[place % buffers]
        turned = transpose_interleaved(tile, rows, hidden)
        acc = nl.ndarray((rows, 2 * inner), dtype=nl.float32, buffer=nl.psum)
        for j in range(hidden // P):
            nisa.nc_matmul(
                dst=acc, stationary=turned[:, j, :], moving=first_weight[:, j, :], accumulate=j > 0
            )
        side = turn_active(activate(acc, rows, inner, x.dtype), rows, inner, x.dtype)
        result = nl.ndarray((rows, hidden), dtype=x.dtype, buffer=nl.sbuf)
        for column in range(0, hidden, BANK):
            width = min(BANK, hidden - column)
            part = nl.ndarray((rows, width), dtype=nl.float32, buffer=nl.psum)
            for j in range(side.shape[1]):
                nisa.nc_matmul(
                    dst=part,
                    stationary=side[:, j, :],
                    moving=second_weight[:, j, column : column + width],
                    accumulate=j > 0,
                )
            engine = nisa.engine.vector if (column // BANK) % 2 == 0 else nisa.engine.scalar
            nisa.tensor_copy(dst=result[:, column : column + width], src=part, engine=engine)
        nisa.dma_copy(
            dst=out[block * rows : (block + 1) * rows, :],
            src=result,
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.scalar,
        )
        if place + buffers < count:
            held = flight[place % buffers]
            _request_block(x, gate_up, down, owners, index, block + buffers, held, queues)
    return out


def block_buffers(x: Any, gate_up: Any, down: Any, rows: int) -> Any:
    """SBUF for one block: its tokens [rows, H], gate and up [128, H / 128, 2 I], down [I / run, run, H]."""
    hidden, inner = x.shape[1], down.shape[1]
    run = inner_depth(inner)
    return (
        nl.ndarray((rows, hidden), dtype=x.dtype, buffer=nl.sbuf),
        nl.ndarray((P, hidden // P, 2 * inner), dtype=gate_up.dtype, buffer=nl.sbuf),
        nl.ndarray((inner // run, run, hidden), dtype=down.dtype, buffer=nl.sbuf),
    )


def _request_block(
    x: Any, gate_up: Any, down: Any, owners: Any, index: Any, block: int, buffers: Any, queues: str
) -> None:
    """The weights and the tokens of one block into its buffers."""
    blocks, hidden = owners.shape[1], x.shape[1]
    rows = index.shape[0]
    owner = owners.ap(pattern=[[blocks, 1], [1, 1]], offset=block)
    request_expert(gate_up, down, owner, buffers[1], buffers[2], queues)
    where = nl.ndarray((rows, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=where, src=index[:, block : block + 1], engine=nisa.engine.vector)
    nisa.dma_copy(
        dst=buffers[0],
        src=x.ap(pattern=[[hidden, rows], [1, hidden]], offset=0, vector_offset=where, indirect_dim=0),
        dge_mode=nisa.dge_mode.swdge,
    )
