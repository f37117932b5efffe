"""The memory behind tensors, and how access patterns of the hardware land in it.

Source: NKI docs, "NKI Access Patterns" and nki.language.NkiTensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Literal

import numpy as np

from simulator.errors import KernelRefused
from simulator.nki.layout import Array, Layout, layout, layout_of
from simulator.trace import Memory, Region

SHARED_BYTES = 64 << 20
"""Arrays above this are not copied when a kernel uses them, and may not be written by it."""
View = tuple[int, Layout]
"""First byte in its storage, and form."""


class Storage:
    """The memory behind one allocation; `data` is made, or copied of an array that was there
    before the kernel runs, when something first computes with it.

    `filled` once every element holds a value; until then `written` are the views that were written whole and
    whether `marks`, of every element, has them, and `touched` is how many elements were written. `regions`
    remembers the boxes of views.
    """

    __slots__ = (
        "_data",
        "_given",
        "_raw",
        "address",
        "core",
        "filled",
        "id",
        "layout",
        "marks",
        "memory",
        "name",
        "regions",
        "role",
        "row_bytes",
        "rows",
        "source",
        "touched",
        "written",
    )

    def __init__(
        self,
        layout: Layout,
        memory: Memory,
        name: str,
        *,
        core: int | None,
        given: Array | None = None,
    ) -> None:
        self.layout = layout
        self.memory: Memory = memory
        self.name = name
        self.core = core
        self.role: Literal["input", "output", "scratch"] = "scratch"
        self.address: tuple[int, int] | None = None
        self.source = 0
        self.id = -1
        if memory == "hbm":
            self.row_bytes = (layout.shape[-1] if layout.shape else 1) * layout.itemsize
            self.rows = layout.nbytes // self.row_bytes if self.row_bytes else 0
        else:
            self.rows = layout.shape[0]
            self.row_bytes = layout.nbytes // self.rows if self.rows else 0
        self.filled = given is not None
        self.written: dict[View, bool] = {}
        self.marks: Array | None = None
        self.touched = 0
        self.regions: dict[View, Region] = {}
        self._given = given
        self._data: Array | None = None
        self._raw: Array | None = None

    @property
    def data(self) -> Array:
        """The elements: a copy of what was given, zeros where nothing was."""
        if self._data is None:
            if self._given is None:
                self._data = np.zeros(self.layout.shape, self.layout.dtype)
            elif self._given.nbytes <= SHARED_BYTES:
                self._data = self._given.copy()
            else:
                self._data = self._given.view()
                self._data.flags.writeable = False
        return self._data

    def view(self, start: int, layout: Layout) -> Array:
        """The elements of a form that begins `start` bytes into the memory."""
        if self._raw is None:
            self._raw = self.data.reshape(-1).view(np.uint8)
        return np.ndarray(
            layout.shape, layout.dtype, self._raw if layout.size else None, start, layout.strides
        )


def given(data: Array, memory: Memory, name: str, core: int | None) -> Storage:
    """The memory of an array that is there before the kernel runs."""
    return Storage(layout_of(data), memory, name, core=core, given=data)


class Scatter:
    """Where an indirectly addressed view lives: flat element indices, and which partitions are in bounds."""

    __slots__ = ("cells", "flat", "inside")

    def __init__(self, cells: Array, inside: Array, flat: Array) -> None:
        self.cells = cells
        self.inside = inside
        self.flat = flat


def byte_strides(
    storage: Storage, pattern: Sequence[Sequence[int]], itemsize: int, row_bytes: int
) -> list[int]:
    """The strides of a pattern in bytes; on chip the first is from partition to partition.

    Given as the elements a partition of the tensor has, or of the view the pattern is taken of.
    """
    strides = [int(stride) * itemsize for stride, _ in pattern]
    if storage.memory == "hbm":
        return strides
    if pattern[0][1] == 1 or strides[0] == row_bytes:
        strides[0] = storage.row_bytes
    elif strides[0] % storage.row_bytes:
        raise KernelRefused(
            f"the pattern steps {pattern[0][0]} elements over the partitions of {storage.name!r}, "
            f"which are {storage.row_bytes // itemsize} apart",
            "make the first stride the elements of one partition",
            rule="partition-step",
        )
    return strides


def strided(
    storage: Storage, dtype: np.dtype[Any], start: int, shape: tuple[int, ...], strides: list[int]
) -> Layout | None:
    """The form of a view `start` bytes into the storage, or None where it leaves it."""
    last = start + sum([(n - 1) * s for n, s in zip(shape, strides, strict=True)])
    if start < 0 or last + dtype.itemsize > storage.layout.nbytes:
        return None
    return layout(shape, tuple(strides), dtype)


def gathered(
    storage: Storage,
    dtype: np.dtype[Any],
    start: int,
    shape: tuple[int, ...],
    strides: list[int],
    index: Array,
    step: int,
) -> Scatter:
    """Where row i of a view lies that begins `index[i]` steps of `step` bytes after `start`.

    Several columns of indices count one after the other. A row any element of which lies outside the
    storage is outside.
    """
    which = index.T.reshape(-1)[: shape[0]].astype(np.int64)
    cells = start + which * step
    for stride, count in zip(strides[1:], shape[1:], strict=True):
        cells = cells[..., None] + np.arange(count) * stride
    rows = cells.reshape(shape[0], -1)
    inside = (which >= 0) & (rows.max(axis=1) + dtype.itemsize <= storage.layout.nbytes)
    flat = storage.data.reshape(-1).view(np.uint8).view(dtype)
    kept = inside.reshape((-1,) + (1,) * (len(shape) - 1))
    return Scatter(np.where(kept, cells // dtype.itemsize, 0), inside, flat)


def rearrangement(
    shape: tuple[int, ...],
    source: Sequence[str | Sequence[str]],
    target: Sequence[str | Sequence[str]],
    known: Mapping[str, int],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """(sizes split, their new order, sizes merged) of an einops-like rearrangement."""
    sizes = dict(known)
    for group, size in zip(source, shape, strict=True):
        names = (group,) if isinstance(group, str) else tuple(group)
        unknown = [name for name in names if name not in sizes]
        given = prod([sizes[name] for name in names if name in sizes])
        if len(unknown) > 1 or (size % given if unknown else size != given):
            raise KernelRefused(
                f"dimension {group} of size {size} does not split with {dict(known)}",
                "give all sizes of a group but one in fixed_sizes",
                rule="rearrange",
            )
        for name in unknown:
            sizes[name] = size // given
    before, after = _names(source), _names(target)
    if sorted(before) != sorted(after):
        raise KernelRefused(
            f"rearrange names {before} on one side and {after} on the other",
            "name the same dimensions on both",
            rule="rearrange",
        )
    merged = [sizes[group] if isinstance(group, str) else prod([sizes[n] for n in group]) for group in target]
    return tuple(sizes[n] for n in before), tuple(before.index(n) for n in after), tuple(merged)


def _names(pattern: Sequence[str | Sequence[str]]) -> list[str]:
    return [name for group in pattern for name in ((group,) if isinstance(group, str) else group)]
