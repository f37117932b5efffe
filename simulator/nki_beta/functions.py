"""Element-wise functions and reductions of `nl`: each is an `op=` of an instruction and can be called."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.nki.isa.activation import ACTIVATIONS
from simulator.nki.language import ALIASES
from simulator.nki.ops import OPS, Op
from simulator.nki.rules import refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki_beta import elementwise
from simulator.nki_beta.call import promoted, value
from simulator.nki_beta.index import Shape
from simulator.nki_beta.matmul import partition_broadcast
from simulator.nki_beta.tile import Tensor, Value

COMPARISONS = frozenset({"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"})
CONSTANT_FORMS = {"negative": ("multiply", -1.0), "logical_not": ("equal", 0.0)}
"""Unary functions no engine has a table for, as an operation with a constant."""


class Function(Op):
    """An operation that can also be called on tiles: one instruction with a new tile."""

    def __call__(self, x: Any, y: Any = None, **options: Any) -> Value:
        return unary(self, x, **options) if y is None else binary(self, x, y, **options)


FUNCTIONS: dict[str, Function] = {
    name: Function(name, op.compute, op.reduce, op.bitwise) for name, op in OPS.items()
}


class Reduction(Op):
    """`nl.max`, `nl.min`, `nl.sum`: as `op=` the operation; called, a reduction over free axes."""

    def __call__(self, x: Any, axis: Any = None, **options: Any) -> Value:
        if axis is None:
            raise refuse("reduce-axis", f"nl.{self.name} is called without an axis", "give axis=")
        return reduction(self, x, axis=axis, **options)


REDUCTIONS: dict[str, Reduction] = {
    alias: Reduction(name, OPS[name].compute, OPS[name].reduce)
    for alias, name in {**ALIASES, "prod": "multiply"}.items()
    if name in OPS
}


def unary(op: Function, x: Any, *, dtype: Any = None, mask: Any = None) -> Value:
    """op(x): ScalarE's tables, VectorE's reciprocal, a copy, or an operation with a constant."""
    if op.name == "copy":
        return elementwise.tensor_copy(x, dtype=dtype, mask=mask)
    if op.name == "reciprocal":
        return elementwise.reciprocal(x, dtype=dtype, mask=mask)
    if op.name in CONSTANT_FORMS:
        name, constant = CONSTANT_FORMS[op.name]
        return elementwise.tensor_scalar(x, FUNCTIONS[name], constant, dtype=dtype, mask=mask)
    if op.name not in ACTIVATIONS:
        raise refuse("activation-function", f"ScalarE has no table for {op!r}", "use a function it has")
    return elementwise.activation(op, x, dtype=dtype, mask=mask)


def binary(op: Function, x: Any, y: Any, *, dtype: Any = None, mask: Any = None) -> Value:
    """x op y with NumPy's broadcasting: a constant or one value a partition is one operand of one pass."""
    if not isinstance(x, Value | NkiTensor):
        return elementwise.tensor_scalar(y, op, x, True, dtype=_kind(op, dtype, y), mask=mask)
    if not isinstance(y, Value | NkiTensor):
        return elementwise.tensor_scalar(x, op, y, dtype=_kind(op, dtype, x), mask=mask)
    left, right = value(x), value(y)
    kind = _kind(op, dtype, left, right)
    shape = _joined(left.shape, right.shape)
    left, right = _on_partitions(left, shape[0]), _on_partitions(right, shape[0])
    if _per_partition(right) and not _per_partition(left):
        return elementwise.tensor_scalar(left, op, right, dtype=kind, mask=mask)
    if _per_partition(left) and not _per_partition(right):
        return elementwise.tensor_scalar(right, op, left, True, dtype=kind, mask=mask)
    left, right = _spread(left, shape), _spread(right, shape)
    return elementwise.tensor_tensor(left, right, op, dtype=kind, mask=mask)


def reduction(
    op: Op, x: Any, *, axis: Any, dtype: Any = None, mask: Any = None, keepdims: bool = False
) -> Value:
    """op over free axes of x."""
    return elementwise.tensor_reduce(op, x, axis, dtype=dtype, mask=mask, keepdims=keepdims)


def mean(x: Any, axis: Any, *, dtype: Any = None, mask: Any = None, keepdims: bool = False) -> Value:
    """The sum over free axes, divided by how many elements it has."""
    tile = value(x)
    axes = axis if isinstance(axis, list | tuple) else (axis,)
    count = int(np.prod([tile.shape[a] for a in axes]))
    total = reduction(FUNCTIONS["add"], tile, axis=axis, dtype=dtype, mask=mask, keepdims=keepdims)
    return binary(FUNCTIONS["multiply"], total, 1.0 / count, dtype=dtype)


def broadcast_to(x: Any, shape: Shape) -> Value:
    """Dimensions of size one repeated: free ones by stride 0, partitions by a matmul with ones."""
    tile = value(x)
    sizes = tuple(int(n) for n in shape)
    return _spread(_on_partitions(tile, sizes[0]), sizes)


def _kind(op: Op, dtype: Any, *tiles: Any) -> Any:
    if dtype is not None:
        return dtype
    if op.name in COMPARISONS:
        return np.dtype(np.uint8)
    return promoted(*(tile.dtype for tile in tiles))


def _joined(left: Shape, right: Shape) -> Shape:
    """The shape both broadcast to; a vector of partitions is [P, 1]."""
    rank = max(len(left), len(right))
    sizes = [s if len(s) > 1 else (*s, 1) for s in (left, right)]
    try:
        return np.broadcast_shapes(*((s[0],) + (1,) * (rank - len(s)) + s[1:] for s in sizes))
    except ValueError:
        raise refuse("shape", f"tiles {left} and {right} do not broadcast", "make their shapes fit") from None


def _per_partition(tile: Value) -> bool:
    return bool(tile.size == tile.shape[0])


def _on_partitions(tile: Value, partitions: int) -> Value:
    return tile if tile.shape[0] == partitions else partition_broadcast(tile, partitions)


def _spread(tile: Value, shape: Shape) -> Value:
    """Free dimensions of size one, or missing ones, repeated by stride 0."""
    if tuple(tile.shape) == shape:
        return tile
    view = tile.read()
    rows = view.reshape((shape[0],) + (1,) * (len(shape) - view.ndim) + view.shape[1:])
    return Tensor(rows.broadcast_to(shape))
