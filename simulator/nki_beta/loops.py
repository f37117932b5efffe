"""Loops, which are unrolled, and what folds over their iterations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from simulator.nki.ops import Op
from simulator.nki.rules import refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki_beta.call import operation, value
from simulator.nki_beta.elementwise import tensor_copy, tensor_tensor
from simulator.nki_beta.index import Box
from simulator.nki_beta.tile import Value


def static_range(
    start: Any, stop: Any = None, step: Any = 1, *, directives: AbstractContextManager[None] | None = None
) -> Iterator[LoopIndex]:
    """A loop; every loop is unrolled as it is traced. `directives` may be `nki.compiler.no_reorder()`."""
    values = range(int(start)) if stop is None else range(int(start), int(stop), int(step))
    with directives or nullcontext():
        for place, at in enumerate(values):
            index = LoopIndex(at)
            index.first = place == 0
            yield index


affine_range = sequential_range = static_range


def loop_reduce(x: Any, op: Any, loop_indices: Sequence[Any], mask: Any = None, dtype: Any = None) -> Any:
    """x folded with op over the iterations of some loops: assigned in the first, combined in the others."""
    return Fold(value(x), operation(op), all(is_first(i) for i in loop_indices), mask, dtype)


class LoopIndex(int):
    """A loop variable that knows whether it is the loop's first."""

    first = False


def is_first(index: Any) -> bool:
    """Whether a loop variable is in its first iteration."""
    return index.first if isinstance(index, LoopIndex) else int(index) == 0


class Fold(Value):
    """`loop_reduce(...)`, to be assigned to the tile that holds the running result."""

    __slots__ = ("buffer", "dtype", "first", "mask", "op", "shape", "tile")

    def __init__(self, tile: Value, op: Op, first: bool, mask: Any, dtype: Any) -> None:
        self.tile = tile
        self.op = op
        self.first = first
        self.mask = mask
        self.dtype = dtype or tile.dtype
        self.shape, self.buffer = tile.shape, tile.buffer

    def read(self, box: Box | None = None) -> NkiTensor:  # noqa: ARG002
        """Refused: what it stands for depends on the tile it is assigned to."""
        raise refuse(
            "loop-reduce",
            "loop_reduce is read before it was assigned to a tile",
            "write tile[...] = nl.loop_reduce(...), and read the tile",
        )

    def for_place(self, dst: Value) -> Value:
        """The instruction of this iteration."""
        if self.first:
            return tensor_copy(self.tile, mask=self.mask, dtype=self.dtype)
        return tensor_tensor(dst, self.tile, self.op, mask=self.mask, dtype=self.dtype)
