"""Small kernels for the tests of the language; loaded by path, as a user's file is."""

import nki
import nki.collectives as collectives
import nki.isa as nisa
import nki.language as nl


def load(source):
    tile = nl.ndarray(source.shape, dtype=source.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=source)
    return tile


def save(tile, shape, dtype):
    out = nl.ndarray(shape, dtype=dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out, src=tile)
    return out


@nki.jit
def double(x):
    tile = load(x)
    nisa.tensor_scalar(dst=tile, data=tile, op0=nl.multiply, operand0=2.0)
    return save(tile, x.shape, x.dtype)


@nki.jit
def matmul(stationary, moving):
    left, right = load(stationary), load(moving)
    acc = nl.ndarray((left.shape[1], right.shape[1]), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=acc, stationary=left, moving=right)
    nisa.nc_matmul(dst=acc, stationary=left, moving=right, accumulate=True)
    result = nl.ndarray(acc.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=result, src=acc)
    return save(result, acc.shape, nl.float32)


@nki.jit
def overwrite(stationary, moving):
    left, right = load(stationary), load(moving)
    acc = nl.ndarray((left.shape[1], right.shape[1]), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=acc, stationary=left, moving=right)
    nisa.nc_matmul(dst=acc, stationary=left, moving=right, accumulate=False)
    result = nl.ndarray(acc.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=result, src=acc)
    return save(result, acc.shape, nl.float32)


@nki.jit
def pick_row(table, which):
    index = load(which)
    tile = nl.ndarray((1, table.shape[1]), dtype=table.dtype, buffer=nl.sbuf)
    nisa.dma_copy(
        dst=tile,
        src=table.ap(pattern=[[table.shape[1], 1], [1, table.shape[1]]], offset=0, scalar_offset=index),
    )
    return save(tile, tile.shape, table.dtype)


@nki.jit
def gather_rows(table, rows):
    index = load(rows)
    tile = nl.ndarray((rows.shape[0], table.shape[1]), dtype=table.dtype, buffer=nl.sbuf)
    width = table.shape[1]
    nisa.dma_copy(
        dst=tile, src=table.ap(pattern=[[width, rows.shape[0]], [1, width]], offset=0, vector_offset=index)
    )
    return save(tile, tile.shape, table.dtype)


@nki.jit
def top8(scores):
    tile = load(scores)
    best = nl.ndarray((tile.shape[0], 8), dtype=nl.float32, buffer=nl.sbuf)
    where = nl.ndarray((tile.shape[0], 8), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.max8(dst=best, src=tile)
    nisa.nc_find_index8(dst=where, data=tile, vals=best)
    return save(best, best.shape, nl.float32), save(where, where.shape, nl.uint32)


@nki.jit
def causal(scores):
    tile = load(scores)
    masked = nl.ndarray(tile.shape, dtype=tile.dtype, buffer=nl.sbuf)
    nisa.affine_select(
        dst=masked,
        pattern=[[-1, tile.shape[1]]],
        channel_multiplier=1,
        on_true_tile=tile,
        on_false_value=-1.0,
        cmp_op=nl.greater_equal,
    )
    return save(masked, masked.shape, tile.dtype)


@nki.jit
def swap_halves(x):
    core = nl.program_id(0)
    rows = x.shape[0] // nl.num_programs(0)
    mine = load(x[core * rows : (core + 1) * rows, :])
    theirs = nl.ndarray(mine.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.sendrecv(src=mine, dst=theirs, send_to_rank=1 - core, recv_from_rank=1 - core, pipe_id=0)
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out[core * rows : (core + 1) * rows, :], src=theirs)
    return out


@nki.jit
def read_the_other_half(x):
    core = nl.program_id(0)
    scratch = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    rows = x.shape[0] // 2
    nisa.dma_copy(dst=scratch[core * rows : (core + 1) * rows, :], src=x[core * rows : (core + 1) * rows, :])
    nisa.core_barrier(data=scratch, cores=(0, 1))
    other = load(scratch[(1 - core) * rows : (2 - core) * rows, :])
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out[core * rows : (core + 1) * rows, :], src=other)
    return out


@nki.jit
def lonely(x):
    tile = load(x)
    if nl.program_id(0) == 0:
        other = nl.ndarray(tile.shape, dtype=x.dtype, buffer=nl.sbuf)
        nisa.sendrecv(src=tile, dst=other, send_to_rank=1, recv_from_rank=1, pipe_id=0)
    return save(tile, x.shape, x.dtype)


@nki.jit
def too_many_partitions(x):
    nl.ndarray((129, 4), dtype=nl.float32, buffer=nl.sbuf)


@nki.jit
def wide_moving(x):
    left = nl.zeros((128, 128), dtype=nl.bfloat16)
    right = nl.zeros((128, 2048), dtype=nl.bfloat16)
    acc = nl.ndarray((128, 2048), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=acc, stationary=left, moving=right)


@nki.jit
def across_banks(x):
    left = nl.zeros((128, 128), dtype=nl.bfloat16)
    right = nl.zeros((128, 512), dtype=nl.bfloat16)
    acc = nl.ndarray((128, 1024), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=acc[:, 256:768], stationary=left, moving=right)


@nki.jit
def matmul_to_sbuf(x):
    left = nl.zeros((128, 128), dtype=nl.bfloat16)
    acc = nl.ndarray((128, 128), dtype=nl.float32, buffer=nl.sbuf)
    nisa.nc_matmul(dst=acc, stationary=left, moving=left)


@nki.jit
def reads_nothing(x):
    tile = nl.ndarray((128, 8), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=tile, data=tile, op0=nl.add, operand0=1.0)


@nki.jit
def reads_half(x):
    tile = nl.ndarray((128, 8), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=tile[:, 0:4], value=0.0)
    nisa.tensor_scalar(dst=tile, data=tile, op0=nl.add, operand0=1.0)


@nki.jit
def fills_sbuf(x):
    tiles = [nl.zeros((128, 16 * 1024), dtype=nl.float32) for _ in range(4)]
    for tile in tiles:
        nisa.tensor_scalar(dst=tile, data=tile, op0=nl.add, operand0=1.0)


@nki.jit
def fills_psum(x):
    banks = [nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum) for _ in range(9)]
    for bank in banks:
        nisa.memset(dst=bank, value=0.0)
    for bank in banks:
        nisa.tensor_copy(dst=nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.sbuf), src=bank)


@nki.jit
def gpsimd_on_psum(x):
    bank = nl.ndarray((128, 512), dtype=nl.float32, buffer=nl.psum)
    nisa.memset(dst=bank, value=0.0, engine=nisa.engine.gpsimd)


@nki.jit
def odd_start(x):
    tile = nl.zeros((128, 8), dtype=nl.float32)
    nisa.tensor_scalar(dst=tile[16:48, :], data=tile[16:48, :], op0=nl.add, operand0=1.0)


@nki.jit
def dma_from_psum(x):
    bank = nl.zeros((128, 8), dtype=nl.float32, buffer=nl.psum)
    return save(bank, (128, 8), nl.float32)


@nki.jit
def out_of_bounds(x):
    load(x[0:128, 0:999])


@nki.jit
def returned_tile(x):
    return load(x)


@nki.jit
def beta_name(x):
    return nl.arange(4)


@nki.jit
def misspelt(x):
    nisa.tensor_cpoy(dst=x, src=x)


@nki.jit
def broken(x):
    return x.shape[7]


@nki.jit
def ordered(x):
    tile = load(x)
    first = nisa.memset(dst=nl.ndarray((128, 8), dtype=nl.float32, buffer=nl.sbuf), value=1.0)
    second = nisa.memset(dst=nl.ndarray((128, 8), dtype=nl.float32, buffer=nl.sbuf), value=2.0)
    first.depends_on(second)
    with nl.no_reorder():
        nisa.tensor_scalar(dst=tile, data=tile, op0=nl.add, operand0=1.0)
    return save(tile, x.shape, x.dtype)


@nki.jit
def looped(x, count):
    register = nisa.register_alloc(load(count))
    tile = load(x)

    def body(_):
        nisa.tensor_scalar(dst=tile, data=tile, op0=nl.add, operand0=1.0)

    nl.fori_loop(0, register, body)
    return save(tile, x.shape, x.dtype)


@nki.jit
def normalised(x, weight, eps=1e-6):
    tile = load(x)
    squares = nl.ndarray(tile.shape, dtype=nl.float32, buffer=nl.sbuf)
    total = nl.ndarray((tile.shape[0], 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation_reduce(dst=squares, op=nl.square, data=tile, reduce_op=nl.add, reduce_res=total)
    bias = nl.full((tile.shape[0], 1), eps, dtype=nl.float32)
    scale = nl.ndarray(total.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(dst=scale, op=nl.rsqrt, data=total, scale=1.0 / tile.shape[1], bias=bias)
    gains = nl.ndarray(tile.shape, dtype=weight.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=gains, src=weight.ap(pattern=[[0, tile.shape[0]], [1, tile.shape[1]]], offset=0))
    nisa.scalar_tensor_tensor(
        dst=tile, data=tile, op0=nl.multiply, operand0=scale, op1=nl.multiply, operand1=gains
    )
    return save(tile, x.shape, x.dtype)


@nki.jit
def over_ranks(x):
    tile = load(x)
    total = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    group = collectives.ReplicaGroup([[0, 1, 2, 3]])
    collectives.all_reduce(srcs=[tile], dsts=[total], replica_group=group, op=nl.add)
    return save(total, x.shape, x.dtype)


@nki.jit
def written_through_a_broadcast(x, way):
    tile = nl.ndarray((128, 1, 8), dtype=x.dtype, buffer=nl.sbuf)
    wide = nl.zeros((128, 4, 8), dtype=x.dtype)
    if way == "view":
        nisa.tensor_copy(dst=tile.broadcast(1, 4), src=wide)
    elif way == "part":
        nisa.memset(tile.broadcast(1, 4)[:, 0:2, :], 0.0)
    elif way == "transfer":
        nisa.dma_copy(dst=tile.broadcast(1, 4), src=wide)
    else:
        nisa.tensor_copy(dst=tile.ap(pattern=[[8, 128], [0, 4], [1, 8]]), src=wide)
    return save(tile, (128, 1, 8), x.dtype)


@nki.jit
def gathered_columns(x, index, count=None):
    tile, offsets = load(x), load(index)
    wide = offsets.shape[1] * 16 if count is None else count
    picked = nl.ndarray((tile.shape[0], wide), dtype=x.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=picked, src=tile.indirect(offsets, count))
    return save(picked, picked.shape, x.dtype)


@nki.jit
def scattered_columns(x, index, width):
    tile, offsets = load(x), load(index)
    wide = nl.zeros((tile.shape[0], width), dtype=x.dtype)
    nisa.tensor_scalar(dst=wide.indirect(offsets, tile.shape[1]), data=tile, op0=nl.multiply, operand0=2.0)
    return save(wide, wide.shape, x.dtype)


@nki.jit
def columns_transposed(x, index):
    tile, offsets = load(x), load(index)
    across = nl.ndarray((32, tile.shape[0]), dtype=x.dtype, buffer=nl.psum)
    nisa.nc_transpose(dst=across, data=tile.indirect(offsets, 32), engine=nisa.engine.tensor)
    out = nl.ndarray(across.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=out, src=across)
    return save(out, across.shape, x.dtype)


@nki.jit
def columns_by_dma(x, index):
    tile, offsets = load(x), load(index)
    return save(tile.indirect(offsets), (tile.shape[0], 16 * offsets.shape[1]), x.dtype)
