"""Loads of data that is on the chip already are left out, as far as SBUF has room to keep it.

Public times show it: the MLP kernels of allenkchau/trainium-kernel-fusion load both operands of every matmul
anew, up to 164 MB of them, and run in the time of 20 MB while both matrices fit into SBUF; where one does not
fit, its loads are back. Tiles are kept by least recent use, which gives both.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from simulator.compiler.renumbered import renumbered
from simulator.machine.facts import machine
from simulator.nki.capacity import peak_of, uses_of
from simulator.trace import Instruction, Region, Tensor, Trace

Key = tuple[Region, tuple[int, ...], str]
"""What was loaded, into which shape, as which dtype."""


def without_repeated_loads(trace: Trace) -> Trace:
    """The trace with every load that finds its data in SBUF left out and its readers pointed there."""
    written = {r.tensor for core in trace.cores for i in core for r in i.writes}
    inputs = {t.id for t in trace.tensors if t.memory == "hbm" and t.id not in written}
    return replace(trace, cores=[_core(trace, core, inputs) for core in trace.cores])


@dataclass(slots=True)
class _Kept:
    """Tiles in SBUF by what they hold, least recently used first."""

    room: int
    tiles: OrderedDict[Key, int] = field(default_factory=OrderedDict)
    bytes: int = 0

    def find(self, key: Key) -> int | None:
        """The tile that holds `key`, used now."""
        tile = self.tiles.get(key)
        if tile is not None:
            self.tiles.move_to_end(key)
        return tile

    def keep(self, key: Key, tile: int, tensors: Sequence[Tensor]) -> None:
        """Hold a tile, and let go of the oldest ones until all fit."""
        self.tiles[key] = tile
        self.bytes += tensors[tile].bytes_per_row
        while self.bytes > self.room:
            self.bytes -= tensors[self.tiles.popitem(last=False)[1]].bytes_per_row


def _core(trace: Trace, core: list[Instruction], inputs: set[int]) -> list[Instruction]:
    writers = Counter(r.tensor for i in core for r in i.writes)
    loads = {i.index: key for i in core if (key := _load(i, trace.tensors, inputs, writers)) is not None}
    if len(set(loads.values())) == len(loads):
        return core
    kept = _Kept(_room(trace, core, {core[at].writes[0].tensor for at in loads}))
    same: dict[int, int] = {}
    left: list[Instruction] = []
    for instruction in core:
        key = loads.get(instruction.index)
        if key is not None:
            tile = instruction.writes[0].tensor
            found = kept.find(key)
            if found is not None:
                same[tile] = found
                continue
            kept.keep(key, tile, trace.tensors)
        left.append(instruction)
    return renumbered(
        left, moved=lambda region: region._replace(tensor=same.get(region.tensor, region.tensor))
    )


def _load(
    instruction: Instruction, tensors: Sequence[Tensor], inputs: set[int], writers: Counter[int]
) -> Key | None:
    """What an instruction loads, when it fills a tile of its own with a whole box of an input."""
    transfer = instruction.transfer
    if transfer is None or transfer.dynamic or len(instruction.reads) != 1 or len(instruction.writes) != 1:
        return None
    (source,), (target,) = instruction.reads, instruction.writes
    if source.tensor not in inputs or transfer.target_memory != "sbuf" or writers[target.tensor] != 1:
        return None
    box = (source.row1 - source.row0) * (source.byte1 - source.byte0)
    tile = tensors[target.tensor]
    whole = transfer.bytes == box == tile.rows * tile.bytes_per_row
    same_type = len(set(instruction.dtypes)) == 1
    return (source, tile.shape, f"{instruction.call} {tile.dtype}") if whole and same_type else None


def _room(trace: Trace, core: Sequence[Instruction], tiles: set[int]) -> int:
    """Bytes per partition that the program's other tensors leave."""
    others = [replace(t, bytes_per_row=0) if t.id in tiles else t for t in trace.tensors]
    return int(machine(trace.target).onchip.sbuf_partition_bytes) - peak_of(uses_of(core), others, "sbuf")[0]
