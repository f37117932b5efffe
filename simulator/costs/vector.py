"""Vector engine (DVE) costs in cycles per free-dimension element N.

Formulas: AWS Neuron SDK docs v2.26, nki.isa instruction costs, written for NeuronCore-v2; the fast modes on
top of them are those of nki/guides/architecture/trainium2_arch and trainium3_arch.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.costs.cost import Cost, all_halves, any_psum, fast_elements, streamed
from simulator.machine.facts import ElementEngine, Machine
from simulator.trace import Instruction

Formula = Callable[[ElementEngine, Instruction], float]
SLOW_OPERATORS = frozenset({"divide", "power", "pow", "mod", "fmod"})


def vector_cost(machine: Machine, instruction: Instruction) -> Cost:
    """The cost of an instruction on the vector engine; an unlisted call streams one element per cycle."""
    engine = machine.vector
    cycles = FORMULAS.get(instruction.call, _plain)(engine, instruction)
    fast = cycles < instruction.elements and not any_psum(instruction)
    return streamed(engine, instruction, cycles, exclusive=fast)


def elements_per_cycle(engine: ElementEngine, instruction: Instruction) -> float:
    """The fast mode of copies and tensor-scalar operations: 4x, 2x or 1x by dtype, memory and contiguity."""
    rate = fast_elements(engine, instruction)
    if any_psum(instruction):
        rate *= engine.psum_share
    if not instruction.attributes.get("contiguous", True):
        rate /= 2
    return max(1.0, rate)


def uses_slow_operator(instruction: Instruction) -> bool:
    """Whether an operator iterates as reciprocal does."""
    named = instruction.attributes
    return any(str(named.get(key, "")) in SLOW_OPERATORS for key in ("op", "op0", "op1"))


def _plain(_: ElementEngine, instruction: Instruction) -> float:
    return float(instruction.elements)


def _copy(engine: ElementEngine, instruction: Instruction) -> float:
    if uses_slow_operator(instruction):
        return engine.reciprocal_cycles * instruction.elements
    return instruction.elements / elements_per_cycle(engine, instruction)


def _memset(_: ElementEngine, instruction: Instruction) -> float:
    halved = all_halves(instruction) and instruction.attributes.get("value", 0) == 0
    return instruction.elements / (2 if halved else 1)


def _tensor_tensor(engine: ElementEngine, instruction: Instruction) -> float:
    if uses_slow_operator(instruction):
        return engine.reciprocal_cycles * instruction.elements
    if any_psum(instruction):
        return float(instruction.elements)
    rate = elements_per_cycle(engine, instruction) * engine.two_input_share
    return instruction.elements / max(1.0, rate)


def _reduce(_: ElementEngine, instruction: Instruction) -> float:
    halved = all_halves(instruction) and instruction.attributes.get("op") in {"add", "max", "maximum"}
    return instruction.elements / (2 if halved else 1)


def _with_reduction(engine: ElementEngine, instruction: Instruction) -> float:
    return max(engine.min_interval_cycles, instruction.elements) + engine.min_interval_cycles


def _double(_: ElementEngine, instruction: Instruction) -> float:
    return 2.0 * instruction.elements


def _predicated(_: ElementEngine, instruction: Instruction) -> float:
    return instruction.elements * (1.0 if any_psum(instruction) else 2.0)


def _reciprocal(engine: ElementEngine, instruction: Instruction) -> float:
    return engine.reciprocal_cycles * instruction.elements


def _exponential(engine: ElementEngine, instruction: Instruction) -> float:
    return instruction.elements / engine.exponential_elements


def _quantize(engine: ElementEngine, instruction: Instruction) -> float:
    return instruction.elements / engine.quantize_elements


def _bn_aggr(_: ElementEngine, instruction: Instruction) -> float:
    return 13.0 * (instruction.elements / 3)


FORMULAS: dict[str, Formula] = {
    "tensor_copy": _copy,
    "tensor_scalar": _copy,
    "memset": _memset,
    "tensor_tensor": _tensor_tensor,
    "scalar_tensor_tensor": _plain,
    "tensor_reduce": _reduce,
    "tensor_scalar_reduce": _with_reduction,
    "tensor_scalar_cumulative": _with_reduction,
    "tensor_tensor_scan": _double,
    "tensor_copy_predicated": _predicated,
    "select_reduce": _predicated,
    "reciprocal": _reciprocal,
    "exponential": _exponential,
    "quantize_mx": _quantize,
    "bn_aggr": _bn_aggr,
}
