"""Tensors as this machine holds them: a storage, a first byte and a form; NumPy views where one computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from operator import index
from typing import Any

import numpy as np

from simulator.errors import KernelRefused
from simulator.nki.dtypes import dtype_of
from simulator.nki.layout import Array, Layout, packed
from simulator.nki.storage import Scatter, Storage, byte_strides, gathered, rearrangement, strided
from simulator.trace import Region


class NkiTensor:
    """A view of a storage: the elements of a form that begins `start` bytes into it.

    `array` is that view of the storage's elements, made when first asked for. `dynamic` says the address came
    from data, and `steered` are the regions that data was read from. `rows` is where an indirect view lies.
    """

    __slots__ = ("array", "buffer", "dynamic", "layout", "start", "steered", "storage")
    array: Array
    rows: Scatter | None = None

    def __init__(
        self,
        storage: Storage,
        start: int,
        layout: Layout,
        buffer: str,
        dynamic: bool = False,
        steered: tuple[Region, ...] = (),
    ) -> None:
        self.storage = storage
        self.start = start
        self.layout = layout
        self.buffer = buffer
        self.dynamic = dynamic
        self.steered = steered

    def __getattr__(self, name: str) -> Any:
        """Make `array`, which is not there yet."""
        if name != "array":
            raise AttributeError(f"a tensor has no {name!r}", name=name, obj=self)
        self.array = made = self._elements()
        return made

    def _elements(self) -> Array:
        return self.storage.view(self.start, self.layout)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the view."""
        return self.layout.shape

    @property
    def ndim(self) -> int:
        """Dimensions of the view."""
        return self.layout.ndim

    @property
    def size(self) -> int:
        """Elements of the view."""
        return self.layout.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Element type of the view."""
        return self.layout.dtype

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements from one index of each dimension to the next."""
        size = self.layout.itemsize
        return tuple([stride // size for stride in self.layout.strides])

    @property
    def offset(self) -> int:
        """Elements from the storage's first to the view's first."""
        return self.start // self.layout.itemsize

    @property
    def base_tensor(self) -> NkiTensor:
        """The whole allocation; no documented name, public MX kernels read it of a reinterpreted weight."""
        return whole(self.storage, self.buffer)

    @property
    def name(self) -> str:
        """Name of the allocation."""
        return self.storage.name

    def _at(self, placed: tuple[int, Layout]) -> NkiTensor:
        offset, layout = placed
        return NkiTensor(self.storage, self.start + offset, layout, self.buffer, self.dynamic, self.steered)

    def changed(self, name: Any, change: Callable[[Array], Array]) -> NkiTensor:
        """The view NumPy makes of this one by `change`, which `name` stands for."""
        return self._at(self.layout.changed.get(name) or self.layout.change(name, change))

    def __getitem__(self, key: Any) -> NkiTensor:
        if type(key) is not tuple:
            key = (key,)
        parts = tuple(
            [
                (
                    None if part.start is None else index(part.start),
                    None if part.stop is None else index(part.stop),
                    None if part.step is None else index(part.step),
                )
                if type(part) is slice
                else (part if part is None or part is Ellipsis else index(part))
                for part in key
            ]
        )
        on_chip = self.storage.memory != "hbm"
        placed = self.layout.changed.get((on_chip, parts))
        if placed is None:
            _check_bounds(self, parts)
            placed = self.layout.change((on_chip, parts), lambda array: _part(array, parts, on_chip))
        return self._at(placed)

    def reshape(self, shape: tuple[int, ...]) -> NkiTensor:
        """The same elements in row-major order under another shape."""
        sizes = tuple(shape)
        return self.changed(("reshape", sizes), lambda a: _reshaped(a, sizes))

    def permute(self, dims: tuple[int, ...]) -> NkiTensor:
        """Dimensions in another order."""
        order = tuple(dims)
        return self.changed(("permute", order), lambda a: a.transpose(order))

    def expand_dim(self, dim: int) -> NkiTensor:
        """A dimension of size one at `dim`."""
        return self.changed(("expand", dim), lambda a: np.expand_dims(a, dim))

    def squeeze_dim(self, dim: int) -> NkiTensor:
        """Without the dimension of size one at `dim`."""
        return self.changed(("squeeze", dim), lambda a: np.squeeze(a, dim))

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
        known = prod([s for s in shape if s != -1])
        sizes = tuple(self.shape[dim] // known if s == -1 else s for s in shape)
        return self.reshape((*self.shape[:dim], *sizes, *self.shape[dim + 1 :]))

    def flatten_dims(self, start_dim: int, end_dim: int) -> NkiTensor:
        """Dimensions `start_dim` to `end_dim`, both included, as one."""
        merged = prod(self.shape[start_dim : end_dim + 1])
        return self.reshape((*self.shape[:start_dim], merged, *self.shape[end_dim + 1 :]))

    def is_contiguous(self) -> bool:
        """Whether the view's elements lie one after the other."""
        return self.layout.run == self.layout.nbytes

    def get_pattern(self) -> list[list[int]]:
        """[[stride, count], ...] in elements."""
        return [[stride, n] for n, stride in zip(self.shape, self.strides, strict=True)]

    def broadcast(self, dim: int, size: int) -> NkiTensor:
        """`dim` (of size one) repeated `size` times with stride zero."""
        return self.broadcast_to((*self.shape[:dim], size, *self.shape[dim + 1 :]))

    def indirect(self, index: NkiTensor, num_elem: int | None = None) -> NkiTensor:
        """The columns of a tile that `index` names, to be gathered or scattered (trn3)."""
        from simulator.nki.indirection import indirect

        return indirect(self, index, num_elem)

    def broadcast_to(self, shape: tuple[int, ...]) -> NkiTensor:
        """Dimensions of size one repeated to `shape`."""
        sizes = tuple(shape)
        return self.changed(("broadcast", sizes), lambda a: np.broadcast_to(a, sizes))

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
        kind = self.dtype if dtype is None else dtype_of(dtype)
        row_bytes = self.layout.free * self.layout.itemsize
        strides = byte_strides(self.storage, pattern, kind.itemsize, row_bytes)
        start = self.start + (offset or 0) * kind.itemsize
        step = prod(self.shape[indirect_dim + 1 :]) * self.layout.itemsize
        steered, dynamic = self.steered, self.dynamic
        shape = tuple([int(count) for _, count in pattern])
        if vector_offset is not None:
            place = gathered(self.storage, kind, start, shape, strides, vector_offset.array, step)
            steered = (region_of(vector_offset),)
            return Indirect(self.storage, start, packed(shape, kind), self.buffer, place, steered)
        if scalar_offset is not None:
            start += _integer(scalar_offset) * step
            dynamic = True
            if isinstance(scalar_offset, NkiTensor):
                steered = (*steered, region_of(scalar_offset))
        found = strided(self.storage, kind, start, shape, strides)
        if found is None:
            return Outside(self.storage, self.buffer, dynamic, steered)
        return NkiTensor(self.storage, start, found, self.buffer, dynamic, steered)

    def view(self, dtype: Any) -> NkiTensor:
        """The same bytes as another dtype."""
        other = dtype_of(dtype)
        return self.changed(("view", other), lambda a: a.view(other))

    reinterpret_cast = view


class Indirect(NkiTensor):
    """A view whose rows lie where data says."""

    __slots__ = ("rows",)

    def __init__(
        self,
        storage: Storage,
        start: int,
        layout: Layout,
        buffer: str,
        rows: Scatter,
        steered: tuple[Region, ...],
    ) -> None:
        super().__init__(storage, start, layout, buffer, dynamic=True, steered=steered)
        self.rows: Scatter = rows

    def _elements(self) -> Array:
        return self.rows.flat[self.rows.cells]


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

    def __getattr__(self, name: str) -> Any:
        """It has no place and no form."""
        raise KernelRefused(
            f"the access pattern leaves tensor {self.storage.name!r}",
            "check offset, strides and counts",
            rule="bounds",
        )


def whole(storage: Storage, buffer: str) -> NkiTensor:
    """All of an allocation."""
    return NkiTensor(storage, 0, storage.layout, buffer)


def _integer(value: Any) -> int:
    """A number, a register's, or the one element of a tile."""
    return int(value.array.reshape(-1)[0]) if isinstance(value, NkiTensor) else int(value)


def _part(array: Array, parts: tuple[Any, ...], on_chip: bool) -> Array:
    """What a key selects: on chip the partitions stay a dimension, and so does one free dimension."""
    key = [slice(*part) if isinstance(part, tuple) else part for part in parts]
    if on_chip and key and isinstance(key[0], int):
        key[0] = slice(key[0], key[0] + 1 or None)
    part = array[(*key, ...)] if Ellipsis not in key else array[tuple(key)]
    while part.ndim < 1 + on_chip:
        part = part[..., None]
    return part


def _check_bounds(tensor: NkiTensor, parts: tuple[Any, ...]) -> None:
    for size, part in zip(tensor.shape, parts, strict=False):
        if isinstance(part, tuple):
            stop = part[1]
            if stop is not None and stop > size:
                raise KernelRefused(
                    f"slice end {stop} is over {size} in tensor {tensor.name!r}",
                    "stay inside its shape",
                    rule="bounds",
                )
        elif isinstance(part, int) and not -size <= part < size:
            raise KernelRefused(
                f"index {part} is outside {size} in tensor {tensor.name!r}",
                "stay inside its shape",
                rule="bounds",
            )


def _reshaped(array: Array, shape: tuple[int, ...]) -> Array:
    known = prod([size for size in shape if size != -1])
    if array.size != known and (-1 not in shape or not known or array.size % known):
        raise ValueError(f"cannot reshape {array.size} elements into shape {shape}")
    try:
        return np.reshape(array, shape, copy=False)
    except ValueError:
        raise KernelRefused(
            "a reshape of this strided view would need a copy", "reshape before slicing", rule="reshape"
        ) from None


def region_of(tensor: NkiTensor) -> Region:
    """The bounding box of a view: exact unless the view is strided."""
    storage = tensor.storage
    if tensor.rows is not None:
        return Region(storage.id, 0, storage.rows, 0, storage.row_bytes)
    view = (tensor.start, tensor.layout)
    found = storage.regions.get(view)
    if found is None:
        box = tensor.layout.box(tensor.start, storage.row_bytes)
        found = storage.regions[view] = Region(storage.id, *box)
    return found
