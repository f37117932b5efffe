"""Tensors as this machine holds them: a storage, a first byte and a form; NumPy views where one computes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from math import prod
from operator import attrgetter, index
from typing import Any

import numpy as np

from simulator.errors import KernelRefused
from simulator.nki.dtypes import dtype_of
from simulator.nki.layout import Array, Layout, Placed, row_major
from simulator.nki.storage import Pattern, Scatter, Storage, byte_strides, gathered, rearrangement
from simulator.trace import Region

ANY_SIZE = 1 << 40
"""Slices are told apart as they would be in a dimension of this size, whatever that of the tensor is."""
FORM = attrgetter("layout")
_region = partial(tuple.__new__, Region)


class NkiTensor:
    """A view of a storage: the elements of a form that begins `start` bytes into it.

    A view never changes, so its parts are made once. `array` is its NumPy view of the storage's elements,
    made when first asked for, and `region` its box of bytes, once `located` said it. `dynamic` says the
    address came from data, and `steered` are the regions that data was read from. `rows` is where an indirect
    view lies. `written` once every element is known to hold a value.
    """

    __slots__ = (
        *("array", "buffer", "dynamic", "layout", "parts", "region", "start", "steered", "storage"),
        "written",
    )
    array: Array
    rows: Scatter | None = None
    broadcasts = False

    def __init__(
        self,
        storage: Storage,
        start: int,
        layout: Layout,
        buffer: str,
        dynamic: bool = False,
        steered: tuple[Region, ...] = (),
    ) -> None:
        row = start // layout.pitch
        self.storage = storage
        self.start = start
        self.layout = layout if row == layout.row else layout.at(row)
        self.buffer = buffer
        self.dynamic = dynamic
        self.steered = steered
        self.written = storage.filled
        self.region: Region | None = None
        self.parts: dict[Any, NkiTensor] | None = None

    def __getattr__(self, name: str) -> Any:
        """Make `array`, which is not there yet."""
        if name != "array":
            raise AttributeError(f"a tensor has no {name!r}", name=name, obj=self)
        self.array = made = self._elements()
        return made

    def located(self) -> Region:
        """The bounding box, exact unless the view is strided; of an indirect view its tensor."""
        layout, start = self.layout, self.start
        if self.rows is None:
            box = layout.boxes.get(start) or layout.box(start)
        else:
            box = (0, self.storage.rows, 0, self.storage.row_bytes)
        self.region = region = _region((self.storage.id, *box))
        return region

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

    def changed(self, name: Hashable, change: Callable[[Array], Array]) -> NkiTensor:
        """The view NumPy makes of this one by `change`, which `name` stands for."""
        parts = self.parts
        if parts is None:
            parts = self.parts = {}
        elif name in parts:
            return parts[name]
        offset, layout = self.layout.changed.get(name) or self.layout.change(name, change)
        kind = Broadcast if self.broadcasts else NkiTensor
        found = parts[name] = kind(
            self.storage, self.start + offset, layout, self.buffer, self.dynamic, self.steered
        )
        return found

    def __getitem__(self, key: Any) -> NkiTensor:
        if type(key) is not tuple:
            key = (key,)
        kinds: list[Any] = []
        for part in key:
            if type(part) is slice:
                kinds.append(part.indices(ANY_SIZE))
            else:
                kinds.append(part if part is None or part is Ellipsis else index(part))
        name = tuple(kinds)
        parts = self.parts
        if parts is None:
            parts = self.parts = {}
        found = parts.get(name)
        if found is None:
            offset, layout = self.layout.changed.get(name) or self._part(name, key)
            kind = Broadcast if self.broadcasts else NkiTensor
            found = parts[name] = kind(
                self.storage, self.start + offset, layout, self.buffer, self.dynamic, self.steered
            )
        return found

    def _part(self, name: tuple[Any, ...], key: tuple[Any, ...]) -> Placed:
        parts, on_chip = _checked(self, key), self.layout.memory != "hbm"
        return self.layout.change(name, lambda array: _part(array, parts, on_chip))

    def __setitem__(self, key: Any, value: Any) -> None:
        """Assignment, which no documented instruction stands for."""
        raise KernelRefused(
            f"{self.name!r} is assigned to by index",
            "use nisa.tensor_copy or nisa.dma_copy",
            rule="assignment",
        )

    def _keep_partitions(self, call: str, kept: bool) -> None:
        """On chip the first dimension is the partitions, which no view changes (NKI docs, NkiTensor)."""
        if not kept and self.storage.memory != "hbm":
            raise KernelRefused(
                f"{call} of {self.name!r} would change its partitions, the first dimension of {self.shape}",
                "change free dimensions alone, or move the data (nc_transpose, dma_copy)",
                rule="partition-view",
            )

    def reshape(self, shape: tuple[int, ...]) -> NkiTensor:
        """The same elements in row-major order under another shape."""
        sizes = tuple(shape)
        self._keep_partitions("reshape", bool(sizes) and sizes[0] in (self.layout.partitions, -1))
        return self.changed(("reshape", sizes), lambda a: _reshaped(a, sizes))

    def permute(self, dims: tuple[int, ...]) -> NkiTensor:
        """Dimensions in another order."""
        order = tuple(dims)
        self._keep_partitions("permute", order[:1] == (0,))
        return self.changed(("permute", order), lambda a: a.transpose(order))

    def expand_dim(self, dim: int) -> NkiTensor:
        """A dimension of size one at `dim`."""
        self._keep_partitions("expand_dim", dim != 0)
        return self.changed(("expand", dim), lambda a: np.expand_dims(a, dim))

    def squeeze_dim(self, dim: int) -> NkiTensor:
        """Without the dimension of size one at `dim`."""
        self._keep_partitions("squeeze_dim", dim != 0)
        return self.changed(("squeeze", dim), lambda a: np.squeeze(a, dim))

    def slice(self, dim: int, start: int, end: int, step: int = 1) -> NkiTensor:
        """`start:end:step` of one dimension."""
        return self[(*(slice(None),) * dim, slice(start, end, step))]

    def select(self, dim: int, index: Any) -> NkiTensor:
        """One index of a dimension, which disappears; a tensor or register as index is read as it runs."""
        part = self[(*(slice(None),) * dim, _integer(index))]
        if not isinstance(index, NkiTensor):
            return part
        return NkiTensor(
            self.storage, part.start, part.layout, self.buffer, True, (*self.steered, index.located())
        )

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
        view = self.changed(("broadcast", sizes), lambda a: np.broadcast_to(a, sizes))
        if not view.broadcasts:
            view = Broadcast(view.storage, view.start, view.layout, view.buffer, view.dynamic, view.steered)
            (self.parts or {})["broadcast", sizes] = view
        return view

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
        pairs = tuple([(int(stride), int(count)) for stride, count in pattern])
        name = (pairs, kind, indirect_dim)
        step, form = self.layout.changed.get(name) or self._pattern(name)
        start = self.start + (offset or 0) * kind.itemsize
        steered, dynamic = self.steered, self.dynamic
        if vector_offset is not None:
            rows = gathered(self.storage, start, form, vector_offset.array, step)
            gapless = form.of(form.shape, row_major(form.shape, form.itemsize), kind)
            return Indirect(self.storage, start, gapless, self.buffer, rows, (vector_offset.located(),))
        if scalar_offset is not None:
            start += _integer(scalar_offset) * step
            dynamic = True
            if isinstance(scalar_offset, NkiTensor):
                steered = (*steered, scalar_offset.region or scalar_offset.located())
        if start < 0 or start + form.span > self.storage.layout.nbytes:
            return Outside(self.storage, self.buffer, dynamic, steered)
        return NkiTensor(self.storage, start, form, self.buffer, dynamic, steered)

    def _pattern(self, name: tuple[Pattern, np.dtype[Any], int]) -> Placed:
        """Bytes from index to index of the dimension that is addressed indirectly, and the pattern's form."""
        pairs, kind, dim = name
        layout = self.layout
        strides = byte_strides(self.storage, pairs, kind.itemsize, layout.free * layout.itemsize)
        step = prod(layout.shape[dim + 1 :]) * layout.itemsize
        form = layout.of(tuple([count for _, count in pairs]), strides, kind)
        found = layout.changed[name] = (step, form)
        return found

    def view(self, dtype: Any) -> NkiTensor:
        """The same bytes as another dtype."""
        other = dtype_of(dtype)
        return self.changed(("view", other), lambda a: a.view(other))

    reinterpret_cast = view


class Broadcast(NkiTensor):
    """A view that repeats elements, to be read; `ap` may repeat what it writes, to throw it away."""

    __slots__ = ()
    broadcasts = True


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


def tensors(*values: Any) -> tuple[NkiTensor, ...]:
    """Those operands that are tiles."""
    return tuple([v for v in values if isinstance(v, NkiTensor)])


def _integer(value: Any) -> int:
    """A number, a register's, or the one element of a tile."""
    return int(value.array.item(0)) if isinstance(value, NkiTensor) else int(value)


def _part(array: Array, parts: list[Any], on_chip: bool) -> Array:
    """What a key selects: on chip the partitions stay a dimension, and so does one free dimension."""
    if on_chip and parts and isinstance(parts[0], int):
        parts[0] = slice(parts[0], parts[0] + 1 or None)
    part = array[(*parts, ...)] if Ellipsis not in parts else array[tuple(parts)]
    while part.ndim < 1 + on_chip:
        part = part[..., None]
    return part


def _checked(tensor: NkiTensor, key: tuple[Any, ...]) -> list[Any]:
    """A key of integers and slices of integers, inside the tensor's shape."""
    parts = [
        slice(*[None if end is None else index(end) for end in (part.start, part.stop, part.step)])
        if type(part) is slice
        else (part if part is None or part is Ellipsis else index(part))
        for part in key
    ]
    for size, part in zip(tensor.shape, parts, strict=False):
        if isinstance(part, slice):
            if part.stop is not None and part.stop > size:
                raise KernelRefused(
                    f"slice end {part.stop} is over {size} in tensor {tensor.name!r}",
                    "stay inside its shape",
                    rule="bounds",
                )
        elif isinstance(part, int) and not -size <= part < size:
            raise KernelRefused(
                f"index {part} is outside {size} in tensor {tensor.name!r}",
                "stay inside its shape",
                rule="bounds",
            )
    return parts


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
