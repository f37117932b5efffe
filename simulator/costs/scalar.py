"""Scalar engine (ACT) costs, and which activation functions share a table.

Formulas: AWS Neuron SDK docs v2.26, nki.isa instruction costs; fast modes: trainium3_arch. Which functions
lie in one table is not published: the sets below are assumed from what the functions compute.
"""

from __future__ import annotations

from simulator.costs.cost import Cost, fast_elements, streamed
from simulator.machine.facts import ElementEngine, Machine
from simulator.trace import Instruction

IN_EVERY_TABLE = frozenset(
    {"", "copy", "identity", "square", "relu", "prelu", "abs", "sign", "bypass", "multiply", "add"}
)
FUNCTION_SETS: tuple[frozenset[str], ...] = (
    frozenset({"exp", "log"}),
    frozenset({"sqrt", "rsqrt", "reciprocal"}),
    frozenset({"sigmoid", "silu", "silu_dx", "tanh"}),
    frozenset(
        {"gelu", "gelu_dx", "gelu_apprx_tanh", "gelu_apprx_sigmoid", "gelu_apprx_sigmoid_dx", "erf", "erf_dx"}
    ),
    frozenset({"sin", "cos", "arctan"}),
    frozenset({"softplus", "mish"}),
)
_TABLE = {name: number for number, names in enumerate(FUNCTION_SETS, start=1) for name in names}
_FAST = frozenset({"tensor_copy", "tensor_scalar"})
_ACTIVATIONS = frozenset({"activation", "activation_reduce", "activate2", "exponential", "reciprocal"})


def scalar_cost(machine: Machine, instruction: Instruction) -> Cost:
    """The cost of an instruction on the scalar engine; activations carry the table they need."""
    engine = machine.scalar
    cost = streamed(engine, instruction, _cycles(engine, instruction))
    return cost._replace(table=table_of(instruction))


def table_of(instruction: Instruction) -> int:
    """The function set an instruction needs, 0 when any loaded table serves it."""
    if instruction.call not in _ACTIVATIONS:
        return 0
    name = str(instruction.attributes.get("op", instruction.call))
    return 0 if name in IN_EVERY_TABLE else _TABLE.get(name, len(FUNCTION_SETS) + 1)


def _cycles(engine: ElementEngine, instruction: Instruction) -> float:
    if instruction.call in _FAST:
        return instruction.elements / fast_elements(engine, instruction)
    reduces = instruction.call == "activation_reduce" or bool(instruction.attributes.get("reduce"))
    return instruction.elements + (engine.min_interval_cycles if reduces else 0.0)
