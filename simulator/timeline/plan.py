"""Everything about a trace that both schedules need, as arrays: engines, costs, edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from simulator.machine.facts import Machine, machine
from simulator.pause import collector_paused
from simulator.timeline.boxes import Boxes, Tensors, columns, find_boxes
from simulator.timeline.capacity import Placement, place
from simulator.timeline.dependencies import Edges, find_edges
from simulator.timeline.lists import Array, Lists, grouped
from simulator.timeline.records import Records
from simulator.timeline.state import MEMORIES
from simulator.trace import Instruction, Trace


@dataclass(slots=True)
class Plan:
    """A trace made ready for scheduling. Instruction g is `instructions[g]`, cores one after another.

    Records are those of `simulator.timeline.state`: core c's instructions are
    `instructions[base[c]:base[c + 1]]`, `transfers` what the DMA instructions among them start. `queues` are
    (core, name). `edges` holds the lists that `waiting` and `following` of an instruction delimit.
    """

    trace: Trace
    machine: Machine
    base: list[int]
    instructions: Array
    transfers: Array
    queues: list[tuple[int, str]]
    edges: Array
    placements: list[Placement]


def prepare(trace: Trace) -> Plan:
    """The plan of a trace on its target's machine."""
    table = machine(trace.target)
    tensors = columns(trace.tensors)
    base = list(accumulate(map(len, trace.cores), initial=0))
    records, placements, edges = Records(table), list[Placement](), list[Edges]()
    with collector_paused():
        for core, instructions in enumerate(trace.cores):
            boxes = find_boxes(instructions, tensors)
            placement = place(boxes, tensors, table.onchip)
            found = find_edges(instructions, boxes, placement)
            made = records.add(core, instructions)
            _add_memory(made, boxes, _banks(boxes, placement, tensors, int(table.onchip.psum_bank_bytes)))
            made["waits"], made["orders"] = np.diff(found.waits.first), np.diff(found.orders.first)
            placements.append(placement)
            edges.append(found)
    made, moved = records.joined()
    _pair_up(made, (i for core in trace.cores for i in core))
    return Plan(
        trace=trace,
        machine=table,
        base=base,
        instructions=made,
        transfers=moved,
        queues=list(records.queues),
        edges=_add_edges(made, edges, base),
        placements=placements,
    )


def _add_memory(made: Array, boxes: Boxes, banks: Array) -> None:
    """Which weights a matmul needs, and which PSUM banks an instruction touches."""
    reads = boxes.reads
    multiplies = np.flatnonzero(made["reload"] & (np.diff(reads.first) > 0))
    made["reload"] = -1
    made["reload"][multiplies] = reads.items[reads.first[multiplies]]
    touched = np.zeros(len(made), dtype=np.int64)
    for uses in (reads, boxes.writes):
        there = np.flatnonzero(banks[uses.items])
        index = np.repeat(np.arange(len(made)), np.diff(uses.first))[there]
        np.bitwise_or.at(touched, index, banks[uses.items[there]])
    made["banks"] = np.where(made["banks"], touched, 0)


def _banks(boxes: Boxes, placement: Placement, tensors: Tensors, unit: int) -> Array:
    """The PSUM banks of each box, a bit each."""
    tensor, low, high = boxes.regions[:, 0], boxes.regions[:, 3], boxes.regions[:, 4]
    banks = np.zeros(len(tensor), dtype=np.int64)
    first, end = placement.banks.first[tensor], placement.banks.first[tensor + 1]
    at, last = first + low // unit, np.minimum(first + (high - 1) // unit + 1, end)
    within = np.flatnonzero((tensors.memory[tensor] == MEMORIES["psum"]) & (at < last))
    while len(within):
        banks[within] |= 1 << placement.banks.items[at[within]]
        at[within] += 1
        within = within[at[within] < last[within]]
    return banks


def _add_edges(made: Array, edges: Sequence[Edges], base: Sequence[int]) -> Array:
    """Who waits for each instruction of all cores, then who must only follow it, as one array."""
    waiting = _followers([each.waits for each in edges], base)
    following = _followers([each.orders for each in edges], base)
    for name, found, start in (("waiting", waiting, 0), ("following", following, len(waiting.items))):
        made[name][:, 0], made[name][:, 1] = found.first[:-1] + start, found.first[1:] + start
    return np.concatenate((waiting.items, following.items))


def _followers(edges: Sequence[Lists], base: Sequence[int]) -> Lists:
    """Who waits for each instruction of all cores, by who each waits for."""
    waited_for = [each.items + start for each, start in zip(edges, base, strict=False)]
    waiting = [
        np.repeat(np.arange(start, end), np.diff(each.first))
        for each, start, end in zip(edges, base, base[1:], strict=False)
    ]
    nothing = np.empty(0, dtype=np.int64)
    return grouped(np.concatenate((*waited_for, nothing)), np.concatenate((*waiting, nothing)), base[-1])


def _pair_up(made: Array, instructions: Iterable[Instruction]) -> None:
    """Match each exchange with the other core's; one that nobody answers waits for nobody."""
    made["partner"] = -1
    open_ends: dict[int, int] = {}
    for g, rendezvous in enumerate(i.rendezvous for i in instructions):
        if rendezvous is None:
            continue
        other = open_ends.pop(rendezvous, None)
        if other is None:
            open_ends[rendezvous] = g
        else:
            made["partner"][g], made["partner"][other] = other, g
