"""MX instructions of trn3: `quantize_mx` on VectorE, `nc_matmul_mx` on the tensor engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator.nki.isa.matmul import accumulates, into
from simulator.nki.layout import Array
from simulator.nki.mx import QUADRANT, SCALES_PER_QUADRANT, is_packed, quantized, scale_rows, scaled
from simulator.nki.numerics import computing, fill, flat
from simulator.nki.rules import check_generation, check_on_chip, check_partitions, refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import Handle, current, emit, free_elements

SCALE_DTYPES = ("uint8", "float8_e8m0fnu")
MOVING_BYTES = 8 * 2048


def quantize_mx(dst: NkiTensor, src: NkiTensor, dst_scale: NkiTensor, name: str | None = None) -> Handle:
    """dst [P, F] packed fp8 and dst_scale from src [P, 4 F]; a scale to every 8 partitions by 4 elements."""
    check_generation("quantize_mx", current().launch.target)
    check_on_chip("quantize_mx", dst, src, dst_scale)
    check_partitions("quantize_mx", dst, src)
    rows, width = src.array.shape[0], free_elements(src)
    if not is_packed(dst.array.dtype) or dst.array.dtype.names == ("float4_e2m1fn_x4",):
        raise refuse("mx-dtype", f"quantize_mx to {dst.array.dtype}", "use a packed fp8 dtype")
    if rows % 32 or width % 4 or free_elements(dst) * 4 != width:
        raise refuse(
            "mx-shape",
            f"quantize_mx of {src.shape} into {dst.shape}",
            "give it a multiple of 32 partitions, and dst a quarter of the elements",
        )
    if computing(dst):
        packed, scales = quantized(np.ascontiguousarray(flat(src), np.float32), dst.array.dtype)
        fill(dst, packed.reshape(dst.array.shape))
        _scale_bytes(dst_scale)[scale_rows(rows)] = scales
    return emit(
        "quantize_mx",
        "QUANTIZE_MX",
        "vector",
        (dst, *_scale_tiles(dst_scale, rows)),
        (src,),
        free_elements(src),
        name=name,
    )


def nc_matmul_mx(
    dst: NkiTensor,
    stationary: NkiTensor,
    moving: NkiTensor,
    stationary_scale: NkiTensor,
    moving_scale: NkiTensor,
    tile_position: Sequence[int] | None = None,
    tile_size: Sequence[int] | None = None,
    accumulate: bool | None = None,
    name: str | None = None,
) -> Handle:
    """dst [M, N] = stationary [K, M] transposed times moving [K, N], each element four, scaled by block."""
    check_generation("nc_matmul_mx", current().launch.target)
    rows, columns, width = _check(dst, stationary, moving, stationary_scale, moving_scale)
    adds = accumulates(dst, accumulate)
    if computing(dst):
        left, right = _operand(stationary, stationary_scale), _operand(moving, moving_scale)
        into(dst, left.T @ right, adds)
    return emit(
        "nc_matmul_mx",
        "MATMUL_MX",
        "tensor",
        (dst,),
        (stationary, moving, *_scale_tiles(stationary_scale, rows), *_scale_tiles(moving_scale, rows)),
        width,
        name=name,
        macs=4 * rows * columns * width,
        stationary_free=columns,
        k_rows=4 * rows,
        accumulate=adds,
        row_tile=tile_size[0] if tile_size else 128,
        tile_position=tuple(tile_position or ()),
    )


def _check(
    dst: NkiTensor, stationary: NkiTensor, moving: NkiTensor, *scales: NkiTensor
) -> tuple[int, int, int]:
    """(partitions, stationary columns, moving columns) after the documented limits."""
    for tile in (stationary, moving):
        if not is_packed(tile.array.dtype):
            raise refuse("mx-dtype", f"nc_matmul_mx of {tile.array.dtype}", "use a packed MX dtype")
    for scale in scales:
        if scale.array.dtype.name not in SCALE_DTYPES:
            raise refuse("mx-dtype", f"scales of {scale.array.dtype}", "use uint8 or float8_e8m0fnu")
    if dst.layout.memory != "psum" or any(t.storage.memory != "sbuf" for t in (stationary, moving, *scales)):
        raise refuse(
            "operand-memory",
            "nc_matmul_mx reads SBUF and writes PSUM only",
            "put operands in nl.sbuf, dst in nl.psum",
        )
    rows = stationary.array.shape[0]
    columns, width = free_elements(stationary), free_elements(moving)
    if rows % 32 or moving.array.shape[0] != rows or columns > 128 or columns % 2:
        raise refuse(
            "mx-shape",
            f"nc_matmul_mx of {stationary.shape} with {moving.shape}",
            "give both the same multiple of 32 partitions, and an even number up to 128 stationary columns",
        )
    if width * dst.array.itemsize > MOVING_BYTES:
        raise refuse("tile-limit", f"nc_matmul_mx of {width} moving columns", "stay inside PSUM's 16 KiB")
    if dst.array.size != columns * width:
        raise refuse("shape", f"nc_matmul_mx gives [{columns}, {width}] but dst is {dst.shape}", "fit dst")
    return rows, columns, width


def _scale_bytes(scale: NkiTensor) -> Array:
    """[partitions, free] biased exponents, sharing the tile's memory."""
    view = scale.array.view(np.uint8)
    return view.reshape(view.shape[0], -1) if view.ndim != 2 else view


def _scale_tiles(scale: NkiTensor, rows: int) -> tuple[NkiTensor, ...]:
    """The partitions of a scale tile that hold scales: the first four of each quadrant."""
    return tuple([scale[row : row + SCALES_PER_QUADRANT] for row in range(0, rows, QUADRANT)])


def _operand(data: NkiTensor, scale: NkiTensor) -> Array:
    """[4 K, free] float32 of packed data [K, free]."""
    rows = data.array.shape[0]
    packed = data.array.reshape(rows, -1)
    scales = _scale_bytes(scale)[scale_rows(rows)][:, : packed.shape[1]]
    values = scaled(packed, scales)
    spread: Array = values.transpose(0, 2, 1).reshape(4 * rows, -1)
    return spread
