"""Instructions and transfers as records of costs; what repeats in a launch is worked out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator.costs.cost import Cost
from simulator.costs.dma import Movement, movement
from simulator.costs.sequencer import COLLECTIVES
from simulator.costs.table import cost
from simulator.machine.facts import TARGETS, Machine
from simulator.timeline.compiled import entry
from simulator.timeline.lists import Array
from simulator.timeline.program import Movers, Program, Uses, numbered, stores_from
from simulator.timeline.state import (
    ENGINE,
    INSTRUCTION,
    LANES,
    PLAIN,
    SCALAR,
    TENSOR,
    TRANSFER,
    TRANSFERS,
)
from simulator.trace import Instruction, Operation

_NOTHING = Cost(0.0, 0.0)
_KINDS = {"hwdge": "DynamicHW", "swdge": "Dynamic", "none": "Static"}


_MOVED = np.dtype([(name, TRANSFERS[name]) for name in (*Movement._fields, "queue", "stores")])
"""What follows from a transfer and where it goes."""
_SAID = np.dtype(
    [
        (name, INSTRUCTION[name])
        for name in (
            *("issue_ns", "latency_ns", "load_ns", "semaphore_ns", "transfer_ns"),
            *("lane", "kind", "table", "banks", "reload", "exclusive", "collective"),
        )
    ]
)
"""What follows from an operation; `banks` and `reload` only say whether it touches PSUM and loads weights."""


@dataclass(slots=True)
class Records:
    """Instructions of a program, and the transfers they start. `queues` are (core, name)."""

    instructions: Array
    transfers: Array
    queues: list[tuple[int, str]]


def records(machine: Machine, program: Program) -> Records:
    """The records of a program: what follows from operations and transfers alone; `fill` adds the rest."""
    moved, queues = _movements(machine, program.movers)
    return Records(_operations(machine, program.examples)[program.operation], moved, queues)


@entry
def fill(made: Array, moved: Array, uses: Uses, fence: Array, partner: Array) -> None:
    """Add what depends on an instruction's place, and let none have started."""
    for core in range(len(uses.base) - 1):
        for g in range(uses.base[core], uses.base[core + 1]):
            i = made[g]
            i.lane += core * LANES
            i.fence, i.partner, i.transfer = fence[g], partner[g], -1
            i.start_ns = i.came_ns = -1.0
            i.critical = -1
    for number in range(len(moved)):
        transfer = moved[number]
        i = made[transfer.instruction]
        i.transfer, i.issue_ns, i.latency_ns = number, transfer.issue_ns, transfer.printed_ns
        transfer.started_ns = -1.0
        transfer.before = transfer.behind = -1
    place = 0
    for lane in range((len(uses.base) - 1) * LANES):
        for g in range(uses.base[lane // LANES], uses.base[lane // LANES + 1]):
            if made[g].lane == lane:
                made[g].place, made[place].at_place = place, g
                place += 1


def _movements(machine: Machine, movers: Movers) -> tuple[Array, list[tuple[int, str]]]:
    """What each mover moves, which depends on the partitions that take part, too; and the queues."""
    core, kind, row = (column.tolist() for column in (movers.core, movers.kind, movers.row))
    which, first = numbered(zip(core, kind, row, strict=True), len(kind))
    queues: dict[tuple[int, str], int] = {}
    said = []
    for k in first:
        example = movers.instructions[k]
        queue = queues.setdefault((core[k], queue_name(example)), len(queues))
        said.append((*movement(machine, example), queue, stores_from(example)))
    kinds = np.zeros(len(first), TRANSFERS)
    kinds[list(_MOVED.names or ())] = np.array(said, dtype=_MOVED)
    moved = kinds[which]
    moved["instruction"], moved["core"] = movers.place, movers.core
    return moved, list(queues)


def queue_name(instruction: Instruction) -> str:
    """The transfer's own queue name, or one per triggering engine and descriptor mode."""
    transfer = instruction.transfer
    assert transfer is not None
    return transfer.queue or f"q{instruction.engine.capitalize()}{_KINDS[transfer.dge]}"


def _operations(machine: Machine, examples: Sequence[Instruction]) -> Array:
    """A record per operation, by an instruction that does it, as if on the first core."""
    known = _known(machine)
    said = []
    for example in examples:
        key = example.operation, example.transfer is not None
        said.append(known.get(key) or known.setdefault(key, _said(machine, example)))
    made = np.zeros(len(examples), INSTRUCTION)
    made[list(_SAID.names or ())] = np.array(said, dtype=_SAID)
    return made


_Known = dict[tuple[Operation, bool], tuple[float, ...]]
_KNOWN: dict[int, tuple[Machine, _Known]] = {}
"""What operations come to on a machine, by its identity: launches share operations."""
_MANY = 1 << 17


def _known(machine: Machine) -> _Known:
    if len(_KNOWN) > len(TARGETS) or sum(len(known) for _, known in _KNOWN.values()) > _MANY:
        _KNOWN.clear()
    return _KNOWN.setdefault(id(machine), (machine, {}))[1]


def _said(machine: Machine, i: Instruction) -> tuple[float, ...]:
    """The values of `_SAID`."""
    moves = i.transfer is not None
    spent = _NOTHING if moves else cost(machine, i)
    semaphores = machine.semaphores
    return (
        *spent[:3],
        semaphores.tensor_ns if i.engine == "tensor" else semaphores.engine_ns,
        semaphores.transfer_to_trigger_ns if moves else semaphores.transfer_ns,
        ENGINE[i.engine],
        _kind(i, spent),
        spent.table,
        not moves and "psum" in i.memories,
        i.call == "nc_matmul",
        spent.exclusive,
        i.call in COLLECTIVES,
    )


def _kind(instruction: Instruction, spent: Cost) -> int:
    if instruction.transfer is not None:
        return TRANSFER
    if spent.load_ns and instruction.engine == "tensor":
        return TENSOR
    return SCALAR if spent.table and instruction.engine == "scalar" else PLAIN
