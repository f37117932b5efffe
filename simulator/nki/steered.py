"""Which inputs' values chose addresses or loops: a walk over the instructions, tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_

from simulator.trace import Instruction, Region, Tensor

READS_A_REGISTER = "register_load"


def steering_inputs(cores: Sequence[Sequence[Instruction]], tensors: Sequence[Tensor]) -> tuple[str, ...]:
    """Names of the inputs that reached an address or a register, in any way.

    A tensor holds what flowed into any part of it, so what shares a tensor with a steering value counts too.
    """
    steered = {
        region[0]
        for core in cores
        for i in core
        if len(i.reads) + len(i.writes) > len(i.operation.dtypes) or i.operation.call == READS_A_REGISTER
        for region in _steering(i)
    }
    if not steered:
        return ()
    inputs = [tensor for tensor in tensors if tensor.role == "input"]
    held = [0] * len(tensors)  # a bit for each input that flowed into a tensor
    for bit, tensor in enumerate(inputs):
        held[tensor.id] = 1 << bit
    for _ in cores:  # once more for each core: what one brought the other through shared memory
        for core in cores:
            for instruction in core:
                brought = 0
                for region in instruction.reads:
                    brought |= held[region[0]]
                if brought:
                    for region in instruction.writes:
                        held[region[0]] |= brought
    reached = reduce(or_, [held[tensor] for tensor in steered])
    return tuple(sorted({tensor.name for bit, tensor in enumerate(inputs) if reached >> bit & 1}))


def _steering(instruction: Instruction) -> Sequence[Region]:
    """What an instruction reads to know where: what comes after its operands."""
    operation, reads = instruction.operation, instruction.reads
    if operation.call == READS_A_REGISTER:
        return reads
    operands = len(operation.dtypes) - len(instruction.writes)
    return reads[operands:] if len(reads) > operands >= 0 else ()
