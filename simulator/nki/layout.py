"""The form of a view: what it is apart from whose memory it is; what follows from it is worked out once.

What a kernel does a thousand times it does on few forms. A change of view is NumPy's own, asked on a stand-in
of the form that no memory lies behind, and remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from simulator.nki.dtypes import name_of
from simulator.trace import Memory

Array = np.ndarray[Any, Any]
Placed = tuple[int, "Layout"]
"""Bytes from a view's first element to that of a part of it, and the part's form."""
Box = tuple[int, int, int, int]
"""Rows from and to, and bytes of a row from and to, half-open."""
ENDLESS = 1 << 62
"""Bytes of an HBM tensor before its next partition: it has none."""


class Layout:
    """Form of a view; strides in bytes. Two views of one form differ in whose bytes they are, and which.

    `memory` is where its tensor lies, in rows of `row_bytes` (partitions on chip), and `row` the partition it
    begins on (0 in HBM). `partitions` is the first dimension and `free` the elements of each, `unit_step`
    whether the last dimension's elements are neighbours, `distinct` whether no two elements share bytes,
    `steers` whether they are integers, which may steer addresses.
    `span` is the bytes from the first element to the end of the last, `run` and `run_in_row` those of a
    contiguous piece over all dimensions and within the first. `changed` remembers changes of view by name,
    `boxes` the boxes of views by their start.
    """

    __slots__ = (
        "_extent",
        "boxes",
        "changed",
        "distinct",
        "dtype",
        "free",
        "itemsize",
        "memory",
        "name",
        "nbytes",
        "ndim",
        "partitions",
        "pitch",
        "row",
        "row_bytes",
        "run",
        "run_in_row",
        "shape",
        "size",
        "span",
        "steers",
        "strides",
        "unit_step",
    )

    def __init__(
        self,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        dtype: np.dtype[Any],
        memory: Memory,
        row_bytes: int,
        row: int,
    ) -> None:
        self.shape = shape
        self.strides = strides
        self.dtype = dtype
        self.memory: Memory = memory
        self.row_bytes = row_bytes
        self.pitch = ENDLESS if memory == "hbm" else row_bytes or 1
        self.row = row
        self.name = name_of(dtype)
        self.itemsize = dtype.itemsize
        self.ndim = len(shape)
        self.size = prod(shape)
        self.nbytes = self.size * dtype.itemsize
        last = sum([(n - 1) * stride for n, stride in zip(shape, strides, strict=True)])
        self.span = last + dtype.itemsize if self.size else 0
        self.partitions = shape[0] if shape else 1
        self.free = self.size // shape[0] if shape and shape[0] else self.size
        self.unit_step = len(shape) < 2 or shape[-1] == 1 or strides[-1] == dtype.itemsize
        self.steers = dtype.kind in "iub"
        self.distinct = _distinct(shape, strides, dtype.itemsize)
        self.run = _run(shape, strides, dtype.itemsize)
        self.run_in_row = _run(shape[1:], strides[1:], dtype.itemsize)
        self.changed: dict[Hashable, Placed] = {}
        self.boxes: dict[int, Box] = {}
        self._extent: tuple[int, int] | None = None

    def at(self, row: int) -> Layout:
        """The same form beginning on another partition."""
        return layout(self.shape, self.strides, self.dtype, self.memory, self.row_bytes, row)

    def of(self, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any]) -> Layout:
        """Another form of a view of the same memory."""
        return layout(shape, strides, dtype, self.memory, self.row_bytes, self.row)

    def change(self, name: Hashable, make: Callable[[Array], Array]) -> Placed:
        """Where the view lies that `make` gives of an array of this form. `make` must not touch elements."""
        stand_in = as_strided(np.zeros(1, self.dtype), self.shape, self.strides)
        view = make(stand_in)
        offset = view.ctypes.data - stand_in.ctypes.data
        found = self.changed[name] = (offset, self.of(view.shape, view.strides, view.dtype))
        return found

    def box(self, start: int) -> Box:
        """(row0, row1, byte0, byte1) of a view of this form that begins `start` bytes into its storage."""
        if self._extent is None:
            self._extent = self._measured()
        rows, inner = self._extent
        row_bytes = self.row_bytes
        row0, byte0 = divmod(start, row_bytes)
        if byte0 + inner <= row_bytes:
            box = row0, row0 + rows + 1, byte0, byte0 + inner
        else:
            box = row0, (start + inner - 1) // row_bytes + rows + 1, 0, row_bytes
        self.boxes[start] = box
        return box

    def _measured(self) -> tuple[int, int]:
        """Rows after the first, and bytes in a row."""
        rows, inner = 0, self.itemsize
        for size, stride in zip(self.shape, self.strides, strict=True):
            if stride >= self.row_bytes and stride % self.row_bytes == 0:
                rows += (size - 1) * (stride // self.row_bytes)
            else:
                inner += (size - 1) * stride
        return rows, inner


@lru_cache(maxsize=1 << 14)
def layout(
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    dtype: np.dtype[Any],
    memory: Memory,
    row_bytes: int,
    row: int = 0,
) -> Layout:
    """The form with this shape, these strides in bytes and this element type, in such a memory."""
    return Layout(shape, strides, dtype, memory, row_bytes, row)


@lru_cache(maxsize=1 << 12)
def packed(shape: tuple[int, ...], dtype: np.dtype[Any], memory: Memory) -> Layout:
    """The form of a whole allocation, row-major; a row is a partition, or HBM's last dimension."""
    strides = row_major(shape, dtype.itemsize)
    if memory == "hbm":
        return layout(shape, strides, dtype, memory, (shape[-1] if shape else 1) * dtype.itemsize)
    return layout(shape, strides, dtype, memory, prod(shape[1:]) * dtype.itemsize if 0 not in shape else 0)


def row_major(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The strides in bytes of an array without gaps."""
    strides = [itemsize]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * max(1, size))
    return tuple(reversed(strides[: len(shape)]))


def _distinct(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> bool:
    """Whether each stride steps over all that lies in the dimensions of smaller strides."""
    reach = itemsize
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size > 1:
            if stride < reach:
                return False
            reach = stride * (size - 1) + reach
    return True


def _run(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> int:
    """Bytes of one contiguous piece, from the last dimension inwards."""
    run = itemsize
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size == 1:
            continue
        if stride != run:
            break
        run *= size
    return run
