"""Which inputs' values chose addresses or loops: a walk over the instructions, tensor by tensor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from simulator.trace import Instruction, Region, Tensor

READS_A_REGISTER = "register_load"


def steering_inputs(cores: Sequence[Sequence[Instruction]], tensors: Sequence[Tensor]) -> tuple[str, ...]:
    """Names of the inputs that reached an address or a register, in any way.

    A tensor holds what flowed into any part of it, so what shares a tensor with a steering value counts too.
    """
    steered = {r[0] for core in cores for i in core if (found := _steering(i)) for r in found}
    if not steered:
        return ()
    held: dict[int, set[str]] = defaultdict(set)
    held |= {t.id: {t.name} for t in tensors if t.role == "input"}
    for _ in cores:  # once more for each core: what one brought the other through shared memory
        for core in cores:
            for instruction in core:
                brought = set().union(*(held[region[0]] for region in instruction.reads))
                for region in instruction.writes if brought else ():
                    held[region[0]] |= brought
    return tuple(sorted(set().union(*(held[tensor] for tensor in steered))))


def _steering(instruction: Instruction) -> Sequence[Region]:
    """What an instruction reads to know where: what comes after its operands."""
    if instruction.call == READS_A_REGISTER:
        return instruction.reads
    operands = len(instruction.dtypes) - len(instruction.writes)
    return instruction.reads[operands:] if len(instruction.reads) > operands >= 0 else ()
