"""The tensor engine: `nc_matmul`, `nc_transpose`."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.nki.indirection import for_tensor_engine
from simulator.nki.initialised import is_written
from simulator.nki.isa.enums import engine as Engine
from simulator.nki.isa.enums import matmul_perf_mode
from simulator.nki.numerics import computing, lift, store
from simulator.nki.rules import check_engine, check_matmul, check_partitions, check_same_size, refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import Handle, current, emit


def nc_matmul(
    dst: NkiTensor,
    stationary: NkiTensor,
    moving: NkiTensor,
    is_stationary_onezero: bool = False,  # noqa: ARG001 - promises about values change no result
    is_moving_onezero: bool = False,  # noqa: ARG001
    is_transpose: bool = False,
    accumulate: bool | None = None,
    tile_position: tuple[int, ...] = (),
    tile_size: tuple[int, ...] = (),
    perf_mode: matmul_perf_mode = matmul_perf_mode.none,
    name: str | None = None,
) -> Handle:
    """dst [M, N] = stationary [K, M] transposed times moving [K, N], in fp32.

    `accumulate=None` adds to dst where it has been written and overwrites it where it has not (NKI docs,
    nki.isa.nc_matmul).
    """
    program = current()
    if dst.dynamic or stationary.dynamic or moving.dynamic:
        dst, stationary, moving = for_tensor_engine(dst, stationary, moving)
    if perf_mode is matmul_perf_mode.double_row:
        return _double_row(dst, stationary, moving, accumulate, name)
    rows, columns, width = check_matmul(program.launch.target, dst, stationary, moving)
    check_partitions("nc_matmul", dst, stationary, moving)
    adds = accumulates(dst, accumulate)
    if computing(dst):
        product = lift(stationary.array).reshape(rows, columns).T @ lift(moving.array).reshape(rows, width)
        into(dst, product, adds)
    # An accumulating matmul adds inside PSUM: the region is written, not read, so groups stay pipelined.
    return emit(
        "nc_matmul",
        "MATMUL",
        "tensor",
        (dst,),
        (stationary, moving),
        width,
        name=name,
        macs=0 if is_transpose else rows * columns * width,
        stationary_free=columns,
        k_rows=rows,
        is_transpose=is_transpose,
        accumulate=adds,
        row_tile=tile_size[0] if tile_size else 128,
        column_tile=tile_size[1] if tile_size else 128,
        tile_position=tuple(tile_position),
    )


def accumulates(dst: NkiTensor, accumulate: bool | None) -> bool:
    """Whether a matmul adds to what dst holds: as asked, else where something was written."""
    written = is_written(dst)
    if accumulate and not written:
        raise refuse(
            "uninitialised",
            f"nc_matmul accumulates into {dst.storage.name!r} where nothing was written",
            "start the group with accumulate=False",
        )
    return written if accumulate is None else bool(accumulate)


def into(dst: NkiTensor, product: np.ndarray[Any, Any], adds: bool) -> None:
    """Write a product to PSUM, or add it to what is there."""
    product = product.reshape(dst.array.shape)
    store(dst, lift(dst.array) + product if adds else product)


def _double_row(
    dst: NkiTensor, stationary: NkiTensor, moving: NkiTensor, accumulate: bool | None, name: str | None
) -> Handle:
    """fp8 at double rate: operands [K, 2, M] and [K, 2, N] contract 2 K rows."""
    if stationary.layout.itemsize != 1 or stationary.shape[1] != 2 or moving.shape[1] != 2:
        raise refuse("double-row", "double_row takes fp8 operands of shape [K, 2, free]", "drop perf_mode")
    rows = stationary.layout.partitions
    adds = accumulates(dst, accumulate)
    if computing(dst):
        left = lift(stationary.array).reshape(rows * 2, -1)
        into(dst, left.T @ lift(moving.array).reshape(rows * 2, -1), adds)
    columns, width = stationary.layout.free // 2, moving.layout.size // rows // 2
    return emit(
        "nc_matmul",
        "MATMUL",
        "tensor",
        (dst,),
        (stationary, moving),
        width,
        name=name,
        macs=2 * rows * columns * width,
        stationary_free=columns,
        k_rows=2 * rows,
        perf_mode="double_row",
        accumulate=adds,
    )


def nc_transpose(
    dst: NkiTensor, data: NkiTensor, engine: Engine = Engine.unknown, name: str | None = None
) -> Handle:
    """dst [F, P] = data [P, F] transposed: to [128, 128] on the tensor engine (PSUM), [32, 32] on vector."""
    rows, columns = data.layout.partitions, data.layout.free
    where = engine.name
    if where == "unknown":
        where = "vector" if rows <= 32 and columns <= 32 and dst.storage.memory == "sbuf" else "tensor"
    check_engine("nc_transpose", where, ("tensor", "vector"))
    if where == "tensor":
        dst, data = for_tensor_engine(dst, data)
    check_same_size("nc_transpose", dst, data)
    limit = 128 if where == "tensor" else 32
    if rows > limit or columns > limit:
        raise refuse(
            "tile-limit", f"nc_transpose of [{rows}, {columns}] on {where}", f"use at most {limit} of each"
        )
    if where == "tensor" and (dst.storage.memory != "psum" or data.storage.memory != "sbuf"):
        raise refuse(
            "operand-memory", "a transpose on the tensor engine goes from SBUF to PSUM", "put dst in nl.psum"
        )
    check_partitions("nc_transpose", dst, data)
    if computing(dst):
        store(dst, lift(data.array).reshape(rows, columns).T)
    opcode, streamed = ("MATMUL", rows) if where == "tensor" else ("TRANSPOSE", columns)
    return emit(
        "nc_transpose",
        opcode,
        where,
        (dst,),
        (data,),
        streamed,
        name=name,
        is_transpose=True,
        stationary_free=columns,
        k_rows=rows,
    )
