"""Fields of the summary recomputed from rows, each with what rounding to nanoseconds may leave between them.

A row's times are cut to nanoseconds and the summary's are not, so a sum over n rows may be n ns short, and so
may a union of n intervals. Instructions are counted to within one: profilers leave the last out now and then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collectors.readers.reading import Rows
from collectors.readers.rows import Covered, count
from collectors.readers.sql import Ask, asking
from collectors.records import ENGINE_NAMES

NS = 1e-9
BYTES = tuple(f"{memory}_{way}_bytes" for memory in ("hbm", "sbuf", "psum") for way in ("read", "write"))
THROTTLED = re.compile(r"throttle_active_nc(\d+)_time_ns")
CLASSES = ("static", "software_dynamic", "hardware_dynamic")
"""Queue types as the summary counts them: every other type is static, instruction fetch among them."""


@dataclass(frozen=True, slots=True)
class RowSum:
    """What rows say a field is, in the field's unit, and the absolute difference that is only rounding."""

    value: float
    slack: float = 0.0


def row_sums(
    rows: Rows, covered: Mapping[str, Covered], summary: Mapping[str, Any] | None = None
) -> dict[str, RowSum]:
    """Fields by name, of tables that have rows. `covered` is when engines and DMA were active; `summary`
    names the cores that throttling is told of.
    """
    found: dict[str, RowSum] = {}
    with asking(rows) as ask:
        if count(rows, "Instruction"):
            found |= _of_instructions(ask)
        if count(rows, "DmaPacket"):
            found |= _of_packets(ask)
        if count(rows, "Throttle"):
            found |= _of_throttling(ask, summary or {})
    return found | _of_activity(rows, covered)


def _of_instructions(ask: Ask) -> dict[str, RowSum]:
    """Bytes, and by engine instructions and their time; a semaphore's wait is not counted as time."""
    sums = ", ".join(f"sum({name}) AS {name}" for name in BYTES)
    by_engine = ask(
        f"SELECT engine, count(*) AS rows, {sums}, count(*) FILTER (opcode = 'MATMUL') AS matmuls, "  # noqa: S608
        "sum(duration_ns) FILTER (opcode <> 'EVENT_SEMAPHORE') AS spent FROM Instruction GROUP BY engine"
    ).to_pylist()
    found = {"matmul_instruction_count": RowSum(sum(row["matmuls"] for row in by_engine), 1.0)}
    for name in BYTES:
        known = [float(row[name]) for row in by_engine if row[name] is not None]
        if known:
            found[name] = RowSum(sum(known))
    for row in by_engine:
        if row["engine"] in ENGINE_NAMES:
            found[f"{row['engine']}_engine_instruction_count"] = RowSum(row["rows"], 1.0)
            spent = float(row["spent"] or 0) * NS
            found[f"{row['engine']}_engine_instruction_time"] = RowSum(spent, row["rows"] * NS)
    return found


def _of_packets(ask: Ask) -> dict[str, RowSum]:
    """Packets and bytes of the three classes of queues, and the packets' time."""
    by_type = ask(
        "SELECT queue_type, count(*) AS rows, sum(transfer_bytes) AS bytes, sum(duration_ns) AS spent "
        "FROM DmaPacket GROUP BY queue_type"
    ).to_pylist()
    found: dict[str, RowSum] = {}
    for each in CLASSES:
        mine = [
            row
            for row in by_type
            if (row["queue_type"] if row["queue_type"] in CLASSES else "static") == each
        ]
        found[f"{each}_dma_packet_count"] = RowSum(sum(row["rows"] for row in mine))
        found[f"{each}_dma_size"] = RowSum(sum(float(row["bytes"] or 0) for row in mine))
    rows = sum(row["rows"] for row in by_type)
    spent = sum(float(row["spent"] or 0) for row in by_type)
    return found | {"dma_packet_time": RowSum(spent * NS, rows * NS)}


def _of_throttling(ask: Ask, summary: Mapping[str, Any]) -> dict[str, RowSum]:
    """Time with a limit below 1 on each core. The summary numbers cores of the device, rows those of a
    logical core, both in one order.
    """
    rows = ask(
        "SELECT coalesce(pcore_idx, 0) AS core, count(*) AS rows, sum(duration) AS spent "
        "FROM Throttle WHERE k < n GROUP BY core ORDER BY core"
    ).to_pylist()
    spent = {row["core"]: RowSum(float(row["spent"] or 0), row["rows"]) for row in rows}
    cores = sorted(int(found[1]) for name in summary if (found := THROTTLED.fullmatch(name)))
    return {
        f"throttle_active_nc{core}_time_ns": spent.get(place, RowSum(0.0)) for place, core in enumerate(cores)
    }


def _of_activity(rows: Rows, covered: Mapping[str, Covered]) -> dict[str, RowSum]:
    found = {}
    for engine, each in covered.items():
        if engine == "dma" and not count(rows, "DmaPacket"):
            continue
        name = "dma_active_time" if engine == "dma" else f"{engine}_engine_active_time"
        found[name] = RowSum(each.total_ns * NS, len(each.start) * NS)
    return found
