"""The memory behind tensors, and how access patterns of the hardware land in it.

Source: NKI docs, "NKI Access Patterns" and nki.language.NkiTensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from simulator.errors import KernelRefused
from simulator.trace import Memory

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
) -> Array | None:
    """The view `start` bytes into the storage, or None where it leaves it."""
    last = start + sum([(n - 1) * s for n, s in zip(shape, strides, strict=True)])
    if start < 0 or last + dtype.itemsize > storage.data.nbytes:
        return None
    raw = storage.data.reshape(-1).view(np.uint8)
    return np.ndarray(shape, dtype, raw, start, strides)


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
    inside = (which >= 0) & (rows.max(axis=1) + dtype.itemsize <= storage.data.nbytes)
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
        given = int(np.prod([sizes[name] for name in names if name in sizes], dtype=np.int64))
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
    merged = [
        sizes[group] if isinstance(group, str) else int(np.prod([sizes[n] for n in group], dtype=np.int64))
        for group in target
    ]
    return tuple(sizes[n] for n in before), tuple(before.index(n) for n in after), tuple(merged)


def _names(pattern: Sequence[str | Sequence[str]]) -> list[str]:
    return [name for group in pattern for name in ((group,) if isinstance(group, str) else group)]
