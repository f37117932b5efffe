"""Bytes of a trace: by instruction and memory, and what the kernel could not have avoided moving."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from simulator.compiler.spills import spill_bytes
from simulator.costs.cost import itemsize
from simulator.costs.dma import movement, packets
from simulator.machine.facts import Machine
from simulator.timeline.program import numbered
from simulator.trace import Instruction, Memory, Region, Tensor, Trace

Array = np.ndarray[Any, Any]
_MEMORIES: tuple[Memory, ...] = ("hbm", "sbuf", "psum")

PACKET_CLASSES = {"swdge": "software_dynamic", "hwdge": "hardware_dynamic", "none": "static"}
_GRID = 4_000_000
"""Cells of the grid of cut points up to which the union of regions is computed exactly."""


def bytes_by_memory(instructions: Sequence[Instruction], tensors: Sequence[Tensor]) -> dict[str, Array]:
    """Bytes each instruction reads and writes, by "hbm_read_bytes", "sbuf_write_bytes", and so on.

    A transfer moves `transfer.bytes`. A compute operand is its region; a strided one, whose region is a
    bounding box, no more than its elements.
    """
    operation, first = numbered((i.operation for i in instructions), len(instructions))
    most = np.array([_most(instructions[k]) for k in first], dtype=np.int64)[operation]
    moving = np.array([k for k, i in enumerate(instructions) if i.transfer is not None], dtype=np.int64)
    most[moving] = 0
    memory = np.array([_MEMORIES.index(tensor.memory) for tensor in tensors], dtype=np.int64)
    found: dict[str, Array] = {}
    for way, side in (("read", "source_memory"), ("write", "target_memory")):
        sizes = _operand_bytes([i.reads if way == "read" else i.writes for i in instructions], memory, most)
        transfers = [instructions[k].transfer for k in moving.tolist()]
        places = [_MEMORIES.index(getattr(transfer, side)) for transfer in transfers]
        sizes[places, moving] = [transfer.bytes for transfer in transfers if transfer is not None]
        found |= {f"{name}_{way}_bytes": sizes[k] for k, name in enumerate(_MEMORIES)}
    return found


def _most(instruction: Instruction) -> int:
    """Bytes of an operand's elements, by the widest type of any."""
    widest = max(map(itemsize, instruction.dtypes), default=4)
    return 128 * max(1, instruction.elements) * widest


def _operand_bytes(regions: Sequence[tuple[Region, ...]], memory: Array, most: Array) -> Array:
    """Sums over each instruction's regions by memory, [memories, instructions]; a region counts `most`."""
    lengths = np.fromiter(map(len, regions), np.int64, len(regions))
    owner = np.repeat(np.arange(len(regions)), lengths)
    cells = np.fromiter(chain.from_iterable(chain.from_iterable(regions)), np.int64, 5 * len(owner))
    tensor, row0, row1, byte0, byte1 = cells.reshape(-1, 5).T
    sizes = np.zeros((len(_MEMORIES), len(regions)), dtype=np.int64)
    np.add.at(sizes, (memory[tensor], owner), np.minimum((row1 - row0) * (byte1 - byte0), most[owner]))
    return sizes


def packet_counts(trace: Trace, facts: Machine) -> dict[str, int]:
    """Packets of a trace's transfers by class, under Neuron Explorer's names; those of zero packets too.

    A profile's static packets contain the fetching of instructions besides.
    """
    counts = dict.fromkeys(PACKET_CLASSES.values(), 0)
    for core in trace.cores:
        for instruction in core:
            if instruction.transfer is not None:
                engines = movement(facts, instruction).mask.bit_count()
                kind = PACKET_CLASSES[instruction.transfer.dge]
                counts[kind] += packets(facts.dma, instruction.transfer, engines)
    return {f"{kind}_dma_packet_count": count for kind, count in counts.items()}


def spilled_bytes(trace: Trace) -> dict[str, int]:
    """What spilling saved and loaded again, under Neuron Explorer's names; {} where nothing was spilled."""
    found: dict[str, int] = {}
    for instruction in (i for core in trace.cores for i in core):
        for name, size in spill_bytes(instruction).items():
            found[name] = found.get(name, 0) + size
    return found


def necessary_bytes(trace: Trace) -> int:
    """Distinct bytes of kernel inputs read plus outputs written: what no reuse could save."""
    touched: dict[int, set[Region]] = {}
    moved: dict[int, int] = {}
    for core in trace.cores:
        for instruction in core:
            if instruction.transfer is None:
                continue
            wanted = [r for r in instruction.reads if trace.tensors[r.tensor].role == "input"]
            wanted += [r for r in instruction.writes if trace.tensors[r.tensor].role == "output"]
            for region in wanted:
                touched.setdefault(region.tensor, set()).add(region)
                moved[region.tensor] = moved.get(region.tensor, 0) + instruction.transfer.bytes
    return sum(min(moved[t], union_area(regions)) for t, regions in touched.items())


def union_area(regions: Iterable[Region]) -> int:
    """Bytes covered by at least one of the regions of one tensor."""
    boxes = np.array([r[1:] for r in regions], dtype=np.int64)
    rows, columns = np.unique(boxes[:, :2]), np.unique(boxes[:, 2:])
    if len(rows) * len(columns) > _GRID:
        return int(((boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])).sum())
    steps: np.ndarray[Any, Any] = np.zeros((len(rows), len(columns)), dtype=np.int64)
    row0, row1 = np.searchsorted(rows, boxes[:, 0]), np.searchsorted(rows, boxes[:, 1])
    col0, col1 = np.searchsorted(columns, boxes[:, 2]), np.searchsorted(columns, boxes[:, 3])
    for r, c, sign in ((row0, col0, 1), (row0, col1, -1), (row1, col0, -1), (row1, col1, 1)):
        np.add.at(steps, (r, c), sign)
    covered = steps.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0
    return int((covered * np.outer(np.diff(rows), np.diff(columns))).sum())
