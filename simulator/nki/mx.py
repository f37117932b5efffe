"""The MX formats: packed elements, and one power-of-two scale for each block of 8 partitions by 4 elements.

Sources: OCP Microscaling Formats (MX) v1.0 for the element formats and the shared scale; NKI docs, "MXFP
matrix multiplication" and nki.isa.quantize_mx for packing and the place of the scales.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from simulator.nki.dtypes import PACKED, name_of

Array = np.ndarray[Any, Any]

BLOCK_PARTITIONS = 8
QUADRANT = 32
SCALES_PER_QUADRANT = QUADRANT // BLOCK_PARTITIONS
SCALE_BIAS = 127
LARGEST: dict[str, tuple[int, float]] = {
    "float8_e5m2_x4": (15, 57344.0),
    "float8_e4m3fn_x4": (8, 448.0),
    "float4_e2m1fn_x4": (2, 6.0),
}
"""Largest exponent and largest value of an element."""


def is_packed(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype packs four MX elements."""
    return dtype.names is not None and name_of(dtype) in PACKED


def unpacked(array: Array) -> Array:
    """float32 [..., 4 F] of packed elements [..., F]."""
    name = name_of(array.dtype)
    raw = array[name]
    if name == "float4_e2m1fn_x4":
        halves = np.stack([raw & 0xF, raw >> 4], axis=-1)
        values = halves.view(ml_dtypes.float4_e2m1fn).astype(np.float32)
    else:
        values = raw.astype(np.float32)
    result: Array = values.reshape(*array.shape[:-1], -1)
    return result


def packed(values: Array, dtype: np.dtype[Any]) -> Array:
    """float32 [..., 4 F], clamped to the element's range, as packed elements [..., F]."""
    name = name_of(dtype)
    limit = LARGEST[name][1]
    shape = (*values.shape[:-1], values.shape[-1] // 4)
    clamped = np.clip(values, -limit, limit).reshape(*shape, 4)
    result = np.empty(shape, dtype)
    if name == "float4_e2m1fn_x4":
        nibbles = clamped.astype(ml_dtypes.float4_e2m1fn).view(np.uint8) & 0xF
        result[name] = nibbles[..., 0::2] | nibbles[..., 1::2] << 4
    else:
        result[name] = clamped.astype(PACKED[name])
    return result


def scale_rows(partitions: int) -> Array:
    """The partitions that hold the scales: the first four of each 32, one for each 8 data partitions."""
    block = np.arange(-(-partitions // BLOCK_PARTITIONS))
    rows: Array = block // SCALES_PER_QUADRANT * QUADRANT + block % SCALES_PER_QUADRANT
    return rows


def quantized(values: Array, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """(packed elements [P, F], scales [P / 8, F] as biased exponents) of float32 [P, 4 F].

    The scale is the block's largest exponent less one below the element format's largest, which leaves room
    to round the largest value up; an all-zero block has the least scale (NKI docs, nki.isa.quantize_mx).
    """
    rows, width = values.shape[0] // BLOCK_PARTITIONS, values.shape[1] // 4
    exponents = (values.view(np.uint32) >> 23 & 0xFF).astype(np.int32)
    blocks = exponents.reshape(rows, BLOCK_PARTITIONS, width, 4).max(axis=(1, 3))
    scale = np.clip(blocks - LARGEST[name_of(dtype)][0] + 1, 0, 254)
    factor = np.ldexp(np.float32(1), scale - SCALE_BIAS)
    spread = np.repeat(np.repeat(factor, BLOCK_PARTITIONS, axis=0), 4, axis=1)
    return packed(values / spread, dtype), scale.astype(np.uint8)


def scaled(array: Array, scales: Array) -> Array:
    """float32 [P, F, 4] of packed elements [P, F] and the scales [P / 8, F] of their blocks."""
    values = unpacked(array).reshape(*array.shape, 4)
    factor = np.ldexp(np.float32(1), scales.astype(np.int32) - SCALE_BIAS)
    result: Array = values * np.repeat(factor, BLOCK_PARTITIONS, axis=0)[: array.shape[0], :, None]
    return result
