"""Kernels for the parts of the surface that public kernel libraries use; loaded by path."""

from dataclasses import dataclass

import nki
import nki.isa as nisa
import nki.language as nl


def load(source, dtype=None):
    tile = nl.ndarray(source.shape, dtype=dtype or source.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=source)
    return tile


def save(tile, dtype=None):
    out = nl.ndarray(tile.shape, dtype=dtype or tile.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out, src=tile)
    return out


def quantized(source, packed):
    tile = load(source)
    rows, width = source.shape
    data = nl.ndarray((rows, width // 4), dtype=packed, buffer=nl.sbuf)
    scale = nl.ndarray((rows, width // 4), dtype=nl.uint8, buffer=nl.sbuf)
    nisa.memset(dst=scale, value=0)
    nisa.quantize_mx(dst=data, src=tile, dst_scale=scale)
    return data, scale


@nki.jit
def quantize(x):
    data, scale = quantized(x, nl.float8_e4m3fn_x4)
    return save(data.view(nl.float8_e4m3fn)), save(scale)


@nki.jit
def matmul_mx(stationary, moving, times):
    left, left_scale = quantized(stationary, nl.float8_e4m3fn_x4)
    right, right_scale = quantized(moving, nl.float8_e4m3fn_x4)
    acc = nl.ndarray((left.shape[1], right.shape[1]), dtype=nl.float32, buffer=nl.psum)
    for i in nl.affine_range(times):
        nisa.nc_matmul_mx(
            dst=acc,
            stationary=left,
            moving=right,
            stationary_scale=left_scale,
            moving_scale=right_scale,
            accumulate=i > 0,
        )
    result = nl.ndarray(acc.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=result, src=acc)
    return save(result)


@nki.jit
def running_sum(x):
    tile = load(x)
    half = x.shape[1] // 2
    out = nl.ndarray(x.shape, dtype=nl.float32, buffer=nl.sbuf)
    common = {"op0": nl.multiply, "op1": nl.add, "imm0": 2.0}
    nisa.tensor_scalar_cumulative(dst=out[:, 0:half], src=tile[:, 0:half], **common)
    nisa.tensor_scalar_cumulative(
        dst=out[:, half:], src=tile[:, half:], reduce_cmd=nisa.reduce_cmd.reduce, **common
    )
    return save(out)


@nki.jit
def sum_of_squares_in_two_parts(x):
    tile = load(x)
    half = x.shape[1] // 2
    waste = nl.ndarray(x.shape, dtype=nl.float32, buffer=nl.sbuf)
    total = nl.ndarray((x.shape[0], 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(
        dst=waste[:, :half],
        op=nl.square,
        data=tile[:, :half],
        reduce_op=nl.add,
        reduce_cmd=nisa.reduce_cmd.reset_reduce,
    )
    nisa.activation(
        dst=waste[:, half:],
        op=nl.square,
        data=tile[:, half:],
        reduce_op=nl.add,
        reduce_res=total,
        reduce_cmd=nisa.reduce_cmd.reduce,
    )
    return save(total)


@nki.jit
def revision(x):
    tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.memset(dst=tile, value=nisa.get_nc_sub_version())
    return save(tile)


@dataclass
class Tiles(nl.NKIObject):
    rows: int
    unused: int
    scale: float = 2.0
    note = None


@nki.jit
def with_a_plan(x):
    tiles = Tiles(rows=x.shape[0], note="any")
    assert tiles.unused is None
    assert tiles.note == "any"
    tile = load(x)
    nisa.tensor_scalar(dst=tile[0 : tiles.rows], data=tile, op0=nl.multiply, operand0=tiles.scale)
    return save(tile)


@nki.jit
def countdown(x, count):
    """Doubles x as often as count says, with a hardware loop on a register."""
    tile, left = load(x), load(count)
    register = nisa.register_alloc(left)
    while register:
        nisa.tensor_scalar(dst=tile, data=tile, op0=nl.multiply, operand0=2.0)
        nisa.tensor_scalar(dst=left, data=left, op0=nl.subtract, operand0=1)
        nisa.register_load(register, left)
    return save(tile)


@nki.jit
def expert_or_nothing(weights, which):
    """The block of weights that data names, or what was there before where it names none."""
    index = load(which)
    tile = nl.ndarray(weights.shape[1:], dtype=weights.dtype, buffer=nl.sbuf)
    nisa.memset(dst=tile, value=7.0)
    rows, width = tile.shape
    chosen = weights.ap([[width, rows], [1, width]], scalar_offset=index, indirect_dim=0)
    nisa.dma_copy(dst=tile, src=chosen, oob_mode=nisa.oob_mode.skip)
    return save(tile)


@nki.jit
def gather_some(table, rows):
    index = load(rows)
    tile = nl.ndarray((rows.shape[0], table.shape[1]), dtype=table.dtype, buffer=nl.sbuf)
    nisa.memset(dst=tile, value=0.0)
    nisa.dma_copy(dst=tile, src=table.vector_select(0, index), oob_mode=nisa.oob_mode.skip)
    return save(tile)


@nki.jit
def transposed(x):
    """[A, B, C, D] to [D, B, C, A] as the DMA engines turn four dimensions."""
    a, b, c, d = x.shape
    tile = nl.ndarray((d, b, c, a), dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_transpose(dst=tile, src=x)
    return save(tile)


@nki.jit
def loads_before_use(x, tiles):
    """Loads more than SBUF holds before it uses the first tile."""
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    loaded = [load(x) for _ in range(tiles)]
    for tile in loaded:
        nisa.dma_copy(dst=out, src=tile)
    return out


@nki.jit
def scatter_add(table, rows, values):
    """Adds each row of values to the row of the table that data names."""
    index, tile = load(rows), load(values)
    width = table.shape[1]
    place = table.ap([[width, rows.shape[0]], [1, width]], vector_offset=index, indirect_dim=0)
    nisa.dma_compute(dst=place, srcs=[tile, place], reduce_op=nl.add)
    return table


@nki.jit
def routed(x):
    tile = load(x)
    found = nl.ndarray((x.shape[0], x.shape[1] + 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.memset(dst=found, value=5)
    nisa.nonzero_with_count(dst=found, src=tile, index_offset=10)
    return save(found)


@nki.jit
def best(x, n, k):
    tile = load(x)
    values = nl.ndarray((x.shape[0], k), dtype=nl.bfloat16, buffer=nl.sbuf)
    places = nl.ndarray((x.shape[0], k), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.topk(val_dst=values, idx_dst=places, src=tile, n=n)
    return save(values), save(places)
