"""Tensors with block dimensions before `nl.par_dim`: one tile a block, allocated when it is first used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.nki.rules import refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki_beta.index import Box, Shape
from simulator.nki_beta.tile import Tensor, Value

Block = tuple[int, ...]


class ParDim(int):
    """`nl.par_dim(n)`: the dimension that runs over partitions; those before it count blocks."""


class Blocks(Value):
    """A tensor of tiles; `chosen` are the block indices fixed so far."""

    __slots__ = ("buffer", "chosen", "counts", "dtype", "make", "shape", "tiles")

    def __init__(
        self,
        counts: Shape,
        tile: Shape,
        dtype: Any,
        buffer: str,
        make: Callable[[Block], Tensor],
        tiles: dict[Block, Tensor] | None = None,
        chosen: Block = (),
    ) -> None:
        self.counts = counts
        self.shape = (*counts[len(chosen) :], *tile)
        self.dtype = dtype
        self.buffer = buffer
        self.make = make
        self.tiles = {} if tiles is None else tiles
        self.chosen = chosen

    def __getitem__(self, key: Any) -> Value:
        keys = key if isinstance(key, tuple) else (key,)
        left = len(self.counts) - len(self.chosen)
        if keys and keys[0] is Ellipsis:
            return self if len(keys) == 1 else self._refuse(key)
        block = self.chosen
        for place, k in enumerate(keys[:left]):
            if isinstance(k, slice) or not hasattr(k, "__index__"):
                return self._refuse(key)
            block = (*block, _checked(int(k), self.counts[len(self.chosen) + place]))
        if len(block) < len(self.counts):
            tile = self.shape[left:]
            return Blocks(self.counts, tile, self.dtype, self.buffer, self.make, self.tiles, block)
        found = self.tiles.get(block)
        if found is None:
            found = self.tiles[block] = self.make(block)
        rest = keys[left:]
        return found[rest] if rest else found

    def read(self, box: Box | None = None) -> NkiTensor:  # noqa: ARG002
        """Refused: an instruction works on one block."""
        raise refuse(
            "block-dimension",
            f"a tensor of {self.counts} blocks is used whole",
            "index its block dimensions with integers",
        )

    target = read

    def _refuse(self, key: Any) -> Value:
        raise refuse(
            "block-dimension",
            f"the block dimensions of {self.shape} are indexed with {key!r}",
            "index block dimensions with loop variables and integers",
        )


def _checked(at: int, count: int) -> int:
    if not -count <= at < count:
        raise refuse("bounds", f"block {at} of {count}", "stay inside the tensor's shape")
    return at % count
