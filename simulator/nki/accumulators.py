"""The reduction registers of ScalarE and VectorE: one fp32 a partition, kept from instruction to instruction.

Source: NKI docs, nki.isa.activation, tensor_scalar_reduce, tensor_scalar_cumulative and reduce_cmd. The
instructions of one engine share its registers; reading them out costs the extra instruction `reduce` says.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.nki.isa.enums import reduce_cmd as Command
from simulator.nki.layout import Array
from simulator.nki.numerics import flat, store
from simulator.nki.ops import Op
from simulator.nki.rules import PARTITIONS, refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import current

IDENTITY = {"add": 0.0, "subtract": 0.0, "multiply": 1.0, "maximum": -np.inf, "minimum": np.inf}
REDUCING = (Command.reduce, Command.reset_reduce, Command.load_reduce)


def registers(engine: str, like: NkiTensor) -> Array:
    """The registers of the partitions a tile lies on."""
    held = current().accumulators.setdefault(engine, np.zeros(PARTITIONS, np.float32))
    first = like.start // like.storage.row_bytes
    part: Array = held[first : first + like.array.shape[0]]
    return part


def begin(engine: str, like: NkiTensor, op: Op, command: Command, init: Any = None) -> Array:
    """The registers as the reduction `command` starts with them."""
    if op.name not in IDENTITY:
        raise refuse("reduce-op", f"{op!r} does not reduce", f"use nl.{', nl.'.join(IDENTITY)}")
    held = registers(engine, like)
    if command in (Command.reset, Command.reset_reduce):
        held[...] = IDENTITY[op.name]
    elif command is Command.load_reduce:
        held[...] = flat(init)[:, 0] if isinstance(init, NkiTensor) else np.float32(init or 0)
    return held


def reduce(
    engine: str,
    like: NkiTensor,
    values: Any,
    op: Op,
    command: Command,
    result: NkiTensor | None = None,
    init: Any = None,
    negate: bool = False,
) -> None:
    """Reduce [partitions, …] values over the free dimensions into the registers, and those into `result`."""
    held = begin(engine, like, op, command, init)
    if command in REDUCING:
        rows = np.asarray(values, np.float32).reshape(held.shape[0], -1)
        held[...] = op.compute(held, op.reduce.reduce(rows, axis=1))
    if result is not None:
        store(result, -held if negate else held)


def cumulate(engine: str, like: NkiTensor, values: Array, op: Op, command: Command, init: Any) -> Array:
    """Every state of the registers as [partitions, free] values are reduced into them one by one."""
    held = begin(engine, like, op, command, init)
    states = np.empty(values.shape, np.float32)
    for index in range(values.shape[1]):
        held[...] = op.compute(values[:, index], held)
        states[:, index] = held
    return states
