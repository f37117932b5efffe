"""The form of a view: shape, strides, element type, and what follows from them, worked out once for each.

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

Array = np.ndarray[Any, Any]
Placed = tuple[int, "Layout"]
"""Bytes from a view's first element to that of a part of it, and the part's form."""


class Layout:
    """Form of a view; strides in bytes.

    `partitions` is the first dimension and `free` the elements of each, `unit_step` whether the last
    dimension's elements are neighbours, `repeats` whether several elements are one in memory, `steers`
    whether they are integers, which may steer addresses. `span` is the bytes from the first element to the
    end of the last, `run` and `run_in_row` those of a contiguous piece over all dimensions and within the
    first. `changed` remembers changes of view by name.
    """

    __slots__ = (
        "changed",
        "dtype",
        "extents",
        "free",
        "itemsize",
        "name",
        "nbytes",
        "ndim",
        "partitions",
        "repeats",
        "run",
        "run_in_row",
        "shape",
        "size",
        "span",
        "steers",
        "strides",
        "unit_step",
    )

    def __init__(self, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.strides = strides
        self.dtype = dtype
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
        self.repeats = any(n > 1 and not stride for n, stride in zip(shape, strides, strict=True))
        self.steers = dtype.kind in "iub"
        self.run = _run(shape, strides, dtype.itemsize)
        self.run_in_row = _run(shape[1:], strides[1:], dtype.itemsize)
        self.extents: dict[int, tuple[int, int]] = {}
        self.changed: dict[Hashable, Placed] = {}

    def change(self, name: Hashable, make: Callable[[Array], Array]) -> Placed:
        """Where the view lies that `make` gives of an array of this form. `make` must not touch elements."""
        stand_in = as_strided(np.zeros(1, self.dtype), self.shape, self.strides)
        view = make(stand_in)
        offset = view.ctypes.data - stand_in.ctypes.data
        found = self.changed[name] = (offset, layout_of(view))
        return found

    def box(self, start: int, row_bytes: int) -> tuple[int, int, int, int]:
        """(row0, row1, byte0, byte1) of a view of this form that begins `start` bytes into its storage."""
        extent = self.extents.get(row_bytes)
        if extent is None:
            extent = self.extents[row_bytes] = self._extent(row_bytes)
        rows, inner = extent
        row0, byte0 = divmod(start, row_bytes)
        if byte0 + inner <= row_bytes:
            return row0, row0 + rows + 1, byte0, byte0 + inner
        return row0, (start + inner - 1) // row_bytes + rows + 1, 0, row_bytes

    def _extent(self, row_bytes: int) -> tuple[int, int]:
        """Rows after the first, and bytes in a row."""
        rows, inner = 0, self.itemsize
        for size, stride in zip(self.shape, self.strides, strict=True):
            if stride >= row_bytes and stride % row_bytes == 0:
                rows += (size - 1) * (stride // row_bytes)
            else:
                inner += (size - 1) * stride
        return rows, inner


@lru_cache(maxsize=1 << 14)
def layout(shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any]) -> Layout:
    """The form with this shape, these strides in bytes and this element type."""
    return Layout(shape, strides, dtype)


@lru_cache(maxsize=1 << 12)
def packed(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Layout:
    """The form of a whole allocation: row-major, without gaps."""
    strides = [dtype.itemsize]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * max(1, size))
    return layout(shape, tuple(reversed(strides[: len(shape)])), dtype)


def layout_of(array: Array) -> Layout:
    """The form of an array."""
    return layout(array.shape, array.strides, array.dtype)


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
