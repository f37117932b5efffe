"""`nl.add(x, y)`, `nl.exp(x)`, `nl.sum(x, axis)`: called as functions they make a tile and an instruction."""

from __future__ import annotations

from typing import Any

from simulator.nki import isa, language
from simulator.nki.ops import Op
from simulator.nki.rules import refuse
from simulator.nki.tensor import NkiTensor


def call(op: Op, *operands: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> NkiTensor:
    """A new SBUF tile with the result."""
    tiles = [x for x in operands if isinstance(x, NkiTensor)]
    if not tiles:
        raise refuse("operands", f"{op!r} is called without a tile", "pass a tile, or use it as op=")
    first = tiles[0]
    kind = dtype or first.dtype
    if axis is not None:
        return _reduced(op, first, axis, keepdims, kind)
    result = language.ndarray(first.shape, kind)
    if len(operands) == 1:
        isa.activation(dst=result, op=op, data=first)
    elif len(tiles) == len(operands):
        isa.tensor_tensor(dst=result, data1=operands[0], data2=operands[1], op=op)
    else:
        reverse = not isinstance(operands[0], NkiTensor)
        constant = operands[0] if reverse else operands[1]
        isa.tensor_scalar(dst=result, data=first, op0=op, operand0=constant, reverse0=reverse)
    return result


def _reduced(op: Op, data: NkiTensor, axis: Any, keepdims: bool, dtype: Any) -> NkiTensor:
    axes = {a % data.ndim for a in (axis if isinstance(axis, list | tuple) else (axis,))}
    kept = [1 if d in axes else size for d, size in enumerate(data.shape)]
    shape = tuple(kept if keepdims else [s for d, s in enumerate(kept) if d not in axes])
    result = language.ndarray(shape, dtype)
    isa.tensor_reduce(dst=result, op=op, data=data, axis=tuple(axes), keepdims=keepdims)
    return result
