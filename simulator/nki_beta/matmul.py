"""TensorE under the first dialect's signatures, and what the compiler makes of `nl.matmul` and broadcasts."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from simulator.nki import isa, language
from simulator.nki.isa.enums import engine as Engine
from simulator.nki.isa.enums import matmul_perf_mode
from simulator.nki.rules import MOVING_FREE, refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki_beta.call import issue, nothing, value
from simulator.nki_beta.elementwise import in_sbuf, tensor_copy
from simulator.nki_beta.index import NOTHING, trimmed
from simulator.nki_beta.result import Result, flush
from simulator.nki_beta.state import state
from simulator.nki_beta.tile import Tensor, Value


def nc_matmul(
    stationary: Any,
    moving: Any,
    is_stationary_onezero: bool = False,  # noqa: ARG001 - promises about values change no result
    is_moving_onezero: bool = False,  # noqa: ARG001
    is_transpose: bool = False,
    mask: Any = None,
    perf_mode: Any = matmul_perf_mode.none,
) -> Result:
    """Stationary, transposed, times moving; added to a PSUM tile where that is what is asked."""
    left, right = in_sbuf(stationary), in_sbuf(moving)
    shape = (left.size // left.shape[0], right.size // right.shape[0])
    trim = trimmed(mask, shape)
    if trim is NOTHING:
        return Result(shape, np.float32, nothing, buffer="psum", trim=NOTHING)
    if trim and (trim.chosen or trim.box[0] != (0, shape[0])):
        raise refuse("mask", "the mask of nc_matmul limits more than moving columns", "slice the operands")
    columns = ((0, right.shape[0]), trim.box[1]) if trim else None
    ready = partial(
        isa.nc_matmul,
        stationary=left.read(),
        moving=right.read(columns),
        is_transpose=is_transpose,
        perf_mode=perf_mode if isinstance(perf_mode, matmul_perf_mode) else matmul_perf_mode[perf_mode],
    )
    return Result(
        shape,
        np.float32,
        lambda dst: ready(dst=dst, accumulate=False),
        buffer="psum",
        trim=trim,
        adds=lambda dst: ready(dst=dst, accumulate=None),
    )


def nc_transpose(data: Any, mask: Any = None, dtype: Any = None, engine: Engine = Engine.unknown) -> Result:
    """The tile transposed: by TensorE into PSUM, or to [32, 32] by VectorE into SBUF."""
    tile = in_sbuf(data)
    if trimmed(mask, tile.shape) is not None:
        raise refuse("mask", "nc_transpose under a mask", "slice the tile")
    rows = tile.shape[0]
    columns = tile.size // rows
    small = engine is Engine.vector or (engine is Engine.unknown and max(rows, columns) <= 32)
    where = Engine.vector if small else Engine.tensor
    if not small:
        _identity(tile.dtype)
    return issue(
        isa.nc_transpose,
        (columns, rows),
        dtype or tile.dtype,
        None,
        {"data": tile},
        buffer="sbuf" if small else "psum",
        engine=where,
    )


def _identity(dtype: Any) -> None:
    """The matrix TensorE transposes with: a constant the compiler loads once a dtype."""
    known = state().identities
    if dtype not in known:
        flush()
        source = language.shared_constant(np.eye(128, dtype=dtype))
        known[dtype] = language.ndarray((128, 128), dtype)
        isa.dma_copy(dst=known[dtype], src=source)


def partition_broadcast(x: Any, partitions: int) -> Value:
    """A tile of one partition on all of them: ones times the tile on TensorE, a bank at a time."""
    tile = in_sbuf(x)
    if tile.shape[0] != 1:
        raise refuse(
            "broadcast", f"{tile.shape[0]} partitions are broadcast to {partitions}", "broadcast one"
        )
    row = tile.read()
    width = tile.size
    ones = _ones(tile.dtype, partitions)
    bank = MOVING_FREE["trn2"]
    row = row.reshape((1, width))
    if width <= bank:
        ready = partial(isa.nc_matmul, stationary=ones, moving=row, accumulate=False)
        return Result((partitions, *tile.shape[1:]), np.float32, lambda dst: ready(dst=dst), buffer="psum")
    flush()
    result = language.ndarray((partitions, width), tile.dtype)
    for start in range(0, width, bank):
        part = slice(start, min(start + bank, width))
        psum = language.ndarray((partitions, part.stop - start), np.float32, "psum")
        isa.nc_matmul(dst=psum, stationary=ones, moving=row[:, part])
        isa.tensor_copy(dst=result[:, part], src=psum)
    return Tensor(result.reshape((partitions, *tile.shape[1:])))


def _ones(dtype: Any, columns: int) -> NkiTensor:
    known = state().identities
    key = (dtype, columns)
    if key not in known:
        flush()
        known[key] = language.ndarray((1, columns), dtype)
        isa.memset(dst=known[key], value=1)
    found: NkiTensor = known[key]
    return found


def matmul(x: Any, y: Any, transpose_x: bool = False, mask: Any = None) -> Result:
    """x @ y, or x transposed @ y, in PSUM; without `transpose_x` x is transposed first."""
    stationary: Value = value(x) if transpose_x else tensor_copy(nc_transpose(x))
    return nc_matmul(stationary, y, mask=mask)
