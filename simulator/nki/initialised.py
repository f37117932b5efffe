"""Which elements of a tensor hold a value: nothing is kept once it is written whole.

Most parts of a tensor are read as they were written, so the views written are kept. What they cover together
is told by their boxes, and by a mark for each element only where a view leaves gaps in its box.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from simulator.nki.layout import Array, Box
from simulator.nki.storage import Scatter, Storage, View
from simulator.nki.tensor import NkiTensor


def is_written(tensor: NkiTensor) -> bool:
    """Whether every element of a view has been written."""
    if not tensor.written:
        tensor.written = _holds_values(tensor)
    return tensor.written


def _holds_values(tensor: NkiTensor) -> bool:
    storage = tensor.storage
    view = (tensor.start, tensor.layout)
    if storage.filled or view in storage.written:
        return True
    if not storage.touched:
        return tensor.layout.size == 0
    if tensor.rows is not None:
        return _are_marked(storage, tensor.rows)
    box = solid_box(tensor)
    if storage.gaps or box is None:
        return bool(_marks_of(storage, marks(storage), view).all())
    return _cover(storage.boxes, box)


def solid_box(tensor: NkiTensor) -> Box | None:
    """The box of a view that fills it, None where it leaves gaps."""
    layout, start = tensor.layout, tensor.start
    box = layout.boxes.get(start) or layout.box(start)
    row0, row1, byte0, byte1 = box
    return box if layout.distinct and (row1 - row0) * (byte1 - byte0) == layout.nbytes else None


def _cover(boxes: Iterable[Box], target: Box) -> bool:
    """Whether boxes together cover another: strip by strip of rows, byte by byte."""
    row0, row1, byte0, byte1 = target
    met = [b for b in boxes if b[0] < row1 and b[1] > row0 and b[2] < byte1 and b[3] > byte0]
    for row in {row0, *[cut for b in met for cut in b[:2] if row0 < cut < row1]}:
        reached = byte0
        for low, high in sorted([b[2:] for b in met if b[0] <= row < b[1]]):
            if low <= reached:
                reached = max(reached, high)
        if reached < byte1:
            return False
    return True


def anything_written(storage: Storage) -> bool:
    """Whether any element of a tensor has been written."""
    return storage.filled or storage.touched > 0


def _are_marked(storage: Storage, rows: Scatter) -> bool:
    """Whether what an indirect view names inside the tensor was written; told for its own dtype only."""
    if rows.dtype.itemsize != storage.layout.itemsize:
        return True
    return bool(marks(storage)[rows.cells[rows.inside]].all())


def mark_written(tensor: NkiTensor) -> None:
    """Every element of a view holds a value from now on."""
    storage, layout = tensor.storage, tensor.layout
    tensor.written = True
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
        box = solid_box(tensor)
        if box is None:
            storage.gaps = True
        else:
            storage.boxes.append(box)
        _count(storage, layout.size)


def _mark_rows(storage: Storage, rows: Scatter) -> None:
    """What an indirect view names inside the tensor; as another dtype, all of it."""
    if rows.dtype.itemsize == storage.layout.itemsize:
        mark_cells(storage, rows.cells[rows.inside])
    else:
        _fill(storage)


def mark_cells(storage: Storage, cells: Any) -> None:
    """The elements at these flat indices hold a value from now on."""
    if storage.filled:
        return
    marks(storage)[cells] = True
    storage.gaps = True
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
    storage.boxes.clear()


def _count(storage: Storage, written: int) -> None:
    """Look whether the tensor is full only once enough elements were written for it to be."""
    storage.touched += written
    if storage.touched < storage.layout.size:
        return
    whole = (0, storage.rows, 0, storage.row_bytes)
    if marks(storage).all() if storage.gaps else _cover(storage.boxes, whole):
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
