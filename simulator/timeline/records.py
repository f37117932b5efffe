"""Instructions and transfers as records of costs; what repeats in a launch is worked out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from simulator.costs.cost import Cost
from simulator.costs.dma import Movement, movement
from simulator.costs.sequencer import COLLECTIVES
from simulator.costs.table import cost
from simulator.machine.facts import Machine
from simulator.timeline.lists import Array
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


@dataclass(slots=True)
class Records:
    """The records of the cores added so far; `queues` numbers the queues by core and name."""

    machine: Machine
    queues: dict[tuple[int, str], int] = field(default_factory=dict)
    _instructions: list[Array] = field(default_factory=list)
    _transfers: list[Array] = field(default_factory=list)

    def add(self, core: int, instructions: Sequence[Instruction]) -> Array:
        """A core's instructions; what they use is not known yet, but `reload` says whether they load weights
        and `banks` whether they touch PSUM.
        """
        example: dict[Operation, Instruction] = {i.operation: i for i in instructions}
        number = {operation: k for k, operation in enumerate(example)}
        kinds = _operations(self.machine, core, list(example.values()))
        made = kinds[[number[i.operation] for i in instructions]]
        made["fence"] = [i.no_reorder for i in instructions]
        moving = np.flatnonzero(made["kind"] == TRANSFER)
        moved = self._movements(core, [instructions[k] for k in moving.tolist()])
        earlier, transfers = sum(map(len, self._instructions)), sum(map(len, self._transfers))
        moved["instruction"] = earlier + moving
        made["transfer"] = -1
        made["transfer"][moving] = np.arange(transfers, transfers + len(moved))
        made["issue_ns"][moving], made["latency_ns"][moving] = moved["issue_ns"], moved["printed_ns"]
        self._instructions.append(made)
        self._transfers.append(moved)
        return made

    def joined(self) -> tuple[Array, Array]:
        """Instructions and transfers of all cores."""
        return (
            np.concatenate((*self._instructions, np.empty(0, INSTRUCTION))),
            np.concatenate((*self._transfers, np.empty(0, TRANSFERS))),
        )

    def _movements(self, core: int, instructions: Sequence[Instruction]) -> Array:
        """What each of these instructions moves; that depends on the partitions that take part, too."""
        keys = [(id(i.transfer), i.operation.engine, _first_partition(i)) for i in instructions]
        example = dict(zip(keys, instructions, strict=True))
        number = {key: k for k, key in enumerate(example)}
        moved = np.zeros(len(example), TRANSFERS)
        for record, i in zip(moved, example.values(), strict=True):
            for name, value in zip(Movement._fields, movement(self.machine, i), strict=True):
                record[name] = value
            record["queue"] = self.queues.setdefault((core, queue_name(i)), len(self.queues))
            record["stores"] = i.transfer is not None and i.transfer.target_memory == "hbm"
        moved["core"] = core
        return moved[np.array([number[key] for key in keys], dtype=np.int64)]


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


def _operations(machine: Machine, core: int, examples: Sequence[Instruction]) -> Array:
    """A record per operation, by an instruction that does it."""
    made = np.zeros(len(examples), INSTRUCTION)
    semaphores = machine.semaphores
    for record, i in zip(made, examples, strict=True):
        moves = i.transfer is not None
        spent = _NOTHING if moves else cost(machine, i)
        record["issue_ns"], record["latency_ns"], record["load_ns"] = spent[:3]
        record["table"], record["exclusive"] = spent.table, spent.exclusive
        record["kind"] = _kind(i, spent)
        record["lane"] = core * LANES + ENGINE[i.engine]
        record["semaphore_ns"] = semaphores.tensor_ns if i.engine == "tensor" else semaphores.engine_ns
        record["transfer_ns"] = semaphores.transfer_to_trigger_ns if moves else semaphores.transfer_ns
        record["reload"] = i.call == "nc_matmul"
        record["banks"] = not moves and "psum" in i.memories
        record["collective"] = i.call in COLLECTIVES
    return made


def _kind(instruction: Instruction, spent: Cost) -> int:
    if instruction.transfer is not None:
        return TRANSFER
    if spent.load_ns and instruction.engine == "tensor":
        return TENSOR
    return SCALAR if spent.table and instruction.engine == "scalar" else PLAIN
