"""Cost of any instruction: the engine's table, with equal instructions computed once."""

from __future__ import annotations

from collections.abc import Callable

from simulator.costs.cost import Cost
from simulator.costs.gpsimd import gpsimd_cost
from simulator.costs.scalar import scalar_cost
from simulator.costs.sequencer import sequencer_cost
from simulator.costs.tensor import tensor_cost
from simulator.costs.vector import vector_cost
from simulator.machine.facts import Machine
from simulator.trace import Instruction, Operation

_BY_ENGINE: dict[str, Callable[[Machine, Instruction], Cost]] = {
    "tensor": tensor_cost,
    "vector": vector_cost,
    "scalar": scalar_cost,
    "gpsimd": gpsimd_cost,
}


def cost(machine: Machine, instruction: Instruction) -> Cost:
    """The cost of one instruction that is not a transfer (see `simulator.costs.dma` for those)."""
    sequenced = sequencer_cost(machine, instruction)
    return sequenced if sequenced is not None else _BY_ENGINE[instruction.engine](machine, instruction)


class CostTable:
    """`cost` with memory: kernels repeat few distinct instructions many times."""

    __slots__ = ("_known", "_machine")

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._known: dict[Operation, Cost] = {}

    def __call__(self, instruction: Instruction) -> Cost:
        """The cost of one instruction that is not a transfer."""
        operation = instruction.operation
        found = self._known.get(operation)
        if found is None:
            found = self._known[operation] = cost(self._machine, instruction)
        return found
