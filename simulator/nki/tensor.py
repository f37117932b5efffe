"""Tensors as this machine holds them: NumPy views over storage, so that slicing one is slicing an array."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided

from simulator.errors import KernelRefused
from simulator.nki.dtypes import dtype_of
from simulator.trace import Memory, Region

Array = np.ndarray[Any, Any]


class Storage:
    """The memory behind one allocation.

    `filled` once every element holds a value; until then `marks` are the elements that do (None: none), and
    `touched` how many writes they took.
    """

    __slots__ = (
        "address",
        "base",
        "core",
        "data",
        "filled",
        "id",
        "marks",
        "memory",
        "name",
        "role",
        "row_bytes",
        "rows",
        "source",
        "touched",
    )

    def __init__(self, data: Array, memory: Memory, name: str, *, filled: bool, core: int | None) -> None:
        self.data = data
        self.base: int = data.ctypes.data
        self.memory: Memory = memory
        self.name = name
        self.core = core
        self.role: Literal["input", "output", "scratch"] = "scratch"
        self.address: tuple[int, int] | None = None
        self.source = 0
        self.id = -1
        if memory == "hbm":
            self.row_bytes = (data.shape[-1] if data.ndim else 1) * data.itemsize
            self.rows = data.nbytes // self.row_bytes if self.row_bytes else 0
        else:
            self.rows = data.shape[0]
            self.row_bytes = data.nbytes // self.rows if self.rows else 0
        self.filled = filled
        self.marks: Array | None = None
        self.touched = 0


class Scatter:
    """Where an indirectly addressed view lives: flat element indices, and which partitions are in bounds."""

    __slots__ = ("cells", "flat", "inside")

    def __init__(self, cells: Array, inside: Array, flat: Array) -> None:
        self.cells = cells
        self.inside = inside
        self.flat = flat


class NkiTensor:
    """A view of a storage.

    `dynamic` says the address came from data, and `steered` are the regions that data was read from.
    """

    __slots__ = ("array", "buffer", "dynamic", "offset", "region", "rows", "steered", "storage")

    def __init__(
        self,
        storage: Storage,
        array: Array,
        buffer: str,
        dynamic: bool = False,
        steered: tuple[Region, ...] = (),
    ) -> None:
        self.storage = storage
        self.array = array
        self.buffer = buffer
        self.dynamic = dynamic
        self.steered = steered
        self.rows: Scatter | None = None
        self.region: Region | None = None
        self.offset = -1

    @property
    def start(self) -> int:
        """Bytes from the storage's first to the view's first, worked out once."""
        if self.offset < 0:
            self.offset = self.array.ctypes.data - self.storage.base
        return self.offset

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the view."""
        shape: tuple[int, ...] = self.array.shape
        return shape

    @property
    def ndim(self) -> int:
        """Dimensions of the view."""
        return self.array.ndim

    @property
    def size(self) -> int:
        """Elements of the view."""
        return int(self.array.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of the view."""
        dtype: np.dtype[Any] = self.array.dtype
        return dtype

    @property
    def name(self) -> str:
        """Name of the allocation."""
        return self.storage.name

    def _view(self, change: Any) -> NkiTensor:
        return NkiTensor(self.storage, change(self.array), self.buffer, self.dynamic, self.steered)

    def __getitem__(self, key: Any) -> NkiTensor:
        if not isinstance(key, tuple):
            key = (key,)
        _check_bounds(self, key)
        return NkiTensor(self.storage, self.array[key], self.buffer, self.dynamic, self.steered)

    def reshape(self, shape: tuple[int, ...]) -> NkiTensor:
        """The same elements in row-major order under another shape."""
        return self._view(lambda a: _reshaped(a, tuple(shape)))

    def permute(self, dims: tuple[int, ...]) -> NkiTensor:
        """Dimensions in another order."""
        return self._view(lambda a: a.transpose(dims))

    def expand_dim(self, dim: int) -> NkiTensor:
        """A dimension of size one at `dim`."""
        return self._view(lambda a: np.expand_dims(a, dim))

    def squeeze_dim(self, dim: int) -> NkiTensor:
        """Without the dimension of size one at `dim`."""
        return self._view(lambda a: np.squeeze(a, dim))

    def slice(self, dim: int, start: int, end: int, step: int = 1) -> NkiTensor:
        """`start:end:step` of one dimension."""
        return self[(*(slice(None),) * dim, slice(start, end, step))]

    def select(self, dim: int, index: int) -> NkiTensor:
        """One index of a dimension, which disappears."""
        return self[(*(slice(None),) * dim, int(index))]

    def reshape_dim(self, dim: int, shape: tuple[int, ...]) -> NkiTensor:
        """One dimension split into several; -1 is inferred."""
        known = int(np.prod([s for s in shape if s != -1], dtype=np.int64))
        sizes = tuple(self.shape[dim] // known if s == -1 else s for s in shape)
        return self.reshape((*self.shape[:dim], *sizes, *self.shape[dim + 1 :]))

    def flatten_dims(self, start_dim: int, end_dim: int) -> NkiTensor:
        """Dimensions `start_dim` to `end_dim`, both included, as one."""
        merged = int(np.prod(self.shape[start_dim : end_dim + 1], dtype=np.int64))
        return self.reshape((*self.shape[:start_dim], merged, *self.shape[end_dim + 1 :]))

    def is_contiguous(self) -> bool:
        """Whether the view's elements lie one after the other."""
        return bool(self.array.flags.c_contiguous)

    def get_pattern(self) -> list[list[int]]:
        """[[stride, count], ...] in elements."""
        size = self.array.itemsize
        return [[stride // size, n] for n, stride in zip(self.shape, self.array.strides, strict=True)]

    def broadcast(self, dim: int, size: int) -> NkiTensor:
        """`dim` (of size one) repeated `size` times with stride zero."""
        shape = (*self.shape[:dim], size, *self.shape[dim + 1 :])
        return self._view(lambda a: np.broadcast_to(a, shape))

    def ap(
        self,
        pattern: list[list[int]],
        offset: int | None = None,
        scalar_offset: NkiTensor | None = None,
        vector_offset: NkiTensor | None = None,
        indirect_dim: int = 0,
        dtype: Any = None,
    ) -> NkiTensor:
        """A hardware access pattern: [stride, count] pairs in elements from `offset`."""
        storage, itemsize = self.storage, self.array.itemsize
        start = self.start
        steered, dynamic = self.steered, self.dynamic
        if storage.memory == "hbm":
            strides = [stride * itemsize for stride, _ in pattern]
            start += (offset or 0) * itemsize
        else:
            free = storage.row_bytes // itemsize
            strides = [storage.row_bytes, *(stride * itemsize for stride, _ in pattern[1:])]
            start += (offset or 0) // free * storage.row_bytes + (offset or 0) % free * itemsize
        if scalar_offset is not None:
            step = int(np.prod(self.shape[indirect_dim + 1 :], dtype=np.int64))
            start += int(scalar_offset.array.reshape(-1)[0]) * step * itemsize
            steered, dynamic = (*steered, region_of(scalar_offset)), True
        shape = tuple(count for _, count in pattern)
        if vector_offset is not None:
            return self._gathered(start, shape, strides, vector_offset, indirect_dim)
        end = start + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + itemsize
        if start < 0 or end > storage.data.nbytes:
            raise KernelRefused(
                f"the access pattern leaves tensor {storage.name!r}",
                "check offset, strides and counts",
                rule="bounds",
            )
        flat = storage.data.view(np.uint8).reshape(-1)[start : start + itemsize].view(self.array.dtype)
        view = NkiTensor(storage, as_strided(flat, shape, strides), self.buffer, dynamic, steered)
        return view if dtype is None else view.view(dtype)

    def _gathered(
        self,
        start: int,
        shape: tuple[int, ...],
        strides: list[int],
        vector_offset: NkiTensor,
        indirect_dim: int,
    ) -> NkiTensor:
        """Partition i of the view is at the row that element i of `vector_offset` names."""
        storage, itemsize = self.storage, self.array.itemsize
        step = int(np.prod(self.shape[indirect_dim + 1 :], dtype=np.int64)) * itemsize
        index = vector_offset.array.reshape(-1).astype(np.int64)[: shape[0]]
        cells = start + index * step
        for stride, count in zip(strides[1:], shape[1:], strict=True):
            cells = cells[..., None] + np.arange(count) * stride
        inside = (index >= 0) & (index < self.shape[indirect_dim])
        flat = storage.data.view(np.uint8).reshape(-1).view(self.array.dtype)
        cells = np.where(inside.reshape((-1,) + (1,) * (len(shape) - 1)), cells // itemsize, 0)
        view = NkiTensor(storage, flat[cells], self.buffer, True, (region_of(vector_offset),))
        view.rows = Scatter(cells, inside, flat)
        return view

    def view(self, dtype: Any) -> NkiTensor:
        """The same bytes as another dtype."""
        other = dtype_of(dtype)
        return NkiTensor(self.storage, self.array.view(other), self.buffer, self.dynamic, self.steered)


def _check_bounds(tensor: NkiTensor, key: tuple[Any, ...]) -> None:
    for size, part in zip(tensor.array.shape, key, strict=False):
        if isinstance(part, slice):
            stop = part.stop
            if stop is not None and stop > size:
                raise KernelRefused(
                    f"slice end {stop} is over {size} in tensor {tensor.name!r}",
                    "stay inside its shape",
                    rule="bounds",
                )
        elif isinstance(part, int | np.integer) and not -size <= part < size:
            raise KernelRefused(
                f"index {part} is outside {size} in tensor {tensor.name!r}",
                "stay inside its shape",
                rule="bounds",
            )


def _reshaped(array: Array, shape: tuple[int, ...]) -> Array:
    view = array.reshape(shape)
    if not np.shares_memory(view, array) and array.size:
        raise KernelRefused(
            "a reshape of this strided view would need a copy", "reshape before slicing", rule="reshape"
        )
    return view


def region_of(tensor: NkiTensor) -> Region:
    """The bounding box of a view, worked out once: exact unless the view is strided."""
    if tensor.region is None:
        tensor.region = _bounding_box(tensor)
    return tensor.region


def _bounding_box(tensor: NkiTensor) -> Region:
    storage, array = tensor.storage, tensor.array
    if tensor.rows is not None:
        return Region(storage.id, 0, storage.rows, 0, storage.row_bytes)
    box = _box(tensor.start, array.itemsize, array.shape, array.strides, storage.row_bytes)
    return Region(storage.id, *box)


@lru_cache(maxsize=4096)
def _box(
    start: int, itemsize: int, shape: tuple[int, ...], strides: tuple[int, ...], row_bytes: int
) -> tuple[int, int, int, int]:
    """(row0, row1, byte0, byte1) of a strided view that begins `start` bytes into its storage."""
    rows = 0
    inner = itemsize
    for size, stride in zip(shape, strides, strict=True):
        if stride >= row_bytes and stride % row_bytes == 0:
            rows += (size - 1) * (stride // row_bytes)
        else:
            inner += (size - 1) * stride
    row0, byte0 = divmod(start, row_bytes)
    if byte0 + inner <= row_bytes:
        return row0, row0 + rows + 1, byte0, byte0 + inner
    return row0, (start + inner - 1) // row_bytes + rows + 1, 0, row_bytes
