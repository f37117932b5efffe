"""Bytes of a trace: by instruction and memory, and what the kernel could not have avoided moving."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from simulator.compiler.spills import spill_bytes
from simulator.costs.cost import itemsize
from simulator.costs.dma import movement, packets
from simulator.machine.facts import Machine
from simulator.trace import Instruction, Region, Tensor, Trace

PACKET_CLASSES = {"swdge": "software_dynamic", "hwdge": "hardware_dynamic", "none": "static"}
_GRID = 4_000_000
"""Cells of the grid of cut points up to which the union of regions is computed exactly."""


def bytes_by_memory(instruction: Instruction, tensors: list[Tensor]) -> dict[str, int]:
    """Bytes an instruction reads and writes, by "hbm_read_bytes", "sbuf_write_bytes", and so on.

    A transfer moves `transfer.bytes`. A compute operand is its region; a strided one, whose region is a
    bounding box, no more than its elements.
    """
    found: dict[str, int] = {}
    if instruction.transfer is not None:
        moved = instruction.transfer
        _add(found, moved.source_memory, "read", moved.bytes)
        _add(found, moved.target_memory, "write", moved.bytes)
        return found
    wide = itemsize(instruction.dtypes[0]) if instruction.dtypes else 4
    most = 128 * max(1, instruction.elements) * max((itemsize(d) for d in instruction.dtypes), default=wide)
    for way, regions in (("read", instruction.reads), ("write", instruction.writes)):
        for region in regions:
            _add(found, tensors[region.tensor].memory, way, min(area(region), most))
    return found


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


def _add(found: dict[str, int], memory: str, way: str, size: int) -> None:
    name = f"{memory}_{way}_bytes"
    found[name] = found.get(name, 0) + size


def area(region: Region) -> int:
    """Bytes of a region's box."""
    return (region.row1 - region.row0) * (region.byte1 - region.byte0)


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
