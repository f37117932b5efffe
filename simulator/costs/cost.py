"""The shape of a cost, and what every engine's formulas share."""

from __future__ import annotations

from typing import NamedTuple

from simulator.machine.facts import ElementEngine
from simulator.trace import Instruction

_BYTES = {
    "float32": 4,
    "int32": 4,
    "uint32": 4,
    "tfloat32": 4,
    "float32r": 4,
    "float16": 2,
    "bfloat16": 2,
    "int16": 2,
    "uint16": 2,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
    "float8_e4m3fn_x4": 4,
    "float8_e5m2_x4": 4,
    "float4_e2m1fn_x4": 2,
}


class Cost(NamedTuple):
    """Times of one instruction in ns.

    `issue_ns`: the engine is taken, the next instruction may start after it. `latency_ns`: from start to
    complete result. `load_ns`: loading the stationary matrix, hidden behind the previous matmul where it
    can be. `work`: share of the tensor engine's peak rate that `issue_ns` stands for (what throttling
    measures). `table`: activation function set, 0 when any will do. `exclusive`: takes the SBUF port that
    VectorE's fast modes and GpSimd share.
    """

    issue_ns: float
    latency_ns: float
    load_ns: float = 0.0
    table: int = 0
    exclusive: bool = False


def itemsize(dtype: str) -> int:
    """Bytes of one element by NumPy/ml_dtypes/NKI name; one for the 8-bit types."""
    return _BYTES.get(dtype, 1)


_HALVES = frozenset({"bfloat16", "float16"})


def all_halves(instruction: Instruction) -> bool:
    """Whether every operand is bf16 or fp16, the types the documented fast modes are for."""
    return _HALVES.issuperset(instruction.dtypes)


def fast_elements(engine: ElementEngine, instruction: Instruction) -> float:
    """Elements per cycle and lane of an engine's fast mode: by the slowest of the operands' types."""
    if all_halves(instruction):
        return engine.wide_elements
    if all(d in _HALVES or d.startswith("float8") for d in instruction.dtypes):
        return engine.fp8_elements
    return engine.narrow_elements


def any_psum(instruction: Instruction) -> bool:
    """Whether any operand lies in PSUM."""
    return "psum" in instruction.memories


def streamed(
    engine: ElementEngine, instruction: Instruction, cycles: float, *, exclusive: bool = False
) -> Cost:
    """The cost of streaming `cycles` cycles through an element engine, with its fixed overheads."""
    pointers = engine.pointer_ns if instruction.attributes.get("pointers") else 0.0
    stream = (engine.start_cycles + cycles) / engine.clock_ghz + pointers + engine.issue_ns
    issue = max(engine.min_interval_cycles / engine.clock_ghz, stream)
    return Cost(issue, issue + engine.drain_ns, exclusive=exclusive)
