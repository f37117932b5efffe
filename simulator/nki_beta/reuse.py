"""Loads the compiler of the first dialect leaves out: what was loaded before and still fits is used again.

Its kernels load a tile inside the loops that use it, and its compiler hoists what does not change: the public
times of tiled matrix multiplications in this dialect (allenkchau/trainium-kernel-fusion, mlp) are four times
shorter than the transfers as written would take. Kept here: tiles of whole loads that nothing overwrote, the
longest unused leaving first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simulator.machine.facts import Constant
from simulator.nki.language import USABLE_SBUF_BYTES
from simulator.nki.numerics import computing, lift, store
from simulator.nki.storage import Storage
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import current

KEPT = Constant(
    0.75,
    "of SBUF",
    "what may hold tiles for later loads; the rest is for the tiles in between. The public times need 0.62 "
    "(1024x2048x4096, whose operand of 16 MiB is kept) to 1.2 (2048x4096x4096, whose 32 MiB are not)",
    "assumed",
)
"""Share of a partition that kept loads may take."""

Key = tuple[Any, ...]


@dataclass(slots=True)
class Loads:
    """Tiles of earlier loads by what they hold, longest unused first; `bytes` a partition they take.

    `limit` is the share of SBUF they may take.
    """

    tiles: OrderedDict[Key, NkiTensor] = field(default_factory=OrderedDict)
    keys: dict[int, set[Key]] = field(default_factory=dict)
    bytes: int = 0
    limit: float = KEPT.value

    def find(self, source: NkiTensor, dtype: Any) -> NkiTensor | None:
        """The tile of the same load as a tile of its own, whose memory the machine sees as the same."""
        key = _key(source, dtype)
        held = self.tiles.get(key)
        if held is None:
            return None
        self.tiles.move_to_end(key)
        return _again(held, source)

    def keep(self, source: NkiTensor, dtype: Any, tile: NkiTensor) -> None:
        """Remember what a load brought, dropping the longest unused where it does not fit."""
        limit = self.limit * USABLE_SBUF_BYTES[current().launch.target]
        size = tile.storage.row_bytes
        if size > limit:
            return
        while self.bytes + size > limit:
            self._drop(next(iter(self.tiles)))
        key = _key(source, dtype)
        self.tiles[key] = tile
        self.bytes += size
        for storage in (source.storage, tile.storage):
            self.keys.setdefault(storage.id, set()).add(key)

    def changed(self, storage: int) -> None:
        """Forget what was loaded from or into a tensor that is written."""
        for key in self.keys.pop(storage, ()):
            self._drop(key)

    def _drop(self, key: Key) -> None:
        tile = self.tiles.pop(key, None)
        if tile is not None:
            self.bytes -= tile.storage.row_bytes


def _key(source: NkiTensor, dtype: Any) -> Key:
    array = source.array
    return (source.storage.id, array.__array_interface__["data"][0], array.shape, array.strides, dtype)


def _again(held: NkiTensor, source: NkiTensor) -> NkiTensor:
    """The same memory to the machine, values of its own to Python: what is written to it stays apart."""
    storage = Storage(
        np.zeros(held.shape, held.dtype), "sbuf", held.name, filled=True, core=held.storage.core
    )
    storage.id = held.storage.id
    tile = NkiTensor(storage, storage.data, held.buffer)
    if computing(tile):
        store(tile, lift(source.array))
    return tile
