"""The tensor engine: `nc_matmul`, `nc_transpose`."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.nki.indirection import for_tensor_engine
from simulator.nki.initialised import is_written
from simulator.nki.isa.enums import engine as Engine
from simulator.nki.isa.enums import matmul_perf_mode
from simulator.nki.numerics import computing, lift, store
from simulator.nki.rules import (
    MOVING_FREE,
    PARTITIONS,
    check_bank,
    check_engine,
    check_matmul,
    check_partitions,
    check_same_size,
    check_tiling,
    refuse,
)
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import KNOWN, Handle, current, issue, learn, operation_on
from simulator.trace import Operation


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
    if dst.dynamic or stationary.dynamic or moving.dynamic:
        dst, stationary, moving = for_tensor_engine(dst, stationary, moving)
    if perf_mode is matmul_perf_mode.double_row:
        if tile_size and tile_size[-1] != PARTITIONS:
            raise refuse("double-row", "double_row with column tiles", "drop tile_size or perf_mode")
        return _double_row(dst, stationary, moving, accumulate, name)
    launch, written = current().launch, accumulate is not False and is_written(dst)
    adds = written if accumulate is None else bool(accumulate)
    options = (launch.target, adds, is_transpose, tuple(tile_position), tuple(tile_size))
    key = ("nc_matmul", dst.layout, stationary.layout, moving.layout, *options)
    operation = KNOWN.get(key) or learn(key, _matmul(dst, stationary, moving, *options))
    if launch.target in MOVING_FREE:
        check_bank("nc_matmul", dst)
    check_begun(dst, accumulate, written)
    if launch.values or dst.layout.steers:
        rows = stationary.layout.partitions
        left, right = lift(stationary.array).reshape(rows, -1), lift(moving.array).reshape(rows, -1)
        into(dst, left.T @ right, adds)
    return issue(operation, (dst,), (stationary, moving), name)


def _matmul(
    dst: NkiTensor,
    stationary: NkiTensor,
    moving: NkiTensor,
    target: str,
    adds: bool,
    is_transpose: bool,
    tile_position: tuple[int, ...],
    tile_size: tuple[int, ...],
) -> Operation:
    rows, columns, width = check_matmul(target, dst, stationary, moving)
    check_partitions("nc_matmul", dst, stationary, moving)
    check_tiling("nc_matmul", (rows, columns), tile_position, tile_size)
    # An accumulating matmul adds inside PSUM: the region is written, not read, so groups stay pipelined.
    return operation_on(
        "nc_matmul",
        "MATMUL",
        "tensor",
        (dst, stationary, moving),
        width,
        macs=0 if is_transpose else rows * columns * width,
        stationary_free=columns,
        k_rows=rows,
        is_transpose=is_transpose,
        accumulate=adds,
        row_tile=tile_size[0] if tile_size else 128,
        column_tile=tile_size[1] if tile_size else 128,
        tile_position=tile_position,
    )


def check_begun(dst: NkiTensor, accumulate: bool | None, written: bool) -> None:
    """What a matmul is told to add to holds values."""
    if accumulate and not written:
        raise refuse(
            "uninitialised",
            f"nc_matmul accumulates into {dst.storage.name!r} where nothing was written",
            "start the group with accumulate=False",
        )


def accumulates(dst: NkiTensor, accumulate: bool | None) -> bool:
    """Whether a matmul adds to what dst holds: as asked, else where something was written."""
    written = is_written(dst)
    check_begun(dst, accumulate, written)
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
    adds = accumulates(dst, accumulate)
    key = ("double_row", dst.layout, stationary.layout, moving.layout, adds)
    operation = KNOWN.get(key) or learn(key, _double(dst, stationary, moving, adds))
    if computing(dst):
        rows = 2 * stationary.layout.partitions
        into(dst, lift(stationary.array).reshape(rows, -1).T @ lift(moving.array).reshape(rows, -1), adds)
    return issue(operation, (dst,), (stationary, moving), name)


def _double(dst: NkiTensor, stationary: NkiTensor, moving: NkiTensor, adds: bool) -> Operation:
    rows = stationary.layout.partitions
    columns, width = stationary.layout.free // 2, moving.layout.size // rows // 2
    return operation_on(
        "nc_matmul",
        "MATMUL",
        "tensor",
        (dst, stationary, moving),
        width,
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
    if (dst.dynamic or data.dynamic) and _transposing(dst, data, engine) == "tensor":
        dst, data = for_tensor_engine(dst, data)
    key = ("nc_transpose", dst.layout, data.layout, engine)
    operation = KNOWN.get(key) or learn(key, _transpose(dst, data, engine))
    if computing(dst):
        store(dst, lift(data.array).reshape(data.layout.partitions, -1).T)
    return issue(operation, (dst,), (data,), name)


def _transposing(dst: NkiTensor, data: NkiTensor, engine: Engine) -> str:
    """The engine that transposes: vector what is at most [32, 32] and stays in SBUF, if none is named."""
    if engine is not Engine.unknown:
        return engine.name
    small = data.layout.partitions <= 32 and data.layout.free <= 32 and dst.layout.memory == "sbuf"
    return "vector" if small else "tensor"


def _transpose(dst: NkiTensor, data: NkiTensor, engine: Engine) -> Operation:
    rows, columns = data.layout.partitions, data.layout.free
    where = _transposing(dst, data, engine)
    check_engine("nc_transpose", where, ("tensor", "vector"))
    check_same_size("nc_transpose", dst, data)
    limit = 128 if where == "tensor" else 32
    if rows > limit or columns > limit:
        raise refuse(
            "tile-limit", f"nc_transpose of [{rows}, {columns}] on {where}", f"use at most {limit} of each"
        )
    if where == "tensor" and (dst.layout.memory != "psum" or data.layout.memory != "sbuf"):
        raise refuse(
            "operand-memory", "a transpose on the tensor engine goes from SBUF to PSUM", "put dst in nl.psum"
        )
    check_partitions("nc_transpose", dst, data)
    opcode, streamed = ("MATMUL", rows) if where == "tensor" else ("TRANSPOSE", columns)
    return operation_on(
        "nc_transpose",
        opcode,
        where,
        (dst, data),
        streamed,
        is_transpose=True,
        stationary_free=columns,
        k_rows=rows,
    )
