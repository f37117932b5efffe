"""Kernels for the parts of the surface that public kernel libraries use; loaded by path."""

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
