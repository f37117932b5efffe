"""Weights as the one-token kernels read them: each core's share contiguous, a long run per partition.

The functions only reshape, exchange axes and join, so they serve NumPy arrays and torch tensors (`join` is
then `torch.concatenate`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

HEAD = 128
PARTITIONS = 128
CORES = 2
"""Cores of a launch at LNC=2; one core alone reads both shares."""


def qkv_by_core(weight: Any, join: Callable[..., Any] = np.concatenate) -> Any:
    """[H, (heads + 2) * 128] to [2, H, (heads / 2 + 2) * 128]: a core's queries, then the key and the value.

    The key and value columns are there twice (a fifth more bytes for Qwen3-30B-A3B), so that neither core
    waits for the other's projection.
    """
    queries = weight.shape[1] - 2 * HEAD
    size = queries // CORES
    shared = weight[:, queries:]
    parts = [
        join((weight[:, core * size : (core + 1) * size], shared), axis=1)[None] for core in range(CORES)
    ]
    return join(parts, axis=0)


def qkv_from_cores(weight: Any) -> Any:
    """The inverse of `qkv_by_core` for NumPy arrays."""
    size = weight.shape[2] - 2 * HEAD
    return np.concatenate([*(part[:, :size] for part in weight), weight[0][:, size:]], axis=1)


def o_proj_by_core(weight: Any) -> Any:
    """[heads * 128, H] to [2, 128, heads, H / 256, 128]: core, row of a head, head, tile, column of the tile.

    Column p of tile t is column p * tiles + t of the core's half, so that what a tile leaves on partition p
    lies beside what the next one leaves there, and a result goes to HBM in runs instead of elements.
    """
    rows, hidden = weight.shape
    tiles = hidden // CORES // PARTITIONS
    split = weight.reshape(rows // HEAD, HEAD, CORES, PARTITIONS, tiles)
    return split.swapaxes(0, 2).swapaxes(3, 4)


def o_proj_from_cores(weight: Any) -> Any:
    """The inverse of `o_proj_by_core`."""
    cores, head, heads, tiles, partitions = weight.shape
    split = weight.swapaxes(3, 4).swapaxes(0, 2)
    return split.reshape(heads * head, cores * partitions * tiles)


FP8_MAX = 240.0
"""The largest value of float8_e4m3; float8_e4m3fn has the same bits up to there."""


def quantised(weight: Any) -> tuple[Any, Any]:
    """A weight [E, ...] as bytes of float8_e4m3 and an fp32 scale [E] each expert."""
    wide = np.asarray(weight, np.float32)
    largest = np.abs(wide).reshape(len(wide), -1).max(axis=1)
    scale = (np.where(largest > 0, largest, 1.0) / FP8_MAX).astype(np.float32)
    held = (wide / scale.reshape(-1, *([1] * (wide.ndim - 1)))).astype(ml_dtypes.float8_e4m3)
    return held.view(np.uint8), scale


def quantised_experts(gate_up: Any, down: Any) -> tuple[Any, Any, Any]:
    """gate_up [E, H, 2 I] and down [E, I, H] as bytes, and fp32 scales [E, 3] of gate, up and down."""
    inner = down.shape[1]
    (gate, gates), (up, ups) = quantised(gate_up[..., :inner]), quantised(gate_up[..., inner:])
    second, downs = quantised(down)
    return np.concatenate([gate, up], axis=-1), second, np.stack([gates, ups, downs], axis=1)


def dequantised(held: Any, scale: Any) -> Any:
    """fp32 values of bytes of float8_e4m3 by a scale that broadcasts against them."""
    return held.view(ml_dtypes.float8_e4m3).astype(np.float32) * scale
