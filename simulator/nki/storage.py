"""The memory behind tensors, and how access patterns of the hardware land in it.

Source: NKI docs, "NKI Access Patterns" and nki.language.NkiTensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any, Literal

import numpy as np

from simulator.errors import KernelRefused
from simulator.nki.layout import Array, Box, Layout, packed
from simulator.trace import Memory

SHARED_BYTES = 64 << 20
"""Arrays above this are not copied when a kernel uses them, and may not be written by it."""
View = tuple[int, Layout]
"""First byte in its storage, and form."""
Pattern = tuple[tuple[int, int], ...]
"""(stride, count) of each dimension."""


class Storage:
    """The memory behind one allocation; `data` is made, or copied of an array that was there
    before the kernel runs, when something first computes with it.

    `filled` once every element holds a value; until then `written` are the views that were written whole and
    whether `marks`, of every element, has them, `boxes` are those of these views unless one left `gaps` in
    its box, and `touched` is how many elements were written.
    """

    __slots__ = (
        "_data",
        "_given",
        "_raw",
        "address",
        "boxes",
        "core",
        "filled",
        "gaps",
        "id",
        "layout",
        "marks",
        "memory",
        "name",
        "role",
        "source",
        "touched",
        "written",
    )

    def __init__(
        self,
        layout: Layout,
        name: str,
        core: int | None,
        given: Array | None = None,
        address: tuple[int, int] | None = None,
        source: int = 0,
    ) -> None:
        self.layout = layout
        self.memory: Memory = layout.memory
        self.name = name
        self.core = core
        self.role: Literal["input", "output", "scratch"] = "scratch"
        self.address = address
        self.source = source
        self.id = -1
        self.filled = given is not None
        self.written: dict[View, bool] = {}
        self.boxes: list[Box] = []
        self.gaps = False
        self.marks: Array | None = None
        self.touched = 0
        self._given = given
        self._data: Array | None = None
        self._raw: Array | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of a partition, or in HBM of the last dimension."""
        return self.layout.row_bytes

    @property
    def rows(self) -> int:
        """Partitions, or in HBM rows of the last dimension."""
        return self.layout.nbytes // self.row_bytes if self.row_bytes else 0

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
    return Storage(packed(data.shape, data.dtype, memory), name, core, given=data)


class Scatter:
    """Where an indirectly addressed view lies: flat element indices, and which partitions are in bounds.

    `cells` and `flat`, the elements they name, are made where something computes with them.
    """

    def __init__(
        self, storage: Storage, dtype: np.dtype[Any], inside: Array, cells: Callable[[], Array]
    ) -> None:
        self.dtype = dtype
        self.inside = inside
        self._storage = storage
        self._cells = cells

    @cached_property
    def cells(self) -> Array:
        """Flat index of every element; 0 in rows that are outside."""
        return self._cells()

    @cached_property
    def flat(self) -> Array:
        """The storage's elements."""
        return self._storage.data.reshape(-1).view(np.uint8).view(self.dtype)


def byte_strides(storage: Storage, pattern: Pattern, itemsize: int, row_bytes: int) -> tuple[int, ...]:
    """The strides of a pattern in bytes; on chip the first is from partition to partition.

    Given as the elements a partition of the tensor has, or of the view the pattern is taken of.
    """
    strides = tuple([stride * itemsize for stride, _ in pattern])
    if storage.memory == "hbm":
        return strides
    if pattern[0][1] == 1 or strides[0] == row_bytes:
        return (storage.row_bytes, *strides[1:])
    if strides[0] % storage.row_bytes:
        raise KernelRefused(
            f"the pattern steps {pattern[0][0]} elements over the partitions of {storage.name!r}, "
            f"which are {storage.row_bytes // itemsize} apart",
            "make the first stride the elements of one partition",
            rule="partition-step",
        )
    return strides


def gathered(storage: Storage, start: int, form: Layout, index: Array, step: int) -> Scatter:
    """Where row i of a view of a form lies that begins `index[i]` steps of `step` bytes after `start`.

    Several columns of indices count one after the other. A row any element of which lies outside the
    storage is outside.
    """
    which = index.T.reshape(-1)[: form.shape[0]].astype(np.int64)
    firsts = start + which * step
    steps = zip(form.strides[1:], form.shape[1:], strict=True)
    reach = sum([max(0, (count - 1) * stride) for stride, count in steps])
    inside = (which >= 0) & (firsts + reach + form.itemsize <= storage.layout.nbytes)
    return Scatter(storage, form.dtype, inside, lambda: _cells(firsts, form, inside))


def _cells(firsts: Array, form: Layout, inside: Array) -> Array:
    cells = firsts
    for stride, count in zip(form.strides[1:], form.shape[1:], strict=True):
        cells = cells[..., None] + np.arange(count) * stride
    kept = inside.reshape((-1,) + (1,) * (cells.ndim - 1))
    return np.where(kept, cells // form.itemsize, 0)


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
