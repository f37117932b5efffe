"""Instruction and Flow rows of a simulation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from collectors.simulated.traffic import bytes_by_memory
from simulator.api import Simulation
from simulator.compiler.spills import SPILLS, spill_bytes
from simulator.costs.cost import all_halves, any_psum, itemsize
from simulator.timeline.program import numbered
from simulator.timelines import Timeline
from simulator.trace import ENGINES, Instruction, Trace

_FAST_CALLS = frozenset({"tensor_copy", "tensor_scalar", "tensor_tensor"})

# Adjusted FLOPs of a dtype against bf16's, as Neuron Explorer 2.32 weighs them.
_FLOPS_WEIGHT = {"nc_matmul_mx": 0.25, 4: 4.0, 2: 1.0, 1: 0.5}


def instruction_table(simulation: Simulation) -> pa.Table:
    """The Instruction table of both schedules."""
    trace, shown, other = simulation.trace, simulation.list_scheduled, simulation.as_written
    parts = [_core(trace, core, shown, other) for core in range(len(trace.cores))]
    loads = _table_loads(trace, shown)
    return pa.concat_tables([*parts, *loads], promote_options="permissive")


def instruction_id(core: int, index: int) -> str:
    """The id of an instruction, unique over both cores."""
    return f"{core}:{index}"


def _core(trace: Trace, core: int, shown: Timeline, other: Timeline) -> pa.Table:
    instructions = trace.cores[core]
    count = len(instructions)
    start, end, ready = (_whole(v[core]) for v in (shown.start_ns, shown.end_ns, shown.ready_ns))
    columns: dict[str, Any] = {
        "pcore_idx": pa.array([core] * count, pa.int32()),
        "idx": np.arange(count, dtype=np.int64),
        "start_ts": start,
        "end_ts": end,
        "duration_ns": end - start,
        "ready_ts": ready,
        "other_start_ts": _whole(other.start_ns[core]),
        "other_end_ts": _whole(other.end_ns[core]),
        "evt_wait_time_ns": _semaphore_waits(instructions, start, end, ready),
        "dma_wait_time_ns": _transfer_waits(core, shown, end),
    }
    places = pa.array([f"{s.file}:{s.line}" for s in trace.sources], pa.string())
    functions = pa.array([s.function for s in trace.sources], pa.string())
    at = pa.array([i.source if trace.sources else None for i in instructions], pa.int64())
    columns |= {"nki_source_location": places.take(at), "layer": functions.take(at)}
    columns |= _by_operation(instructions)
    columns["kernel_instruction_name"] = pa.array([i.name for i in instructions], pa.string())
    columns["id"] = pa.array([instruction_id(core, k) for k in range(count)], pa.string())
    columns |= bytes_by_memory(instructions, trace.tensors)
    spills = [spill_bytes(i) for i in instructions]
    for name in SPILLS:
        columns[name] = pa.array([found.get(name, 0) for found in spills], pa.int64())
    return pa.table(columns)


def _by_operation(instructions: Sequence[Instruction]) -> dict[str, pa.Array]:
    """The columns that equal operations share, each worked out once for all of them."""
    operation, first = numbered((i.operation for i in instructions), len(instructions))
    examples, which = [instructions[k] for k in first], pa.array(operation)
    columns = {}
    for name, value in _PER_OPERATION.items():
        kind = pa.int64() if name.endswith(("flops", "elements", "transpose")) else pa.string()
        columns[name] = pa.array([value(i) for i in examples], kind).take(which)
    return columns


def _whole(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    rounded: np.ndarray[Any, Any] = np.rint(values).astype(np.int64)
    return rounded


def _semaphore_waits(
    instructions: list[Instruction],
    start: np.ndarray[Any, Any],
    end: np.ndarray[Any, Any],
    ready: np.ndarray[Any, Any],
) -> np.ndarray[Any, Any]:
    """How long an engine stood idle for each instruction's data: from the end of its previous one to
    readiness.
    """
    waits = np.zeros(len(instructions), dtype=np.int64)
    engines = np.array([ENGINES.index(i.engine) for i in instructions], dtype=np.int64)
    for engine in range(len(ENGINES)):
        mine = np.flatnonzero(engines == engine)
        mine = mine[np.argsort(start[mine], kind="stable")]
        before = np.concatenate(([0], np.maximum.accumulate(end[mine])[:-1]))
        waits[mine] = np.maximum(0, ready[mine] - before)
    return waits


def _transfer_waits(core: int, shown: Timeline, end: np.ndarray[Any, Any]) -> pa.Array:
    """From the end of a DMA trigger to the first byte, for the instructions that trigger one."""
    waits, none = np.zeros(len(end), dtype=np.int64), np.ones(len(end), dtype=np.bool_)
    own = shown.transfers.core == core
    triggers = shown.transfers.instruction[own]
    waits[triggers] = np.maximum(0, _whole(shown.transfers.start_ns[own]) - end[triggers])
    none[triggers] = False
    return pa.array(waits, mask=none)


def _performance_mode(instruction: Instruction) -> str | None:
    if instruction.engine != "vector" or instruction.call not in _FAST_CALLS or any_psum(instruction):
        return None
    wide = all_halves(instruction) and instruction.call != "tensor_tensor"
    return "4x" if wide and instruction.attributes.get("contiguous", True) else "2x"


def _is_transpose(instruction: Instruction) -> bool:
    return instruction.call == "nc_transpose" or bool(instruction.attributes.get("is_transpose"))


def _tensor_kind(instruction: Instruction) -> str | None:
    if instruction.engine != "tensor":
        return None
    return "TRANSPOSE" if _is_transpose(instruction) else "REGULAR"


def _adjusted(instruction: Instruction) -> int:
    if not instruction.macs:
        return 0
    size = max(itemsize(d) for d in instruction.dtypes[1:] or instruction.dtypes)
    weight = _FLOPS_WEIGHT.get(instruction.call, _FLOPS_WEIGHT.get(size, 1.0))
    return round(2 * instruction.macs * weight)


def _operands(instruction: Instruction) -> str:
    operands = " ".join(f"{d}@{m}" for d, m in zip(instruction.dtypes, instruction.memories, strict=False))
    return f"{instruction.call} {operands} [{instruction.partitions},{instruction.elements}]"


_PER_OPERATION: dict[str, Callable[[Instruction], Any]] = {
    "engine": lambda i: i.engine,
    "opcode": lambda i: i.opcode,
    "operands": _operands,
    "performance_mode": _performance_mode,
    "tensor_instruction_type": _tensor_kind,
    "tensor_elements": lambda i: i.macs if i.engine == "tensor" else None,
    "raw_flops": lambda i: 2 * i.macs,
    "adjusted_flops": _adjusted,
    "flops_transpose": lambda i: 2 * i.macs if _is_transpose(i) else 0,
    "scalar_activation_fn": lambda i: str(i.attributes["op"]) if _activates(i) else None,
}


def _activates(instruction: Instruction) -> bool:
    return instruction.call.startswith("activat") and "op" in instruction.attributes


def _table_loads(trace: Trace, shown: Timeline) -> list[pa.Table]:
    """A row per activation-table load; no instruction of the kernel, so numbered after its last."""
    rows = []
    following = [len(core) for core in trace.cores]
    for core, start, end in shown.table_loads:
        rows.append(
            {
                "pcore_idx": core,
                "idx": following[core],
                "start_ts": round(start),
                "end_ts": round(end),
                "duration_ns": round(end) - round(start),
                "engine": "scalar",
                "opcode": "ACT_TABLE_LOAD",
                "operands": "",
                "id": instruction_id(core, following[core]),
            }
        )
        following[core] += 1
    if not rows:
        return []
    table = pa.Table.from_pylist(rows)
    return [table.set_column(0, "pcore_idx", table.column("pcore_idx").cast(pa.int32()))]
