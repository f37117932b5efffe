"""Values as the engines compute them: float32 inside, rounded once on the way out."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from simulator.nki.layout import Array
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import current


def _largest(dtype: Any) -> float:
    return float(ml_dtypes.finfo(dtype).max)  # type: ignore[no-untyped-call]


SATURATING = {
    np.dtype(t): _largest(t) for t in (ml_dtypes.float8_e4m3, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2)
}
"""fp8 writes clamp to the largest finite value instead of overflowing (`--enable-saturate-infinity`)."""


def computing(dst: NkiTensor) -> bool:
    """Whether values are computed: always, or for integers alone (they may steer addresses) when timing."""
    return dst.layout.steers or current().launch.values


def lift(array: Array) -> Array:
    """An operand as an engine reads it: float32, integers exact."""
    return array if array.dtype.kind in "iub" or array.dtype == np.float32 else array.astype(np.float32)


def rounded(values: Array, dtype: np.dtype[Any]) -> Array:
    """`values` as `dtype`: nearest even; integers saturate, fp8 saturates."""
    if dtype.kind in "iu" and values.dtype.kind == "f":
        info = np.iinfo(dtype)
        values = np.clip(np.rint(np.nan_to_num(values)), info.min, info.max)
    limit = SATURATING.get(dtype)
    if limit is not None:
        values = np.clip(values, -limit, limit)
    return values.astype(dtype, copy=False)


def store(target: NkiTensor, values: Array) -> None:
    """Write `values` (same number of elements) into a view, rounded to its dtype."""
    array = target.array
    if values.shape != array.shape:
        values = values.reshape(array.shape)
    if target.rows is not None:
        fill(target, rounded(values, array.dtype))
    else:
        array[...] = rounded(values, array.dtype)


def fill(target: NkiTensor, values: Any) -> None:
    """Write values that are of its dtype already into a view, wherever it lies."""
    if target.rows is None:
        target.array[...] = values
    else:
        target.rows.flat[target.rows.cells] = values


def operand(value: Any, like: NkiTensor) -> Any:
    """A scalar, a [P, 1] per-partition vector or a full tile, shaped to combine with `like`."""
    if not isinstance(value, NkiTensor):
        return value if like.array.dtype.kind in "iu" and isinstance(value, int) else np.float32(value)
    array = lift(value.array)
    if array.size == array.shape[0]:
        return array.reshape((array.shape[0],) + (1,) * (like.array.ndim - 1))
    return array.reshape(like.array.shape)


def flat(tensor: NkiTensor) -> Array:
    """[partitions, free elements] of an operand, lifted."""
    return lift(tensor.array).reshape(tensor.array.shape[0], -1)
