"""Grouping tokens by expert on the device: which token each row of an expert's block holds."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import P, core_of, load
from kernels.router import TOP_K


def column_index(partitions: int, columns: int) -> Any:
    """0, 1, 2, ... along the free dimension on every partition, in fp32."""
    whole = nl.ndarray((partitions, columns), dtype=nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=whole, pattern=[[1, columns]], offset=0, channel_multiplier=0)
    index = nl.ndarray((partitions, columns), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=index, src=whole, engine=nisa.engine.vector)
    return index


def _row_index(rows: int, offset: int, step: int) -> Any:
    """offset, offset + step, ... down the partitions [rows, 1], int32."""
    index = nl.ndarray((rows, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.iota(dst=index, pattern=[[0, 1]], offset=offset, channel_multiplier=step)
    return index


def triangle() -> Any:
    """[128, 128] bf16, one where row < column: as a stationary tile it sums the rows before each row."""
    ones = nl.ndarray((P, P), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=ones, value=1.0)
    above = nl.ndarray((P, P), dtype=nl.float32, buffer=nl.sbuf)
    nisa.affine_select(
        dst=above,
        pattern=[[1, P]],
        offset=0,
        channel_multiplier=-1,
        on_true_tile=ones,
        on_false_value=0.0,
        cmp_op=nl.greater,
    )
    narrow = nl.ndarray((P, P), dtype=nl.bfloat16, buffer=nl.sbuf)
    nisa.tensor_copy(dst=narrow, src=above, engine=nisa.engine.vector)
    return narrow


def _one_hot(ids: Any, start: int, rows: int, experts: int, index: Any) -> Any:
    """Choices [rows, 8, E] as 0/1 fp32 and membership [rows, E] bf16 (a token picks an expert once)."""
    chosen = nl.ndarray((rows, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=chosen, src=load(ids[start : start + rows, :], nl.uint32), engine=nisa.engine.vector)
    hot = nl.ndarray((rows, TOP_K, experts), dtype=nl.float32, buffer=nl.sbuf)
    for k in range(TOP_K):
        nisa.tensor_scalar(
            dst=hot[:, k, :],
            data=index[0:rows, :],
            op0=nl.equal,
            operand0=chosen[:, k : k + 1],
            engine=nisa.engine.vector,
        )
    member = nl.ndarray((rows, experts), dtype=nl.bfloat16, buffer=nl.sbuf)
    by_expert = hot.ap(pattern=[[TOP_K * experts, rows], [1, experts], [experts, TOP_K]], offset=0)
    nisa.tensor_reduce(dst=member, op=nl.add, data=by_expert, axis=2)
    return hot, member


def _block_ends(members: Any, experts: int, block: int) -> Any:
    """Padded rows per expert and their running total [128, E] fp32, the same on every partition."""
    ones = nl.ndarray((P, P), dtype=nl.bfloat16, buffer=nl.sbuf)
    nisa.memset(dst=ones, value=1.0)
    counts = nl.ndarray((P, experts), dtype=nl.float32, buffer=nl.psum)
    for tile in range(len(members)):
        rows = members[tile].shape[0]
        nisa.nc_matmul(dst=counts, stationary=ones[0:rows, :], moving=members[tile], accumulate=tile > 0)
    shift = block.bit_length() - 1
    raised = nl.ndarray((P, experts), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=raised, data=counts, op0=nl.add, operand0=float(block - 1), engine=nisa.engine.vector
    )
    blocks = nl.ndarray((P, experts), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=blocks, data=raised, op0=nl.right_shift, operand0=shift, engine=nisa.engine.vector)
    padded = nl.ndarray((P, experts), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=padded, data=blocks, op0=nl.multiply, operand0=float(block), engine=nisa.engine.vector
    )
    unit = nl.ndarray((P, experts), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=unit, value=1.0)
    ends = nl.ndarray((P, experts), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor_scan(dst=ends, data0=unit, data1=padded, initial=0.0, op0=nl.multiply, op1=nl.add)
    return padded, ends, ones


def _store_blocks(ends: Any, experts: int, block: int, block_expert: Any, num_blocks: Any) -> None:
    """Which expert each block belongs to (an expert whose rows end after the block starts), and how many."""
    blocks = block_expert.shape[0]
    for start in range(0, blocks, P):
        rows = min(P, blocks - start)
        begin = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=begin, src=_row_index(rows, start * block, block), engine=nisa.engine.vector)
        passed = nl.ndarray((rows, experts), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_scalar(
            dst=passed, data=ends[0:rows, :], op0=nl.less_equal, operand0=begin, engine=nisa.engine.vector
        )
        owner = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_reduce(dst=owner, op=nl.add, data=passed, axis=1)
        expert = nl.ndarray((rows, 1), dtype=nl.uint32, buffer=nl.sbuf)
        nisa.tensor_scalar(
            dst=expert, data=owner, op0=nl.minimum, operand0=float(experts - 1), engine=nisa.engine.vector
        )
        nisa.dma_copy(dst=block_expert[start : start + rows, :], src=expert)
    used = nl.ndarray((1, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=used,
        data=ends[0:1, experts - 1 : experts],
        op0=nl.multiply,
        operand0=1.0 / block,
        engine=nisa.engine.vector,
    )
    nisa.dma_copy(dst=num_blocks, src=used)


@nki.jit
def group_tokens(ids: Any, num_experts: int, block_size: int) -> Any:
    """Expert ids [T, 8] to row_token [N * B, 1], slot [T, 8], block_expert [N, 1], num_blocks [1, 1].

    Rows are sorted by expert, each expert padded to whole blocks of B (a power of two). `row_token` is the
    token of a row (0 on padding), `slot` the row of a (token, choice), `block_expert` the expert of a block.
    A counting sort without a loop over tokens: one-hot choices, a running count by a triangular matmul, a
    scan over experts, then a scatter of token numbers. One core does it; bound by GpSimd's descriptors for
    the scatter.
    """
    core, cores = core_of()
    tokens = ids.shape[0]
    experts, block = num_experts, block_size
    assert experts <= 512 and block & (block - 1) == 0, "at most 512 experts, a block of a power of two"
    blocks = (tokens * TOP_K + min(experts, tokens * TOP_K) * (block - 1)) // block
    row_token = nl.ndarray((blocks * block, 1), dtype=nl.int32, buffer=nl.shared_hbm)
    slot = nl.ndarray((tokens, TOP_K), dtype=nl.int32, buffer=nl.shared_hbm)
    block_expert = nl.ndarray((blocks, 1), dtype=nl.uint32, buffer=nl.shared_hbm)
    num_blocks = nl.ndarray((1, 1), dtype=nl.int32, buffer=nl.shared_hbm)
    if core == 0:
        empty = nl.ndarray((block, blocks), dtype=nl.int32, buffer=nl.sbuf)
        nisa.memset(dst=empty, value=0)
        nisa.dma_copy(dst=row_token.reshape((block, blocks)), src=empty)
        index = column_index(P, experts)
        hots = []
        members = []
        for start in range(0, tokens, P):
            hot, member = _one_hot(ids, start, min(P, tokens - start), experts, index)
            hots.append(hot)
            members.append(member)
        padded, ends, ones = _block_ends(members, experts, block)
        starts = nl.ndarray((P, experts), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=starts, data1=ends, data2=padded, op=nl.subtract)
        above = triangle()
        for tile in range(len(members)):
            rows = members[tile].shape[0]
            before = nl.ndarray((rows, experts), dtype=nl.float32, buffer=nl.psum)
            for earlier in range(tile):
                nisa.nc_matmul(
                    dst=before, stationary=ones[:, 0:rows], moving=members[earlier], accumulate=earlier > 0
                )
            nisa.nc_matmul(
                dst=before, stationary=above[0:rows, 0:rows], moving=members[tile], accumulate=tile > 0
            )
            base = nl.ndarray((rows, experts), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_tensor(dst=base, data1=before, data2=starts[0:rows, :], op=nl.add)
            spread = base.ap(pattern=[[experts, rows], [0, TOP_K], [1, experts]], offset=0)
            picked = nl.ndarray((rows, TOP_K, experts), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_tensor(dst=picked, data1=hots[tile], data2=spread, op=nl.multiply)
            row = nl.ndarray((rows, TOP_K), dtype=nl.int32, buffer=nl.sbuf)
            nisa.tensor_reduce(dst=row, op=nl.add, data=picked, axis=2)
            nisa.dma_copy(dst=slot[tile * P : tile * P + rows, :], src=row)
            token = _row_index(rows, tile * P, 1)
            for k in range(TOP_K):
                where = nl.ndarray((rows, 1), dtype=nl.int32, buffer=nl.sbuf)
                nisa.tensor_copy(dst=where, src=row[:, k : k + 1], engine=nisa.engine.vector)
                nisa.dma_copy(
                    dst=row_token.ap(
                        pattern=[[1, rows], [1, 1]], offset=0, vector_offset=where, indirect_dim=0
                    ),
                    src=token,
                )
        _store_blocks(ends, experts, block, block_expert, num_blocks)
    return row_token, slot, block_expert, num_blocks
