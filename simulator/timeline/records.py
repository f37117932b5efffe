"""Instructions and transfers as records of costs; what repeats in a launch is worked out once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from simulator.costs.cost import Cost
from simulator.costs.dma import Movement, movement
from simulator.costs.sequencer import COLLECTIVES
from simulator.costs.table import cost
from simulator.machine.facts import Machine
from simulator.timeline.compiled import entry
from simulator.timeline.lists import Array
from simulator.timeline.program import Program, Uses
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
from simulator.trace import Instruction

_NOTHING = Cost(0.0, 0.0)
_KINDS = {"hwdge": "DynamicHW", "swdge": "Dynamic", "none": "Static"}


_SAID = (
    "issue_ns",
    "latency_ns",
    "load_ns",
    "semaphore_ns",
    "transfer_ns",
    "lane",
    "kind",
    "table",
    "banks",
    "reload",
    "exclusive",
    "collective",
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
    core = np.searchsorted(program.uses.base[1:], program.moving, side="right")
    moved, queues = _movements(machine, core.tolist(), program.movers)
    moved["instruction"], moved["core"] = program.moving, core
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


def _movements(
    machine: Machine, cores: Sequence[int], movers: Sequence[Instruction]
) -> tuple[Array, list[tuple[int, str]]]:
    """What each of these instructions moves, which depends on the partitions that take part, too."""
    numbers: defaultdict[tuple[int, ...], int] = defaultdict(count().__next__)
    first: list[int] = []
    which = []
    for k, (core, i) in enumerate(zip(cores, movers, strict=True)):
        number = numbers[core, id(i.transfer), ENGINE[i.operation.engine], _first_partition(i)]
        which.append(number)
        if number == len(first):
            first.append(k)
    queues: dict[tuple[int, str], int] = {}
    moved = np.zeros(len(first), TRANSFERS)
    said = [*Movement._fields, "queue", "stores"]
    moved[said] = np.array(
        [
            (
                *movement(machine, movers[k]),
                queues.setdefault((cores[k], queue_name(movers[k])), len(queues)),
                _stores(movers[k]),
            )
            for k in first
        ],
        dtype=[(name, TRANSFERS[name]) for name in said],
    )
    return moved[np.array(which, dtype=np.int64)], list(queues)


def _stores(instruction: Instruction) -> bool:
    return instruction.transfer is not None and instruction.transfer.target_memory == "hbm"


def _first_partition(instruction: Instruction) -> int:
    """The first on the side of a transfer that is on the chip."""
    transfer = instruction.transfer
    assert transfer is not None
    side = instruction.reads if transfer.target_memory == "hbm" else instruction.writes
    return side[0].row0 if side and transfer.partitions else 0


def queue_name(instruction: Instruction) -> str:
    """The transfer's own queue name, or one per triggering engine and descriptor mode."""
    transfer = instruction.transfer
    assert transfer is not None
    return transfer.queue or f"q{instruction.engine.capitalize()}{_KINDS[transfer.dge]}"


def _operations(machine: Machine, examples: Sequence[Instruction]) -> Array:
    """A record per operation, by an instruction that does it, as if on the first core."""
    made = np.zeros(len(examples), INSTRUCTION)
    said = np.dtype([(name, INSTRUCTION[name]) for name in _SAID])
    made[list(_SAID)] = np.array([_said(machine, example) for example in examples], dtype=said)
    return made


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
