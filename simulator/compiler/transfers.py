"""Which queue takes a transfer the author left open, and which loads go in one transfer.

Both as the four public profiles of allenkchau/trainium-kernel-fusion show. Arguments and results, whose
addresses only the runtime knows, move by software descriptors on GpSimd; tensors of the kernel's own in HBM
by hardware ones, stores from ScalarE and loads from SyncE. Tiles of one tensor share a transfer of up to
512 KiB ("src_pattern=[2048,262144][2,128]").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from simulator.compiler.renumbered import renumbered
from simulator.trace import Engine, Instruction, Trace, Transfer

LARGEST_BYTES = 512 << 10
"""The largest transfer in those profiles (fitted)."""


def by_address(trace: Trace) -> Trace:
    """The trace with hardware descriptors for transfers of the kernel's own HBM tensors."""
    own = {t.id for t in trace.tensors if t.memory == "hbm" and t.role == "scratch"}
    return replace(trace, cores=[[_placed(i, own) for i in core] for core in trace.cores])


def _placed(instruction: Instruction, own: set[int]) -> Instruction:
    transfer = instruction.transfer
    if transfer is None or transfer.dynamic or not instruction.attributes.get("dge_open"):
        return instruction
    stores = transfer.target_memory == "hbm"
    if (instruction.writes if stores else instruction.reads)[0].tensor not in own:
        return instruction
    engine: Engine = "scalar" if stores else "sync"
    queue = f"q{engine.capitalize()}DynamicHW"
    operation = replace(instruction.operation, engine=engine)
    return replace(instruction, operation=operation, transfer=replace(transfer, dge="hwdge", queue=queue))


@dataclass(slots=True)
class _Group:
    """Loads that go together, in program order."""

    loads: list[Instruction] = field(default_factory=list)
    bytes: int = 0


def coalesced(trace: Trace) -> Trace:
    """The trace with loads of equal tiles of one argument, made before anything stores, in one transfer."""
    inputs = {t.id for t in trace.tensors if t.role == "input"}
    return replace(trace, cores=[_merged(core, _groups(core, inputs)) for core in trace.cores])


def _groups(core: Sequence[Instruction], inputs: set[int]) -> list[_Group]:
    """Groups are closed by a full transfer, and by a store: what comes after it is another iteration."""
    done: list[_Group] = []
    growing: dict[tuple[object, ...], _Group] = {}
    for instruction in core:
        transfer = instruction.transfer
        if transfer is None:
            continue
        if transfer.target_memory == "hbm":
            done += growing.values()
            growing = {}
        elif instruction.attributes.get("dge_open") and instruction.reads[0].tensor in inputs:
            key = _alike(instruction, transfer)
            group = growing.setdefault(key, _Group())
            if group.bytes + transfer.bytes > LARGEST_BYTES:
                done.append(group)
                group = growing[key] = _Group()
            group.loads.append(instruction)
            group.bytes += transfer.bytes
    return [group for group in (*done, *growing.values()) if len(group.loads) > 1]


def _alike(instruction: Instruction, transfer: Transfer) -> tuple[object, ...]:
    source, target = instruction.reads[0], instruction.writes[0]
    rows = (target.row0, target.row1)
    return (instruction.call, source.tensor, rows, transfer.bytes, transfer.descriptors, instruction.dtypes)


def _merged(core: Sequence[Instruction], groups: Sequence[_Group]) -> list[Instruction]:
    first = {group.loads[0].index: group for group in groups}
    later = {load.index: group.loads[0].index for group in groups for load in group.loads[1:]}
    left = [_one(first[i.index]) if i.index in first else i for i in core if i.index not in later]
    return renumbered(left, joined=later)


def _one(group: _Group) -> Instruction:
    first = group.loads[0]
    assert first.transfer is not None
    whole = replace(
        first.transfer, bytes=group.bytes, descriptors=first.transfer.descriptors * len(group.loads)
    )
    return replace(
        first,
        operation=replace(first.operation, elements=first.elements * len(group.loads)),
        reads=tuple(r for load in group.loads for r in load.reads),
        writes=tuple(w for load in group.loads for w in load.writes),
        transfer=whole,
    )
