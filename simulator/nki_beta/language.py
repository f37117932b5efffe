"""`neuronxcc.nki.language`: tensors, indices, loops and functions under the first dialect's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simulator.nki import language
from simulator.nki.dtypes import DTYPES, dtype_of
from simulator.nki.language import device_print, ds, tile_size
from simulator.nki.rules import refuse
from simulator.nki.tracer import current
from simulator.nki_beta import elementwise
from simulator.nki_beta.blocks import Blocks, ParDim
from simulator.nki_beta.call import value
from simulator.nki_beta.functions import FUNCTIONS, REDUCTIONS, broadcast_to, mean
from simulator.nki_beta.index import Shape, arange, mgrid
from simulator.nki_beta.launch import nc, spmd_dim
from simulator.nki_beta.loops import affine_range, loop_reduce, sequential_range, static_range
from simulator.nki_beta.matmul import matmul, nc_transpose
from simulator.nki_beta.memory import Buffer, hbm, private_hbm, psum, sbuf, shared_hbm
from simulator.nki_beta.names import not_executed
from simulator.nki_beta.result import flush
from simulator.nki_beta.state import state
from simulator.nki_beta.tile import Tensor, Value
from simulator.nki_beta.transfers import load, load_transpose2d, store
from simulator.nki_beta.typing import tensor

par_dim = ParDim
ALSO_DTYPES = {"int64": np.dtype(np.int64), "uint64": np.dtype(np.uint64)}


def ndarray(
    shape: Sequence[int], dtype: Any, *, buffer: str | None = None, name: str = "", **_options: Any
) -> Value:
    """A new tensor; dimensions before `par_dim` are blocks, each a tile of its own."""
    flush()
    return _allocated(tuple(shape), dtype_of(dtype), Buffer("sbuf") if buffer is None else buffer, name)


def _allocated(shape: Shape, dtype: Any, buffer: str, name: str, zero: bool = False) -> Value:
    at = next((d for d, n in enumerate(shape) if isinstance(n, ParDim)), 0)
    counts, sizes = tuple(map(int, shape[:at])), tuple(map(int, shape[at:]))
    if buffer not in ("sbuf", "psum") or not counts:
        return _tile((), tuple(map(int, shape)), dtype, buffer, name, zero)
    return Blocks(
        counts, sizes, dtype, str(buffer), lambda block: _tile(block, sizes, dtype, buffer, name, zero)
    )


def _tile(block: Shape, shape: Shape, dtype: Any, buffer: str, name: str, zero: bool) -> Tensor:
    place = getattr(buffer, "address", None)
    address = None
    if place is not None:
        address = place(block, shape, int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize)
    return Tensor(language.ndarray(shape, dtype, str(buffer), name, address), zero)


def full(
    shape: Sequence[int], fill_value: Any, dtype: Any, *, buffer: str | None = None, name: str = "", **_: Any
) -> Value:
    """A tensor filled with one value."""
    made = ndarray(shape, dtype, buffer=buffer, name=name)
    for tile in _tiles(made):
        tile[...] = fill_value
    return made


def _tiles(made: Value) -> list[Value]:
    if not isinstance(made, Blocks):
        return [made]
    return [made[block] for block in np.ndindex(made.counts)]


def zeros(
    shape: Sequence[int], dtype: Any, *, buffer: str | None = None, name: str = "", **options: Any
) -> Value:
    """A tensor of zeros; in PSUM, or `lazy_initialization`, none is written before it is read."""
    if buffer != "psum" and not options.get("lazy_initialization"):
        return full(shape, 0, dtype, buffer=buffer, name=name)
    flush()
    return _allocated(
        tuple(shape), dtype_of(dtype), Buffer("sbuf") if buffer is None else buffer, name, zero=True
    )


def ones(shape: Sequence[int], dtype: Any, *, buffer: str | None = None, name: str = "", **_: Any) -> Value:
    """A tensor of ones."""
    return full(shape, 1, dtype, buffer=buffer, name=name)


def zeros_like(x: Any, dtype: Any = None, *, buffer: str | None = None, name: str = "", **_: Any) -> Value:
    """A tensor of zeros of the shape of another."""
    tile = value(x)
    return zeros(tile.shape, dtype or tile.dtype, buffer=buffer or tile.buffer, name=name)


def shared_constant(constant: Any, dtype: Any = None, **_: Any) -> Value:
    """A NumPy array as an HBM tensor that is there before the kernel runs."""
    array = np.asarray(constant)
    return Tensor(language.shared_constant(array if dtype is None else array.astype(dtype_of(dtype))))


def shared_identity_matrix(n: int, dtype: Any = "uint8", **_: Any) -> Value:
    """The n x n identity as an HBM constant."""
    return shared_constant(np.eye(n), dtype)


def transpose(x: Any, *, dtype: Any = None, mask: Any = None) -> Value:
    """A tile transposed by TensorE."""
    return nc_transpose(x, mask=mask, dtype=dtype)


def expand_dims(x: Any, axis: int) -> Value:
    """A dimension of size one at `axis`."""
    shape = list(value(x).shape)
    shape.insert(axis % (len(shape) + 1), 1)
    return value(x).reshape(tuple(shape))


def static_cast(x: Any, dtype: Any) -> Value:
    """A copy as another dtype."""
    return elementwise.tensor_copy(x, dtype=dtype)


def program_id(axis: int = 0) -> int:
    """Place of this program in the launch grid; the core, where the launch has none."""
    found = state()
    current().launch.asks_core = True
    if not found.grid:
        return 0 if axis else current().core
    return _of_axis(found.place, axis)


def num_programs(axes: int = 0) -> int:
    """Programs of the launch grid along an axis."""
    found = state()
    current().launch.asks_core = True
    if not found.grid:
        return 1 if axes else current().launch.lnc
    return _of_axis(found.grid, axes)


def program_ndim() -> int:
    """Dimensions of the launch grid."""
    found = state()
    current().launch.asks_core = True
    return len(found.grid) if found.grid else int(current().launch.lnc > 1)


def _of_axis(values: tuple[int, ...], axis: int) -> int:
    if not 0 <= axis < len(values):
        raise refuse("grid", f"axis {axis} of a launch grid of {len(values)}", "launch it with more axes")
    return values[axis]


def __getattr__(name: str) -> Any:
    for table in (REDUCTIONS, FUNCTIONS, DTYPES, ALSO_DTYPES):
        if name in table:
            return table[name]
    if name == "bool":
        return DTYPES["bool_"]
    if name == "Tensor":
        return tensor
    raise not_executed("neuronxcc.nki.language", name)


__all__ = [
    "affine_range",
    "arange",
    "broadcast_to",
    "device_print",
    "ds",
    "hbm",
    "load",
    "load_transpose2d",
    "loop_reduce",
    "matmul",
    "mean",
    "mgrid",
    "nc",
    "par_dim",
    "private_hbm",
    "psum",
    "sbuf",
    "sequential_range",
    "shared_hbm",
    "spmd_dim",
    "static_range",
    "store",
    "tile_size",
]
