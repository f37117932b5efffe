"""Transfers between HBM and the chip: `nl.load`, `nl.store` and `nisa.dma_copy`."""

from __future__ import annotations

from typing import Any

from simulator.nki import isa
from simulator.nki.dtypes import dtype_of
from simulator.nki.isa.enums import dge_mode as Dge
from simulator.nki.rules import refuse
from simulator.nki_beta.call import issue, read, value
from simulator.nki_beta.index import NOTHING, trimmed
from simulator.nki_beta.matmul import nc_transpose
from simulator.nki_beta.result import Result, flush, move, release
from simulator.nki_beta.tile import Value


def dma_copy(dst: Any, src: Any, mask: Any = None, dge_mode: Dge = Dge.unknown) -> None:
    """A transfer between HBM and SBUF."""
    target, source = value(dst), value(src)
    trim = trimmed(mask, target.shape)
    if trim is not NOTHING:
        data = read(source, trim)
        flush()
        view = target.target(trim.box if trim else None)
        release(view)
        isa.dma_copy(dst=view, src=data, dge_mode=dge_mode)


def load(src: Any, mask: Any = None, dtype: Any = None) -> Result:
    """An SBUF tile with what an HBM view holds."""
    tile = value(src)
    if tile.on_chip:
        raise refuse("operand-memory", "nl.load reads a tile that is on the chip", "use nl.copy")
    trim = trimmed(mask, tile.shape)
    return issue(isa.dma_copy, tuple(tile.shape), dtype or tile.dtype, trim, {"src": tile})


def store(dst: Any, value: Any, mask: Any = None) -> None:
    """A tile into an HBM view."""
    target, source = _hbm(dst), _tile(value)
    trim = trimmed(mask, target.shape)
    if trim is NOTHING:
        return
    if trim and trim.chosen:
        raise refuse("mask", "nl.store under a mask that is not a box", "store the tile in rectangles")
    data = read(source, trim)
    flush()
    view = target.target(trim.box if trim else None)
    release(view)
    move(view, data)


def _hbm(dst: Any) -> Value:
    target = value(dst)
    if target.on_chip:
        raise refuse("operand-memory", "nl.store writes a tile that is on the chip", "assign to it instead")
    return target


_tile = value


def load_transpose2d(src: Any, mask: Any = None, dtype: Any = None) -> Value:
    """A tile with a two-dimensional HBM view transposed: by the DMA for 2-byte dtypes, else by TensorE."""
    tile = value(src)
    kind = dtype_of(dtype or tile.dtype)
    if tile.dtype.itemsize == 2 and kind == tile.dtype and mask is None:
        shape = (tile.shape[1], tile.shape[0])
        return issue(isa.dma_transpose, shape, kind, None, {"src": tile})
    return nc_transpose(load(tile, mask=mask, dtype=kind))
