"""The dtypes of NKI as NumPy and ml_dtypes have them."""

from __future__ import annotations

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from simulator.errors import BadKernel

DTYPES: dict[str, np.dtype[Any]] = {
    "bool_": np.dtype(np.bool_),
    **{n: np.dtype(n) for n in ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float16", "float32")},
    "tfloat32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float8_e4m3": np.dtype(ml_dtypes.float8_e4m3),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "float8_e8m0fnu": np.dtype(ml_dtypes.float8_e8m0fnu),
}
PACKED: dict[str, np.dtype[Any]] = {
    "float8_e5m2_x4": DTYPES["float8_e5m2"],
    "float8_e4m3fn_x4": DTYPES["float8_e4m3fn"],
    "float4_e2m1fn_x4": np.dtype(np.uint8),
}
"""Four MX elements in one: what NumPy holds them in, a byte an element and for fp4 a byte two."""
DTYPES |= {
    name: np.dtype([(name, held, (2 if name.startswith("float4") else 4,))]) for name, held in PACKED.items()
}


@cache
def numpy_name(dtype: np.dtype[Any]) -> str:
    """`dtype.name`, which NumPy works out anew each time, remembered."""
    return dtype.name


def name_of(dtype: np.dtype[Any]) -> str:
    """The name of NKI: of four MX elements in one, theirs."""
    return dtype.names[0] if dtype.names else numpy_name(dtype)


def dtype_of(value: Any) -> np.dtype[Any]:
    """The NumPy dtype of an NKI dtype, a NumPy dtype or a name."""
    if isinstance(value, np.dtype):
        return value
    if isinstance(value, str) and value in DTYPES:
        return DTYPES[value]
    try:
        made: np.dtype[Any] = np.dtype(value)
    except TypeError:
        raise BadKernel(f"{value!r} is not a dtype this machine has", "use one of nl's dtypes") from None
    return made
