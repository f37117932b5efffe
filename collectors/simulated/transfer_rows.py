"""DMA rows of a simulated timeline: transfers, each engine's share of them, and the queues."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from simulator.api import ScheduledTransfer, Timeline
from simulator.trace import Instruction, Trace, Transfer

QUEUE_TYPE = {"hwdge": "hardware_dynamic", "swdge": "software_dynamic", "none": "data"}
_PLACE = {"hbm": "DRAM", "sbuf": "SB", "psum": "PSUM"}

_TRANSFERS = pa.schema(
    [
        ("pcore_idx", pa.int32()),
        ("id", pa.string()),
        ("start_ts", pa.int64()),
        ("end_ts", pa.int64()),
        ("duration_ns", pa.int64()),
        ("queue_name", pa.string()),
        ("queue_idx", pa.int64()),
        ("queue_type", pa.string()),
        ("op", pa.string()),
        ("variable", pa.string()),
        ("read_bytes", pa.int64()),
        ("write_bytes", pa.int64()),
        ("transfer_bytes", pa.int64()),
        ("throughput", pa.float64()),
        ("source", pa.string()),
        ("dest", pa.string()),
        ("is_transpose_mode", pa.bool_()),
        ("descriptors", pa.int64()),
        ("trigger_idx", pa.int64()),
        ("nki_source_location", pa.string()),
    ]
)
_PACKETS = pa.schema(
    [("pcore_idx", pa.int32()), ("id", pa.string()), ("packet_aggregation_id", pa.string())]
    + [(name, pa.int64()) for name in ("start_ts", "end_ts", "duration_ns", "engine_idx", "queue_idx")]
    + [(name, pa.string()) for name in ("queue_name", "queue_type", "variable")]
    + [(name, pa.int64()) for name in ("read_bytes", "write_bytes", "transfer_bytes")]
    + [("throughput", pa.float64())]
)
_QUEUES = pa.schema(
    [("name", pa.string()), ("type", pa.string()), ("pcore_idx", pa.int32()), ("idx", pa.int64())]
)


def transfer_id(core: int, instruction: int) -> str:
    """The id of an instruction's transfer, as DmaPacketAggregated and Flow name it."""
    return f"dma:{core}:{instruction}"


def transfer_table(trace: Trace, timeline: Timeline) -> pa.Table:
    """DmaPacketAggregated: a row per transfer."""
    numbers = _queue_numbers(timeline)
    rows = [_transfer_row(trace, moved, numbers) for moved in timeline.transfers]
    return pa.Table.from_pylist(rows, _TRANSFERS)


def packet_table(trace: Trace, timeline: Timeline) -> pa.Table:
    """DmaPacket: a row per transfer and DMA engine, with the engine's share of the bytes."""
    numbers = _queue_numbers(timeline)
    rows = [row for moved in timeline.transfers for row in _packet_rows(trace, moved, numbers)]
    return pa.Table.from_pylist(rows, _PACKETS)


def queue_table(trace: Trace, timeline: Timeline) -> pa.Table:
    """DmaQueuesInfo: the queues transfers went through."""
    kinds = {
        (moved.core, moved.queue): QUEUE_TYPE[_transfer(trace, moved)[1].dge] for moved in timeline.transfers
    }
    rows = [
        {"name": queue, "type": kinds[core, queue], "pcore_idx": core, "idx": number}
        for (core, queue), number in _queue_numbers(timeline).items()
    ]
    return pa.Table.from_pylist(rows, _QUEUES)


def _queue_numbers(timeline: Timeline) -> dict[tuple[int, str], int]:
    names = sorted({(moved.core, moved.queue) for moved in timeline.transfers})
    seen: dict[int, int] = {}
    numbers = {}
    for core, queue in names:
        numbers[core, queue] = seen.get(core, 0)
        seen[core] = numbers[core, queue] + 1
    return numbers


def _transfer(trace: Trace, moved: ScheduledTransfer) -> tuple[Instruction, Transfer]:
    instruction = trace.cores[moved.core][moved.instruction]
    assert instruction.transfer is not None
    return instruction, instruction.transfer


def _variable(trace: Trace, instruction: Instruction) -> str:
    """The tensor in HBM a transfer is about, else the one it writes."""
    regions = (*instruction.reads, *instruction.writes)
    outside = [r for r in regions if trace.tensors[r.tensor].memory == "hbm"]
    chosen = outside or list(instruction.writes) or list(instruction.reads)
    return trace.tensors[chosen[0].tensor].name if chosen else ""


def _transfer_row(
    trace: Trace, moved: ScheduledTransfer, numbers: dict[tuple[int, str], int]
) -> dict[str, Any]:
    instruction, transfer = _transfer(trace, moved)
    start, end = round(moved.start_ns), round(moved.end_ns)
    source = trace.sources[instruction.source] if trace.sources else None
    return {
        "pcore_idx": moved.core,
        "id": transfer_id(moved.core, moved.instruction),
        "start_ts": start,
        "end_ts": end,
        "duration_ns": end - start,
        "queue_name": moved.queue,
        "queue_idx": numbers[moved.core, moved.queue],
        "queue_type": QUEUE_TYPE[transfer.dge],
        "op": "transpose" if transfer.transpose else "copy",
        "variable": _variable(trace, instruction),
        "read_bytes": transfer.bytes,
        "write_bytes": transfer.bytes,
        "transfer_bytes": transfer.bytes,
        "throughput": transfer.bytes / (end - start) * 1e9 if end > start else None,
        "source": _PLACE[transfer.source_memory],
        "dest": _PLACE[transfer.target_memory],
        "is_transpose_mode": transfer.transpose,
        "descriptors": transfer.descriptors,
        "trigger_idx": moved.instruction,
        "nki_source_location": f"{source.file}:{source.line}" if source else None,
    }


def _packet_rows(
    trace: Trace, moved: ScheduledTransfer, numbers: dict[tuple[int, str], int]
) -> list[dict[str, Any]]:
    instruction, transfer = _transfer(trace, moved)
    whole = transfer_id(moved.core, moved.instruction)
    share, rest = divmod(transfer.bytes, len(moved.engines))
    start, end = round(moved.start_ns), round(moved.end_ns)
    variable = _variable(trace, instruction)
    rows = []
    for position, engine in enumerate(moved.engines):
        size = share + (position < rest)
        rows.append(
            {
                "pcore_idx": moved.core,
                "id": f"{whole}:{engine}",
                "packet_aggregation_id": whole,
                "start_ts": start,
                "end_ts": end,
                "duration_ns": end - start,
                "engine_idx": engine,
                "queue_idx": numbers[moved.core, moved.queue],
                "queue_name": moved.queue,
                "queue_type": QUEUE_TYPE[transfer.dge],
                "variable": variable,
                "read_bytes": size,
                "write_bytes": size,
                "transfer_bytes": size,
                "throughput": size / (end - start) * 1e9 if end > start else None,
            }
        )
    return rows
