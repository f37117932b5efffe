"""Which elements of a tensor hold a value: nothing is kept once it is written whole.

Most parts of a tensor are read as they were written, so the views written are kept, and a mark for each
element only once another view is read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.nki.layout import Array
from simulator.nki.storage import Scatter, Storage, View
from simulator.nki.tensor import NkiTensor


def is_written(tensor: NkiTensor) -> bool:
    """Whether every element of a view has been written."""
    storage = tensor.storage
    if storage.filled:
        return True
    view = (tensor.start, tensor.layout)
    if view in storage.written:
        return True
    if not anything_written(storage):
        return tensor.layout.size == 0
    if tensor.rows is not None:
        return _are_marked(storage, tensor.rows)
    written = bool(_marks_of(storage, marks(storage), view).all())
    if written:
        storage.written[view] = True
    return written


def anything_written(storage: Storage) -> bool:
    """Whether any element of a tensor has been written."""
    return storage.filled or storage.touched > 0


def _are_marked(storage: Storage, rows: Scatter) -> bool:
    """Whether what an indirect view names inside the tensor was written; told for its own dtype only."""
    if rows.flat.itemsize != storage.layout.itemsize:
        return True
    return bool(marks(storage)[rows.cells[rows.inside]].all())


def mark_written(tensor: NkiTensor) -> None:
    """Every element of a view holds a value from now on."""
    storage, layout = tensor.storage, tensor.layout
    if storage.filled:
        return
    if tensor.rows is not None:
        _mark_rows(storage, tensor.rows)
        return
    view = (tensor.start, layout)
    if layout.size == storage.layout.size:
        _fill(storage)
    elif view not in storage.written:
        storage.written[view] = False
        _count(storage, layout.size)


def _mark_rows(storage: Storage, rows: Scatter) -> None:
    """What an indirect view names inside the tensor; as another dtype, all of it."""
    if rows.flat.itemsize == storage.layout.itemsize:
        mark_cells(storage, rows.cells[rows.inside])
    else:
        _fill(storage)


def mark_cells(storage: Storage, cells: Any) -> None:
    """The elements at these flat indices hold a value from now on."""
    if storage.filled:
        return
    marks(storage)[cells] = True
    _count(storage, cells.size)


def missing(storage: Storage) -> int:
    """Elements that were never written."""
    return 0 if storage.filled else int(storage.layout.size - marks(storage).sum())


def mark_all(storage: Storage, written: Array) -> None:
    """The elements that are True in `written` hold a value from now on."""
    if not storage.filled:
        mark_cells(storage, np.flatnonzero(written))


def _fill(storage: Storage) -> None:
    storage.filled, storage.marks = True, None
    storage.written.clear()


def _count(storage: Storage, written: int) -> None:
    """Look whether the tensor is full only once enough elements were written for it to be."""
    storage.touched += written
    if storage.touched >= storage.layout.size and marks(storage).all():
        _fill(storage)


def marks(storage: Storage) -> Array:
    """For each element, in row-major order, whether it holds a value."""
    if storage.filled:
        return np.ones(storage.layout.size, dtype=np.bool_)
    if storage.marks is None:
        storage.marks = np.zeros(storage.layout.size, dtype=np.bool_)
    for view in [view for view, marked in storage.written.items() if not marked]:
        _marks_of(storage, storage.marks, view)[...] = True
        storage.written[view] = True
    return storage.marks


def _marks_of(storage: Storage, marked: Array, view: View) -> Any:
    """The marks a view covers; a view as another dtype covers whole elements of the storage."""
    start, layout = view
    size = storage.layout.itemsize
    if layout.itemsize != size:
        return marked[start // size : -(-(start + layout.nbytes) // size)]
    strides = tuple([stride // size for stride in layout.strides])
    return np.ndarray(layout.shape, np.bool_, marked, start // size, strides)
