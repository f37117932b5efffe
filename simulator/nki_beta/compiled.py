"""What the compiler of the first dialect makes of a program as written, where public profiles show it.

Source: the four neuron-profile 2.28 streams of allenkchau/trainium-kernel-fusion (attention, trn2), compared
with their kernels: copies of neighbouring PSUM tiles are one instruction, a bank at a time; copies go to
ScalarE or VectorE, whichever has less to do; transfers of kernel arguments and results have descriptors from
GpSimd, those of tensors inside the kernel from hardware, loads on SyncE and stores on ScalarE.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from simulator.nki.isa.dma import QUEUE
from simulator.nki.rules import PSUM_BANK_BYTES
from simulator.nki.tracer import Launch
from simulator.trace import Engine, Instruction, Region, Tensor

PLACED = "placed"
"""The attribute of a copy whose engine the author chose."""


def compiled(launch: Launch) -> None:
    """Change a traced launch as the compiler changes the kernel."""
    for core, instructions in enumerate(launch.cores):
        merged = _merged(instructions, launch.tensors)
        for place, instruction in enumerate(merged):
            instruction.index = place
        _balance(merged)
        for instruction in merged:
            _trigger(instruction, launch.tensors)
        launch.cores[core] = merged


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


def _merged(instructions: list[Instruction], tensors: list[Tensor]) -> list[Instruction]:
    """The program with each group of copies as its last one; their PSUM tiles become one tile."""
    groups = _groups(instructions, tensors)
    gone: set[int] = set()
    moved: dict[int, tuple[int, int]] = {}
    for copies in groups:
        first = copies[0].reads[0].tensor
        offset = 0
        for copy in copies:
            moved[copy.reads[0].tensor] = (first, offset)
            offset += tensors[copy.reads[0].tensor].bytes_per_row
        tensors[first].bytes_per_row = offset
        gone.update(id(copy) for copy in copies[:-1])
        _join(copies)
    kept = [i for i in instructions if id(i) not in gone]
    if moved:
        for instruction in kept:
            instruction.reads = tuple(_moved(r, moved) for r in instruction.reads)
            instruction.writes = tuple(_moved(r, moved) for r in instruction.writes)
    return kept


def _join(copies: list[Instruction]) -> None:
    """Make the last copy do what all of them did."""
    last, first = copies[-1], copies[0]
    last.elements = sum(copy.elements for copy in copies)
    last.reads = tuple(region for copy in copies for region in copy.reads)
    last.writes = (last.writes[0]._replace(byte0=first.writes[0].byte0),)


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
    if (
        PLACED in instruction.attributes
        or instruction.no_reorder
        or not instruction.attributes.get("contiguous", True)
    ):
        return False
    source = tensors[instruction.reads[0].tensor]
    whole = (instruction.reads[0].byte0, _width(instruction.reads[0])) == (0, source.bytes_per_row)
    return whole and source.address is None and source.bytes_per_row < PSUM_BANK_BYTES


def _balance(instructions: list[Instruction]) -> None:
    """Put each copy nobody placed on the one of ScalarE and VectorE that has had fewer elements so far."""
    done = {"scalar": 0, "vector": 0}
    for instruction in instructions:
        if instruction.call == "tensor_copy" and PLACED not in instruction.attributes:
            instruction.engine = cast(Engine, min(done, key=lambda name: done[name]))
        if instruction.engine in done:
            done[instruction.engine] += instruction.elements


def _trigger(instruction: Instruction, tensors: list[Tensor]) -> None:
    """Choose who describes a transfer with a tensor that is neither an argument nor a result."""
    transfer = instruction.transfer
    if transfer is None or instruction.call != "dma_copy" or PLACED in instruction.attributes:
        return
    stores = transfer.target_memory == "hbm"
    outside = tensors[(instruction.writes if stores else instruction.reads)[0].tensor]
    if outside.memory != "hbm" or outside.role != "scratch":
        return
    instruction.engine = "scalar" if stores else "sync"
    transfer.dge = "hwdge"
    transfer.queue = f"q{instruction.engine.capitalize()}{QUEUE['hwdge']}"
