"""Tensor indirection (`NkiTensor.indirect`): columns of a tile at offsets that data gives.

Source: NKI 0.6 docs, nki.language.NkiTensor.indirect. Offset i of a group of G partitions is
`index[i % G, i // G]` of that group's rows; G is 16, and 32 where the tensor engine reads or writes.
"""

from __future__ import annotations

import numpy as np

from simulator.nki.layout import Array, row_major
from simulator.nki.rules import refuse
from simulator.nki.storage import Scatter
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import current

GROUP = 16
TENSOR_ENGINE_GROUP = 32


class Columns(NkiTensor):
    """The columns `index` names of `of`, in groups of `group` partitions; placed when they are used."""

    __slots__ = ("_rows", "group", "index", "of")

    def __init__(self, of: NkiTensor, index: NkiTensor, count: int, group: int) -> None:
        shape = (of.layout.partitions, count)
        form = of.layout.of(shape, row_major(shape, of.layout.itemsize), of.dtype)
        steered = (*of.steered, index.located())
        super().__init__(of.storage, of.start, form, of.buffer, dynamic=True, steered=steered)
        self.of, self.index, self.group = of, index, group
        self._rows: Scatter | None = None

    @property
    def rows(self) -> Scatter:  # type: ignore[override]
        """Where they lie."""
        if self._rows is None:
            self._rows = self._placed()
        return self._rows

    def _placed(self) -> Scatter:
        partitions, count = self.shape
        held = self.group * self.index.shape[1]
        if partitions % self.group or count > held:
            raise refuse(
                "tensor-indirection",
                f"{count} offsets for {partitions} partitions, of which each {self.group} have {held}",
                f"give whole groups of {self.group}, and no more offsets than they have",
            )
        cells = _cells(self.of, _offsets(self.index, count, self.group))
        return Scatter(self.storage, self.dtype, np.ones(partitions, np.bool_), lambda: cells)

    def _elements(self) -> Array:
        return np.asarray(self.rows.flat[self.rows.cells])


def indirect(of: NkiTensor, index: NkiTensor, num_elem: int | None) -> Columns:
    """The view [P, num_elem] whose columns are where `index` [P, K] says; by default all 16 rows hold."""
    if current().launch.target == "trn2":
        raise refuse("tensor-indirection", "tensor indirection on trn2", "profile it for trn3")
    form = of.layout
    if of.storage.memory == "hbm" or of.rows is not None or form.run_in_row != form.free * form.itemsize:
        raise refuse(
            "tensor-indirection",
            f"tensor indirection on {of.name!r}, which is not a tile of contiguous rows",
            "take a tile of SBUF or PSUM, whole in its free dimensions",
        )
    there = index.storage.memory == "sbuf" and index.dtype.kind in "iu"
    if not there or index.ndim != 2 or index.shape[0] != form.partitions:
        raise refuse(
            "tensor-indirection",
            f"offsets of shape {index.shape} and {index.dtype.name} for {form.partitions} partitions",
            "give integers of shape (partitions, K) in SBUF",
        )
    count = GROUP * index.shape[1] if num_elem is None else int(num_elem)
    return Columns(of, index, count, GROUP)


def for_tensor_engine(*tensors: NkiTensor) -> tuple[NkiTensor, ...]:
    """Tensors as the tensor engine addresses them."""
    return tuple(
        Columns(one.of, one.index, one.shape[1], TENSOR_ENGINE_GROUP) if isinstance(one, Columns) else one
        for one in tensors
    )


def _offsets(index: NkiTensor, count: int, group: int) -> Array:
    """[partitions, count]: the offsets of each partition, which are those of its group."""
    held = index.array.reshape(-1, group, index.shape[1])
    snake = held.transpose(0, 2, 1).reshape(held.shape[0], -1)[:, :count]
    return np.repeat(snake.astype(np.int64), group, axis=0)


def _cells(of: NkiTensor, offsets: Array) -> Array:
    if offsets.min() < 0 or offsets.max() >= of.layout.free:
        raise refuse(
            "bounds",
            f"an offset of {int(offsets.max() if offsets.min() >= 0 else offsets.min())} into {of.name!r}, "
            f"which has {of.layout.free} elements per partition",
            "stay inside its free dimension",
        )
    size = of.layout.itemsize
    first = of.start + np.arange(offsets.shape[0])[:, None] * of.storage.row_bytes
    return np.asarray(first // size + offsets)
