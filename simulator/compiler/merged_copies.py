"""Copies of PSUM tiles to neighbouring bytes of one SBUF tensor become one copy of up to a PSUM bank.

Source: the public profiles of allenkchau/trainium-kernel-fusion (attention, trn2, neuron-profile 2.28), where
the four transposes a loop copies one by one lie in one bank and one instruction copies [128, 512] of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from simulator.compiler.renumbered import renumbered
from simulator.nki.rules import PSUM_BANK_BYTES
from simulator.trace import Instruction, Region, Tensor, Trace


def merged_copies(trace: Trace) -> Trace:
    """The trace with such copies merged and the tiles they read in one bank."""
    tensors = list(trace.tensors)
    cores = [_core(core, tensors) for core in trace.cores]
    return replace(trace, cores=cores, tensors=tensors)


@dataclass(slots=True)
class _Group:
    """Copies of PSUM tiles to neighbouring bytes of one SBUF tensor."""

    copies: list[Instruction] = field(default_factory=list)
    bytes: int = 0

    def takes(self, copy: Instruction) -> bool:
        """Whether `copy` writes the next bytes and its source still fits the bank."""
        last = self.copies[-1]
        region, before = copy.writes[0], last.writes[0]
        return (
            region[:3] == before[:3]
            and region.byte0 == before.byte1
            and copy.dtypes == last.dtypes
            and self.bytes + _width(copy.reads[0]) <= PSUM_BANK_BYTES
        )

    def add(self, copy: Instruction) -> None:
        """Append a copy."""
        self.copies.append(copy)
        self.bytes += _width(copy.reads[0])


def _width(region: Region) -> int:
    return region.byte1 - region.byte0


def _core(core: list[Instruction], tensors: list[Tensor]) -> list[Instruction]:
    """The program with each group of copies as its last one; their PSUM tiles become one in `tensors`."""
    groups = _groups(core, tensors)
    if not groups:
        return core
    gone: set[int] = set()
    joined: dict[int, Instruction] = {}
    moved: dict[int, tuple[int, int]] = {}
    for copies in groups:
        first = copies[0].reads[0].tensor
        offset = 0
        for copy in copies:
            moved[copy.reads[0].tensor] = (first, offset)
            offset += tensors[copy.reads[0].tensor].bytes_per_row
        tensors[first] = replace(tensors[first], bytes_per_row=offset)
        gone.update(copy.index for copy in copies[:-1])
        joined[copies[-1].index] = _joined(copies)
    kept = [joined.get(i.index, i) for i in core if i.index not in gone]
    return renumbered(kept, moved=lambda region: _moved(region, moved))


def _joined(copies: list[Instruction]) -> Instruction:
    """One copy that does what all of them do."""
    first, last = copies[0], copies[-1]
    return replace(
        last,
        operation=replace(last.operation, elements=sum(copy.elements for copy in copies)),
        reads=tuple(region for copy in copies for region in copy.reads),
        writes=(last.writes[0]._replace(byte0=first.writes[0].byte0),),
    )


def _moved(region: Region, moved: dict[int, tuple[int, int]]) -> Region:
    place = moved.get(region.tensor)
    if place is None:
        return region
    tensor, offset = place
    return region._replace(tensor=tensor, byte0=region.byte0 + offset, byte1=region.byte1 + offset)


def _groups(instructions: list[Instruction], tensors: list[Tensor]) -> list[list[Instruction]]:
    """Copies that may become one: nothing between them touches what they read or wrote."""
    found: list[list[Instruction]] = []
    open_groups: dict[int, _Group] = {}

    def close(tensor: int) -> None:
        group = open_groups.get(tensor)
        if group is not None:
            for copy in group.copies:
                for region in (*copy.reads, *copy.writes):
                    open_groups.pop(region.tensor, None)
            if len(group.copies) > 1:
                found.append(group.copies)

    for instruction in instructions:
        candidate = _from_psum(instruction, tensors)
        group = open_groups.get(instruction.writes[0].tensor) if candidate else None
        extends = group is not None and instruction.reads[0].tensor not in open_groups
        if group is not None and extends and group.takes(instruction):
            group.add(instruction)
        else:
            for region in (*instruction.reads, *instruction.writes):
                close(region.tensor)
            if not candidate:
                continue
            group = _Group()
            group.add(instruction)
            open_groups[instruction.writes[0].tensor] = group
        open_groups[instruction.reads[0].tensor] = group
    for tensor in list(open_groups):
        close(tensor)
    return found


def _from_psum(instruction: Instruction, tensors: list[Tensor]) -> bool:
    """Whether this copies a whole PSUM tile of its own to SBUF."""
    if instruction.call != "tensor_copy" or instruction.memories != ("sbuf", "psum"):
        return False
    attributes = instruction.attributes
    if instruction.no_reorder or not attributes.get("engine_open") or not attributes.get("contiguous", True):
        return False
    source = tensors[instruction.reads[0].tensor]
    whole = (instruction.reads[0].byte0, _width(instruction.reads[0])) == (0, source.bytes_per_row)
    return whole and source.address is None and source.bytes_per_row < PSUM_BANK_BYTES
