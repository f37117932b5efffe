"""Which elements of a tensor hold a value: nothing is kept once it is written whole, a mark each before."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.nki.storage import Scatter, Storage
from simulator.nki.tensor import NkiTensor


def is_written(tensor: NkiTensor) -> bool:
    """Whether every element of a view has been written."""
    storage = tensor.storage
    if storage.filled:
        return True
    if storage.marks is None:
        return tensor.array.size == 0
    if tensor.rows is not None:
        return _are_marked(storage, tensor.rows)
    return bool(_marks_of(tensor).all())


def _are_marked(storage: Storage, rows: Scatter) -> bool:
    """Whether what an indirect view names inside the tensor was written; told for its own dtype only."""
    if rows.flat.itemsize != storage.data.itemsize:
        return True
    return bool(_all_marks(storage)[rows.cells[rows.inside]].all())


def mark_written(tensor: NkiTensor) -> None:
    """Every element of a view holds a value from now on."""
    storage = tensor.storage
    if storage.filled or tensor.rows is not None:
        return
    if tensor.array.size == storage.data.size:
        storage.filled, storage.marks = True, None
        return
    _marks_of(tensor)[...] = True
    _count(storage, tensor.array.size)


def mark_cells(storage: Storage, cells: Any) -> None:
    """The elements at these flat indices hold a value from now on."""
    if storage.filled:
        return
    _all_marks(storage)[cells] = True
    _count(storage, cells.size)


def missing(storage: Storage) -> int:
    """Elements that were never written."""
    if storage.filled:
        return 0
    return int(storage.data.size - (0 if storage.marks is None else storage.marks.sum()))


def _count(storage: Storage, written: int) -> None:
    """Look whether the tensor is full only once enough elements were written for it to be."""
    storage.touched += written
    if storage.touched >= storage.data.size and _all_marks(storage).all():
        storage.filled, storage.marks = True, None


def _all_marks(storage: Storage) -> Any:
    if storage.marks is None:
        storage.marks = np.zeros(storage.data.size, dtype=np.bool_)
    return storage.marks


def _marks_of(tensor: NkiTensor) -> Any:
    """The marks a view covers; a view as another dtype covers whole elements of the storage."""
    storage, array = tensor.storage, tensor.array
    marks = _all_marks(storage)
    size = storage.data.itemsize
    start = tensor.start
    if array.itemsize != size:
        return marks[start // size : -(-(start + array.nbytes) // size)]
    strides = tuple([stride // size for stride in array.strides])
    return np.ndarray(array.shape, np.bool_, marks, start // size, strides)
