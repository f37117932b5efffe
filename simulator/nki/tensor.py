"""Tensors as this machine holds them: NumPy views over storage, so that slicing one is slicing an array."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from simulator.errors import KernelRefused
from simulator.nki.dtypes import dtype_of
from simulator.nki.storage import (
    Array,
    Scatter,
    Storage,
    byte_strides,
    gathered,
    rearrangement,
    strided,
)
from simulator.trace import Region


class NkiTensor:
    """A view of a storage.

    `dynamic` says the address came from data, and `steered` are the regions that data was read from.
    """

    __slots__ = ("_start", "array", "buffer", "dynamic", "region", "rows", "steered", "storage")

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
        self._start = -1

    @property
    def start(self) -> int:
        """Bytes from the storage's first to the view's first, worked out once."""
        if self._start < 0:
            self._start = self.array.ctypes.data - self.storage.base
        return self._start

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
    def strides(self) -> tuple[int, ...]:
        """Elements from one index of each dimension to the next."""
        size = self.array.itemsize
        return tuple([stride // size for stride in self.array.strides])

    @property
    def offset(self) -> int:
        """Elements from the storage's first to the view's first."""
        return self.start // self.array.itemsize

    @property
    def base_tensor(self) -> NkiTensor:
        """The whole allocation; no documented name, public MX kernels read it of a reinterpreted weight."""
        return NkiTensor(self.storage, self.storage.data, self.buffer)

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
        on_chip = self.storage.memory != "hbm"
        if on_chip and key and isinstance(key[0], int | np.integer):
            key = (slice(key[0], key[0] + 1 or None), *key[1:])
        part = self.array[(*key, ...)] if Ellipsis not in key else self.array[key]
        while part.ndim < 1 + on_chip:
            part = part[..., None]
        return NkiTensor(self.storage, part, self.buffer, self.dynamic, self.steered)

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

    def select(self, dim: int, index: Any) -> NkiTensor:
        """One index of a dimension, which disappears; a tensor or register as index is read as it runs."""
        chosen = self[(*(slice(None),) * dim, _integer(index))]
        if isinstance(index, NkiTensor):
            chosen.steered, chosen.dynamic = (*self.steered, region_of(index)), True
        return chosen

    def vector_select(self, dim: int, vector_offset: NkiTensor) -> NkiTensor:
        """Row i of the view is the row of an HBM tensor that element i of `vector_offset` names."""
        if dim != 0 or self.storage.memory != "hbm":
            raise KernelRefused(
                f"vector_select on dimension {dim} of {self.storage.name!r}",
                "select on dimension 0 of an HBM tensor",
                rule="vector-select",
            )
        pattern = self.get_pattern()
        pattern[0][1] = vector_offset.shape[0]
        return self.ap(pattern, vector_offset=vector_offset)

    def is_indirect(self) -> bool:
        """Whether data chose where the view lies."""
        return self.dynamic

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

    def indirect(self, index: NkiTensor, num_elem: int | None = None) -> NkiTensor:  # noqa: ARG002
        """Gathering or scattering along the free dimension, which no public kernel does yet: refused."""
        raise KernelRefused(
            f"tensor indirection on {self.storage.name!r} is not executed by the simulator",
            "use nisa.nc_n_gather or nisa.local_gather, or profile on a device",
            rule="tensor-indirection",
        )

    def broadcast_to(self, shape: tuple[int, ...]) -> NkiTensor:
        """Dimensions of size one repeated to `shape`."""
        return self._view(lambda a: np.broadcast_to(a, tuple(shape)))

    def rearrange(
        self,
        src_pattern: tuple[Any, ...],
        dst_pattern: tuple[Any, ...],
        fixed_sizes: dict[str, int] | None = None,
    ) -> NkiTensor:
        """Dimensions split, reordered and merged by name: `(b, (h, w))` to `(b, w, h)`."""
        split, order, merged = rearrangement(self.shape, src_pattern, dst_pattern, fixed_sizes or {})
        return self.reshape(split).permute(order).reshape(merged)

    def ap(
        self,
        pattern: Sequence[Sequence[int]],
        offset: int | None = None,
        scalar_offset: Any = None,
        vector_offset: NkiTensor | None = None,
        indirect_dim: int = 0,
        dtype: Any = None,
    ) -> NkiTensor:
        """A hardware access pattern: [stride, count] pairs in elements of `dtype` from `offset`.

        A view that leaves its tensor is refused where it is used: kernels form some they never use.
        """
        kind = self.array.dtype if dtype is None else dtype_of(dtype)
        row_bytes = self.array[:1].nbytes
        strides = byte_strides(self.storage, pattern, kind.itemsize, row_bytes)
        start = self.start + (offset or 0) * kind.itemsize
        step = int(np.prod(self.shape[indirect_dim + 1 :], dtype=np.int64)) * self.array.itemsize
        steered, dynamic = self.steered, self.dynamic
        shape = tuple([int(count) for _, count in pattern])
        if vector_offset is not None:
            place = gathered(self.storage, kind, start, shape, strides, vector_offset.array, step)
            view = NkiTensor(
                self.storage, place.flat[place.cells], self.buffer, True, (region_of(vector_offset),)
            )
            view.rows = place
            return view
        if scalar_offset is not None:
            start += _integer(scalar_offset) * step
            dynamic = True
            if isinstance(scalar_offset, NkiTensor):
                steered = (*steered, region_of(scalar_offset))
        array = strided(self.storage, kind, start, shape, strides)
        if array is None:
            return Outside(self.storage, self.buffer, dynamic, steered)
        return NkiTensor(self.storage, array, self.buffer, dynamic, steered)

    def view(self, dtype: Any) -> NkiTensor:
        """The same bytes as another dtype."""
        other = dtype_of(dtype)
        return NkiTensor(self.storage, self.array.view(other), self.buffer, self.dynamic, self.steered)

    reinterpret_cast = view


class Outside(NkiTensor):
    """A view of what lies outside its tensor; refused where it is read or written."""

    __slots__ = ()

    def __init__(
        self, storage: Storage, buffer: str, dynamic: bool = False, steered: tuple[Region, ...] = ()
    ) -> None:
        self.storage = storage
        self.buffer = buffer
        self.dynamic = dynamic
        self.steered = steered
        self.rows = None
        self.region = None
        self._start = -1

    @property
    def array(self) -> Array:  # type: ignore[override]
        """There is none."""
        raise KernelRefused(
            f"the access pattern leaves tensor {self.storage.name!r}",
            "check offset, strides and counts",
            rule="bounds",
        )


def _integer(value: Any) -> int:
    """A number, a register's, or the one element of a tile."""
    return int(value.array.reshape(-1)[0]) if isinstance(value, NkiTensor) else int(value)


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
