"""Everything about a trace that both schedules need, as arrays: engines, costs, edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.machine.facts import Machine, machine
from simulator.pause import collector_paused
from simulator.timeline.boxes import find_overlaps
from simulator.timeline.capacity import Placement, banks_of, place
from simulator.timeline.compiled import entry, part
from simulator.timeline.dependencies import Edges, find_edges
from simulator.timeline.lists import Array
from simulator.timeline.program import Tensors, Uses, columns, program_of
from simulator.timeline.records import fill, records
from simulator.trace import Trace


@dataclass(slots=True)
class Plan:
    """A trace made ready for scheduling. Instruction g is `instructions[g]`, cores one after another.

    Records are those of `simulator.timeline.state`: core c's instructions are
    `instructions[base[c]:base[c + 1]]`, `transfers` what the DMA instructions among them start. `queues` are
    (core, name). `edges` holds the lists that `waiting` and `following` of an instruction delimit.
    `places` are instructions as (core, index), [n + 1, 2]; the last row, (-1, -1), is what -1 names.
    `peaks` are of each core's live sets: bytes per partition of SBUF, then of PSUM.
    """

    trace: Trace
    machine: Machine
    base: Array
    instructions: Array
    transfers: Array
    queues: list[tuple[int, str]]
    edges: Array
    places: Array
    peaks: Array


def prepare(trace: Trace) -> Plan:
    """The plan of a trace on its target's machine."""
    table = machine(trace.target)
    with collector_paused():
        tensors, program = columns(trace.tensors), program_of(trace.cores)
        made = records(table, program)
    uses = program.uses
    placement = place(uses, tensors, table.onchip)
    found = find_edges(program, find_overlaps(uses, tensors), placement)
    edges = np.empty(len(found.waits.items) + len(found.orders.items), dtype=np.int64)
    fill(made.instructions, made.transfers, uses, program.fence, program.partner)
    connect(made.instructions, found, edges)
    touch(made.instructions, uses, tensors, placement, int(table.onchip.psum_bank_bytes))
    return Plan(
        trace=trace,
        machine=table,
        base=uses.base,
        instructions=made.instructions,
        transfers=made.transfers,
        queues=made.queues,
        edges=edges,
        places=_places(uses.base),
        peaks=placement.peaks,
    )


def _places(base: Array) -> Array:
    counts = np.diff(base)
    places = np.full((base[-1] + 1, 2), -1, dtype=np.int64)
    places[:-1, 0] = np.repeat(np.arange(len(counts)), counts)
    places[:-1, 1] = np.arange(base[-1]) - np.repeat(base[:-1], counts)
    return places


@entry
def connect(made: Array, found: Edges, edges: Array) -> None:
    """Put who waits for each instruction into `edges`, then who must only follow it, and count what each
    waits for.
    """
    for i in range(len(made)):
        made[i].waits = found.waits.first[i + 1] - found.waits.first[i]
        made[i].orders = found.orders.first[i + 1] - found.orders.first[i]
        made[i].waiting[1] = made[i].following[1] = 0
    for producer in found.waits.items:
        made[producer].waiting[1] += 1
    for producer in found.orders.items:
        made[producer].following[1] += 1
    end = 0
    for i in range(len(made)):
        made[i].waiting[0], end = end, end + made[i].waiting[1]
        made[i].waiting[1] = made[i].waiting[0]
    for i in range(len(made)):
        made[i].following[0], end = end, end + made[i].following[1]
        made[i].following[1] = made[i].following[0]
    for i in range(len(made)):
        for at in range(found.waits.first[i], found.waits.first[i + 1]):
            waiting = made[found.waits.items[at]].waiting
            edges[waiting[1]] = i
            waiting[1] += 1
        for at in range(found.orders.first[i], found.orders.first[i + 1]):
            following = made[found.orders.items[at]].following
            edges[following[1]] = i
            following[1] += 1


@entry
def touch(made: Array, uses: Uses, tensors: Tensors, placement: Placement, bank: int) -> None:
    """Note which weights a matmul needs, and which PSUM banks an instruction touches."""
    for core in range(len(uses.base) - 1):
        for i in range(uses.base[core], uses.base[core + 1]):
            read = uses.reads.first[i + 1] > uses.reads.first[i]
            made[i].reload = uses.reads.items[uses.reads.first[i]] if made[i].reload and read else -1
            if made[i].banks:
                made[i].banks = _banks(uses, tensors, placement, core, i, bank)


@part
def _banks(uses: Uses, tensors: Tensors, placement: Placement, core: int, i: int, bank: int) -> int:
    bits = 0
    for each in (uses.reads, uses.writes):
        for at in range(each.first[i], each.first[i + 1]):
            bits |= banks_of(uses, tensors, placement, core, each.items[at], bank)
    return bits
