"""GpSimd costs. Formulas: AWS Neuron SDK docs v2.26, nki.isa instruction costs; topk: nki.isa of NKI 0.6.

No formula was ever published for the calls of `ASSUMED`; the figures there are cycles per element.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.costs.cost import Cost, any_psum, itemsize, streamed
from simulator.costs.vector import uses_slow_operator
from simulator.machine.facts import ElementEngine, Machine
from simulator.trace import Instruction

ASSUMED: dict[str, float] = {
    "tensor_partition_reduce": 8.0,
    "nc_n_gather": 4.0,
    "nonzero_with_count": 2.0,
    "sequence_bounds": 2.0,
    "rng": 2.0,
    "rand_set_state": 1.0,
    "rand_get_state": 1.0,
}


def gpsimd_cost(machine: Machine, instruction: Instruction) -> Cost:
    """The cost of an instruction on GpSimd; an unlisted call streams one element per cycle."""
    if instruction.call == "sendrecv":
        return _sendrecv(machine, instruction)
    formula = FORMULAS.get(instruction.call)
    per_element = ASSUMED.get(instruction.call, 1.0)
    cycles = formula(machine.gpsimd, instruction) if formula else per_element * instruction.elements
    return streamed(machine.gpsimd, instruction, cycles, exclusive="sbuf" in instruction.memories)


def _sendrecv(machine: Machine, instruction: Instruction) -> Cost:
    size = instruction.partitions * instruction.elements * itemsize(instruction.dtypes[0])
    start = machine.gpsimd.start_cycles / machine.gpsimd.clock_ghz
    busy = start + size / machine.pair.gpsimd_dma_bytes_per_ns
    return Cost(busy, busy + machine.pair.barrier_ns)


def _tensor_tensor(engine: ElementEngine, instruction: Instruction) -> float:
    if uses_slow_operator(instruction):
        return engine.reciprocal_cycles * instruction.elements
    return instruction.elements / (1.0 if any_psum(instruction) else engine.two_input_share)


def _tensor_scalar(engine: ElementEngine, instruction: Instruction) -> float:
    named = instruction.attributes
    slow = uses_slow_operator(instruction) or "rsqrt" in {named.get("op0"), named.get("op1")}
    return instruction.elements * (engine.reciprocal_cycles / 2 if slow else 1.0)


def _local_gather(_: ElementEngine, instruction: Instruction) -> float:
    each = int(instruction.attributes.get("num_elem_per_idx", 1))
    valid = instruction.attributes.get("num_valid_indices") or instruction.elements
    words = 4 * each
    rate = ((28 + words) / words) / min(4 / itemsize(instruction.dtypes[0]), each)
    return int(valid) * each / rate


def _topk(_: ElementEngine, instruction: Instruction) -> float:
    return 4.0 * instruction.elements + float(instruction.attributes.get("n", 8))


FORMULAS: dict[str, Callable[[ElementEngine, Instruction], float]] = {
    "tensor_tensor": _tensor_tensor,
    "tensor_scalar": _tensor_scalar,
    "local_gather": _local_gather,
    "topk": _topk,
}
