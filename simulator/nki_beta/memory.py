"""Where tensors live: the buffers of `nl`, and the compiler's allocators that put tiles at an address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from simulator.nki.rules import PSUM_BANK_BYTES, refuse
from simulator.nki_beta.index import Shape
from simulator.nki_beta.names import not_executed

Address = tuple[int, int]


class Buffer(str):
    """A memory by name; on the chip it has allocators, and `address` where one was used."""

    address: Callable[[Shape, Shape, int], Address] | None = None


def _slot(block: Shape, counts: Shape) -> int:
    """Which of `counts` tiles a block takes: each block index rotates through its own count."""
    places = block[len(block) - len(counts) :] if len(block) >= len(counts) else block
    slot = 0
    for at, count in zip(places, counts[len(counts) - len(places) :], strict=True):
        slot = slot * count + at % count
    return slot


class Memory(Buffer):
    """`nl.sbuf` or `nl.psum`, and `nki.compiler`'s allocators of the same name."""

    def _at(self, address: Callable[[Shape, Shape, int], Address]) -> Buffer:
        buffer = Buffer(self)
        buffer.address = address
        return buffer

    def mod_alloc(self, **options: Any) -> Buffer:
        """Blocks take turns at a fixed number of places from a base."""
        return self._at(self._rotating(**options))

    def alloc(self, func: Callable[[Shape, int, int], Any]) -> Buffer:
        """`func(block, partitions, bytes)` gives (partition, byte), in PSUM (bank, partition, byte)."""
        return self._at(lambda block, tile, width: self._found(func(block, tile[0], width)))

    def _found(self, place: Any) -> Address:
        if self == "psum":
            bank, partition, byte = place
            return int(partition), int(bank) * PSUM_BANK_BYTES + int(byte)
        partition, byte = place
        return int(partition), int(byte)

    def _rotating(
        self,
        *,
        base_addr: int = 0,
        base_bank: int = 0,
        base_partition: int = 0,
        num_par_tiles: Shape = (),
        num_free_tiles: Shape = (),
        num_bank_tiles: Shape = (),
    ) -> Callable[[Shape, Shape, int], Address]:
        if num_par_tiles and int(np.prod(num_par_tiles)) != 1:
            raise refuse("allocation", "mod_alloc over partitions", "allocate over the free dimension")

        def address(block: Shape, _tile: Shape, width: int) -> Address:
            if self == "psum":
                bank = base_bank + _slot(block, tuple(num_bank_tiles))
                return base_partition, bank * PSUM_BANK_BYTES + base_addr
            return base_partition, base_addr + _slot(block, tuple(num_free_tiles)) * width

        return address

    def __getattr__(self, name: str) -> Any:
        raise not_executed(f"neuronxcc.nki.compiler.{self}", name)


sbuf, psum = Memory("sbuf"), Memory("psum")
hbm = private_hbm = Buffer("private_hbm")
shared_hbm = Buffer("shared_hbm")
