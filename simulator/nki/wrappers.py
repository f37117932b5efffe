"""`nl.add(x, y)`, `nl.exp(x)`, `nl.sum(x, axis)`: called as functions they make a tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from simulator.nki import isa
from simulator.nki.allocate import ndarray
from simulator.nki.isa.activation import ACTIVATIONS
from simulator.nki.ops import OPS, Op
from simulator.nki.rules import refuse
from simulator.nki.tensor import NkiTensor

FLOAT = np.dtype(np.float32)


def call(op: Op, *operands: Any, dtype: Any = None) -> NkiTensor:
    """A new SBUF tile with the result."""
    tiles = [x for x in operands if isinstance(x, NkiTensor)]
    if not tiles:
        raise refuse("operands", f"{op!r} is called without a tile", "pass a tile, or use it as op=")
    result = ndarray(tiles[0].shape, dtype or tiles[0].dtype)
    if len(operands) == 1:
        _unary(op, result, tiles[0])
    elif len(tiles) == len(operands):
        isa.tensor_tensor(dst=result, data1=operands[0], data2=operands[1], op=op)
    else:
        reverse = not isinstance(operands[0], NkiTensor)
        constant = operands[0] if reverse else operands[1]
        isa.tensor_scalar(dst=result, data=tiles[0], op0=op, operand0=constant, reverse0=reverse)
    return result


def _unary(op: Op, dst: NkiTensor, x: NkiTensor) -> None:
    """ScalarE where it has a table for the function, else the operations it is made of."""
    if op.name in MADE_OF:
        MADE_OF[op.name](dst, x)
    elif op.name in ACTIVATIONS:
        isa.activation(dst=dst, op=op, data=x)
    else:
        raise refuse("operands", f"{op!r} is called on one tile", "give it two operands")


def _with_constant(name: str, constant: float) -> Callable[[NkiTensor, NkiTensor], None]:
    def make(dst: NkiTensor, x: NkiTensor) -> None:
        isa.tensor_scalar(dst=dst, data=x, op0=OPS[name], operand0=constant)

    return make


def _less_its_rest(rest: str) -> Callable[[NkiTensor, NkiTensor], None]:
    """x - (x rest 1): floor with mod, whose result has the divisor's sign; trunc with fmod."""

    def make(dst: NkiTensor, x: NkiTensor) -> None:
        isa.scalar_tensor_tensor(
            dst=dst, data=x, op0=OPS[rest], operand0=1.0, op1=OPS["subtract"], operand1=x, reverse1=True
        )

    return make


def _ceil(dst: NkiTensor, x: NkiTensor) -> None:
    """x + (-x mod 1)."""
    rest = ndarray(x.shape, FLOAT)
    isa.tensor_scalar(dst=rest, data=x, op0=OPS["multiply"], operand0=-1.0, op1=OPS["mod"], operand1=1.0)
    isa.tensor_tensor(dst=dst, data1=x, data2=rest, op=OPS["add"])


def _cos(dst: NkiTensor, x: NkiTensor) -> None:
    isa.activation(dst=dst, op=OPS["sin"], data=x, bias=math.pi / 2)


def _tan(dst: NkiTensor, x: NkiTensor) -> None:
    sine, cosine = ndarray(x.shape, FLOAT), ndarray(x.shape, FLOAT)
    isa.activation(dst=sine, op=OPS["sin"], data=x)
    _cos(cosine, x)
    isa.tensor_tensor(dst=dst, data1=sine, data2=cosine, op=OPS["divide"])


MADE_OF: Mapping[str, Callable[[NkiTensor, NkiTensor], Any]] = {
    "copy": lambda dst, x: isa.tensor_copy(dst=dst, src=x),
    "reciprocal": lambda dst, x: isa.reciprocal(dst=dst, data=x),
    "negative": _with_constant("multiply", -1.0),
    "logical_not": _with_constant("equal", 0.0),
    "invert": _with_constant("bitwise_xor", -1),
    "floor": _less_its_rest("mod"),
    "trunc": _less_its_rest("fmod"),
    "ceil": _ceil,
    "cos": _cos,
    "tan": _tan,
}
"""Functions no engine has a table for (assumed: no document says what the compiler makes of them)."""


class Reduction(Op):
    """`nl.max`, `nl.min`, `nl.sum`: as `op=` the operation; called, a reduction over free axes."""

    __slots__ = ()

    def __call__(self, x: NkiTensor, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:
        """`axis` is an int or several; the result has the dtype of `x` unless another is given."""
        return reduced(self, x, axis, dtype, keepdims)


REDUCTIONS: Mapping[str, Reduction] = {
    alias: Reduction(name, OPS[name].compute, OPS[name].reduce)
    for alias, name in {"max": "maximum", "min": "minimum", "sum": "add"}.items()
}


def free_axes(x: NkiTensor, axis: Any) -> tuple[int, ...]:
    """The axes as positive numbers, in order. Refuses the partition axis."""
    axes = sorted({a % x.ndim for a in (axis if isinstance(axis, list | tuple) else (axis,))})
    if 0 in axes:
        raise refuse(
            "reduce-axis", "a reduction over the partition axis", "reduce free axes, or use a matmul"
        )
    return tuple(axes)


def reduced(op: Op, x: NkiTensor, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:
    """A new tile: `op` over free axes of `x`."""
    axes = free_axes(x, axis)
    kept = [1 if d in axes else size for d, size in enumerate(x.shape)]
    shape = tuple(size for d, size in enumerate(kept) if keepdims or d not in axes)
    result = ndarray(shape, dtype or x.dtype)
    isa.tensor_reduce(dst=result, op=op, data=x, axis=axes, keepdims=keepdims)
    return result
