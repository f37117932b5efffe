"""Functions of `nki.language` that are several instructions: normalisations, selection, matmul, random tiles.

The results are those of the API pages of NKI 0.6. Which instructions AWS's library makes of a function is not
documented; here it is the shortest sequence that keeps float32 between them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simulator.nki import isa
from simulator.nki.allocate import ndarray, psum
from simulator.nki.dtypes import dtype_of
from simulator.nki.ops import OPS
from simulator.nki.rules import PARTITIONS, refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import current
from simulator.nki.wrappers import FLOAT, free_axes, reduced

RANDOM_LEVELS = 1 << 16


def mean(x: NkiTensor, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:
    """The mean over free axes, summed in float32."""
    total = reduced(OPS["add"], x, axis, FLOAT, keepdims)
    result = ndarray(total.shape, dtype or x.dtype)
    isa.tensor_scalar(dst=result, data=total, op0=OPS["multiply"], operand0=1 / _count(x, axis))
    return result


def prod(x: NkiTensor, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:
    """The product over free axes."""
    return reduced(OPS["multiply"], x, axis, dtype, keepdims)


def all(x: NkiTensor, axis: Any, dtype: Any = None) -> NkiTensor:  # noqa: A001 - NKI names it so
    """1 where every element over free axes is not zero, else 0."""
    return reduced(OPS["logical_and"], x, axis, dtype)


def var(x: NkiTensor, axis: Any, dtype: Any = None, keepdims: bool = False) -> NkiTensor:  # noqa: ARG001
    """The variance over free axes, whose dimensions stay with size one (as NKI 0.6 says of `keepdims`)."""
    centred = _combined(x, "subtract", mean(x, axis, FLOAT, keepdims=True))
    isa.activation(dst=centred, op=OPS["square"], data=centred)
    return mean(centred, axis, dtype or x.dtype, keepdims=True)


def softmax(x: NkiTensor, axis: Any = -1, dtype: Any = None) -> NkiTensor:
    """exp(x - max) over its sum, along free axes."""
    shifted = _combined(x, "subtract", reduced(OPS["maximum"], x, axis, FLOAT, keepdims=True))
    isa.activation(dst=shifted, op=OPS["exp"], data=shifted)
    total = reduced(OPS["add"], shifted, axis, FLOAT, keepdims=True)
    isa.reciprocal(dst=total, data=total)
    return _combined(shifted, "multiply", total, dtype or x.dtype)


def rms_norm(
    x: NkiTensor,
    w: NkiTensor,
    axis: Any,
    n: int,
    epsilon: float = 1e-06,
    dtype: Any = None,
    compute_dtype: Any = None,
) -> NkiTensor:
    """x / sqrt(sum of squares / n + epsilon) * w, `w` a tile that broadcasts over free dimensions."""
    kind = dtype_of(compute_dtype or FLOAT)
    squares = ndarray(x.shape, kind)
    isa.activation(dst=squares, op=OPS["square"], data=x)
    scale = reduced(OPS["add"], squares, axis, FLOAT, keepdims=True)
    isa.tensor_scalar(
        dst=scale, data=scale, op0=OPS["multiply"], operand0=1 / n, op1=OPS["add"], operand1=epsilon
    )
    isa.activation(dst=scale, op=OPS["rsqrt"], data=scale)
    return _combined(_combined(x, "multiply", scale, kind), "multiply", w, dtype or x.dtype)


def where(condition: NkiTensor, x: Any, y: Any, dtype: Any = None) -> NkiTensor:
    """x where the condition is not zero, else y; each a tile or a constant."""
    like = next((each for each in (x, y) if isinstance(each, NkiTensor)), condition)
    result = ndarray(condition.shape, dtype or like.dtype)
    if isinstance(y, NkiTensor):
        isa.tensor_copy(dst=result, src=y)
    else:
        isa.memset(dst=result, value=y)
    isa.tensor_copy_predicated(dst=result, src=x, predicate=condition)
    return result


def dropout(x: NkiTensor, rate: Any, dtype: Any = None) -> NkiTensor:
    """x with elements replaced by zero with probability `rate`, a constant or a tile [partitions, 1]."""
    kept = ndarray(x.shape, x.dtype)
    isa.dropout(dst=kept, data=x, prob=rate)
    if dtype is None or dtype_of(dtype) == x.dtype:
        return kept
    result = ndarray(x.shape, dtype)
    isa.tensor_copy(dst=result, src=kept)
    return result


def random_seed(seed: NkiTensor) -> None:
    """Seed what `rand` draws from with a tile [1, 1] of 32 bits."""
    isa.set_rng_seed(src_seeds=seed)


def rand(shape: tuple[int, ...], dtype: Any, buffer: str = "sbuf", name: str = "") -> NkiTensor:
    """A tile of uniform values in [0, 1): one instruction on trn3, 16 random bits scaled on trn2."""
    result = ndarray(shape, dtype, buffer, name)
    if current().launch.target == "trn3":
        isa.rand2(dst=result, min=0.0, max=1.0)
        return result
    bits = ndarray(shape, np.uint16)
    isa.rng(dst=bits)
    isa.tensor_scalar(dst=result, data=bits, op0=OPS["multiply"], operand0=1 / RANDOM_LEVELS)
    return result


def transpose(x: NkiTensor, dtype: Any = None) -> NkiTensor:
    """A two-dimensional tile with partitions and free dimension swapped, in PSUM."""
    if x.ndim != 2:
        raise refuse("shape", f"nl.transpose of a tile of shape {x.shape}", "give it two dimensions")
    result = ndarray((x.shape[1], x.shape[0]), dtype or x.dtype, psum)
    isa.nc_transpose(dst=result, data=x)
    return result


def matmul(x: NkiTensor, y: NkiTensor, transpose_x: bool = False) -> NkiTensor:
    """x @ y, or x.T @ y when x is given transposed, as float32 in PSUM."""
    stationary = x if transpose_x else _turned(x)
    result = ndarray((stationary.shape[1], y.shape[1]), FLOAT, psum)
    isa.nc_matmul(dst=result, stationary=stationary, moving=y)
    return result


def load_transpose2d(src: NkiTensor, dtype: Any = None) -> NkiTensor:
    """An HBM view of two dimensions as its transpose in SBUF; by DMA for two-byte elements."""
    if src.ndim != 2:
        raise refuse("shape", f"nl.load_transpose2d of shape {src.shape}", "give it two dimensions")
    if src.dtype.itemsize == 2 and src.shape[1] <= PARTITIONS and dtype in (None, src.dtype):
        result = ndarray((src.shape[1], src.shape[0]), src.dtype)
        isa.dma_transpose(dst=result, src=src)
        return result
    tile = ndarray(src.shape, src.dtype)
    isa.dma_copy(dst=tile, src=src)
    return _turned(tile, dtype)


def gather_flattened(data: NkiTensor, indices: NkiTensor, axis: int = 0, dtype: Any = None) -> NkiTensor:
    """In each partition, the elements of `data`'s flattened free dimensions that `indices` name."""
    if axis != 0:
        raise refuse("gather-axis", f"nl.gather_flattened with axis={axis}", "leave axis at 0")
    result = ndarray(indices.shape, dtype or data.dtype)
    isa.nc_n_gather(dst=result, data=data, indices=indices)
    return result


def _count(x: NkiTensor, axis: Any) -> int:
    return math.prod(x.shape[a] for a in free_axes(x, axis))


def _combined(x: NkiTensor, op: str, other: NkiTensor, dtype: Any = FLOAT) -> NkiTensor:
    """x op other as a new tile: one value a partition is an operand, more are repeated with stride zero."""
    result = ndarray(x.shape, dtype)
    if other.size == other.shape[0] == x.shape[0]:
        isa.tensor_scalar(dst=result, data=x, op0=OPS[op], operand0=other)
    else:
        isa.tensor_tensor(dst=result, data1=x, data2=_spread(other, x.shape), op=OPS[op])
    return result


def _spread(x: NkiTensor, shape: tuple[int, ...]) -> NkiTensor:
    for dim, size in enumerate(shape):
        if dim > 0 and x.shape[dim] != size:
            x = x.broadcast(dim, size)
    return x


def _turned(x: NkiTensor, dtype: Any = None) -> NkiTensor:
    """The transpose, in SBUF."""
    turned = transpose(x)
    result = ndarray(turned.shape, dtype or x.dtype)
    isa.tensor_copy(dst=result, src=turned)
    return result
