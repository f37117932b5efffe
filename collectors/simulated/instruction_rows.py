"""Instruction and Flow rows of a simulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from collectors.simulated.traffic import bytes_by_memory
from collectors.simulated.transfer_rows import transfer_id
from simulator.api import Simulation, Timeline
from simulator.compiler.spills import SPILLS, spill_bytes
from simulator.costs.cost import all_halves, any_psum, itemsize
from simulator.trace import Instruction, Trace

_BYTES = tuple(f"{m}_{w}_bytes" for m in ("hbm", "sbuf", "psum") for w in ("read", "write"))
_FAST_CALLS = frozenset({"tensor_copy", "tensor_scalar", "tensor_tensor"})

# Adjusted FLOPs of a dtype against bf16's, as Neuron Explorer 2.32 weighs them.
_FLOPS_WEIGHT = {"nc_matmul_mx": 0.25, 4: 4.0, 2: 1.0, 1: 0.5}


def instruction_table(simulation: Simulation) -> tuple[pa.Table, pa.Table]:
    """The Instruction table of both schedules, and the Flow table of what each waited for last."""
    trace, shown, other = simulation.trace, simulation.list_scheduled, simulation.as_written
    parts = [_core(trace, core, shown, other) for core in range(len(trace.cores))]
    loads = _table_loads(trace, shown)
    table = pa.concat_tables([*parts, *loads], promote_options="permissive")
    return table, _flow(trace, shown)


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
        "dma_wait_time_ns": pa.array(_transfer_waits(core, instructions, shown, end), pa.int64()),
    }
    places = [f"{s.file}:{s.line}" for s in trace.sources]
    columns["nki_source_location"] = pa.array(
        [places[i.source] if places else None for i in instructions], pa.string()
    )
    columns["layer"] = pa.array(
        [trace.sources[i.source].function if places else None for i in instructions], pa.string()
    )
    for name, value in _PER_INSTRUCTION.items():
        kind = pa.int64() if name.endswith(("flops", "elements", "transpose")) else pa.string()
        columns[name] = pa.array([value(i) for i in instructions], kind)
    columns["id"] = pa.array([instruction_id(core, i) for i in range(count)], pa.string())
    sizes = [bytes_by_memory(i, trace.tensors) for i in instructions]
    for name in _BYTES:
        columns[name] = pa.array([found.get(name, 0) for found in sizes], pa.int64())
    spills = [spill_bytes(i) for i in instructions]
    for name in SPILLS:
        columns[name] = pa.array([found.get(name, 0) for found in spills], pa.int64())
    return pa.table(columns)


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
    names = np.array([i.engine for i in instructions], dtype=object)
    for engine in set(names.tolist()):
        mine = np.flatnonzero(names == engine)
        mine = mine[np.argsort(start[mine], kind="stable")]
        before = np.concatenate(([0], np.maximum.accumulate(end[mine])[:-1]))
        waits[mine] = np.maximum(0, ready[mine] - before)
    return waits


def _transfer_waits(
    core: int, instructions: list[Instruction], shown: Timeline, end: np.ndarray[Any, Any]
) -> list[int | None]:
    """From the end of a DMA trigger to the first byte, for the instructions that trigger one."""
    waits: list[int | None] = [None] * len(instructions)
    for moved in shown.transfers:
        if moved.core == core:
            waits[moved.instruction] = max(0, round(moved.start_ns) - int(end[moved.instruction]))
    return waits


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


_PER_INSTRUCTION: dict[str, Callable[[Instruction], Any]] = {
    "engine": lambda i: i.engine,
    "opcode": lambda i: i.opcode,
    "operands": _operands,
    "kernel_instruction_name": lambda i: i.name,
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


def _flow(trace: Trace, shown: Timeline) -> pa.Table:
    before, after, tables, kinds, gaps = [], [], [], [], []
    moved = {(t.core, t.instruction): t.end_ns for t in shown.transfers}
    for core, instructions in enumerate(trace.cores):
        for index, (on, waited_for) in enumerate(shown.critical[core].tolist()):
            if on < 0:
                continue
            cause = on, waited_for
            done = moved.get(cause)
            waited_for_engine = cause[0] == core and (
                trace.cores[core][cause[1]].engine == instructions[index].engine
                and shown.start_ns[core][index] > shown.ready_ns[core][index]
            )
            from_transfer = done is not None and not waited_for_engine
            before.append(transfer_id(*cause) if from_transfer else instruction_id(*cause))
            after.append(instruction_id(core, index))
            tables.append("DmaPacketAggregated" if from_transfer else "Instruction")
            kinds.append("engine" if waited_for_engine else "data")
            finished = done if from_transfer and done is not None else shown.end_ns[cause[0]][cause[1]]
            gaps.append(round(float(shown.start_ns[core][index]) - float(finished)))
    return pa.table(
        {
            "in_id": pa.array(before, pa.string()),
            "out_id": pa.array(after, pa.string()),
            "in_table": pa.array(tables, pa.string()),
            "out_table": pa.array(["Instruction"] * len(after), pa.string()),
            "dependency_type": pa.array(kinds, pa.string()),
            "gap_time": pa.array(gaps, pa.int64()),
        }
    )
