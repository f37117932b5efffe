"""What rows say of a profile: its execution, its engines' active time, the summary's own sums."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collectors.readers.opcodes import NOT_EXECUTION
from collectors.readers.reading import Reading
from collectors.records import ENGINE_NAMES

Tables = Mapping[str, pa.Table]
BYTE_FIELDS = tuple(
    f"{memory}_{way}_bytes" for memory in ("hbm", "sbuf", "psum") for way in ("read", "write")
)


def window(tables: Tables) -> tuple[int, int] | None:
    """First start and last end of instructions that do work and of transfers somebody waits for, in ns.

    nki-library's ActiveInferenceTime: opcodes of sequencing do not count, nor DMA without a semaphore.
    """
    ranges = []
    rows = tables.get("Instruction")
    if rows is not None and rows.num_rows:
        ranges.append(_working(rows))
    moves = tables.get("DmaPacketAggregated")
    if moves is not None and moves.num_rows and "semaphore_id" in moves.column_names:
        ranges.append(moves.filter(pc.not_equal(pc.fill_null(moves["semaphore_id"], "-1"), "-1")))
    ranges = [each for each in ranges if each.num_rows]
    if not ranges:
        return None
    first = min(pc.min(each["start_ts"]).as_py() for each in ranges)
    last = max(pc.max(each["end_ts"]).as_py() for each in ranges)
    return (first, last) if last > first else None


def active_ns(tables: Tables, bounds: tuple[int, int] | None) -> dict[str, float]:
    """Time each engine, and DMA, is active within the execution; engines without rows are not named."""
    if bounds is None:
        return {}
    found: dict[str, float] = {}
    rows = tables.get("ActiveTime")
    if rows is not None and rows.num_rows:
        for engine in ENGINE_NAMES[:-1]:
            mine = rows.filter(pc.equal(rows["engine"], engine))
            found[engine] = union_ns(mine, bounds)
    packets = _packets(tables)
    if packets is not None:
        found["dma"] = union_ns(packets, bounds)
    return found


def union_ns(rows: pa.Table, bounds: tuple[int, int]) -> float:
    """Time at least one row covers, between the bounds."""
    start = np.clip(_column(rows, "start_ts"), *bounds)
    end = np.clip(_column(rows, "end_ts"), *bounds)
    if not len(start):
        return 0.0
    order = np.argsort(start, kind="stable")
    start, end = start[order], np.maximum.accumulate(end[order])
    before = np.concatenate((start[:1], end[:-1]))
    return float(np.maximum(end - np.maximum(start, before), 0).sum())


def in_program_order(rows: pa.Table) -> pa.Table:
    """Instructions sorted by core and start, numbered per core in `idx` (profilers do not write it)."""
    rows = rows.sort_by([("pcore_idx", "ascending"), ("start_ts", "ascending")])
    cores = _column(rows, "pcore_idx")
    first = np.searchsorted(cores, cores, side="left")
    return rows.append_column("idx", pa.array(np.arange(len(cores)) - first, pa.int64()))


def longest_gap_ns(tables: Tables, bounds: tuple[int, int]) -> int:
    """The longest stretch of the execution in which no engine computes and no packet moves."""
    spans = [tables[name].select(["start_ts", "end_ts"]) for name in ("DmaPacket",) if name in tables]
    spans.append(_working(tables["Instruction"]).select(["start_ts", "end_ts"]))
    rows = pa.concat_tables(spans)
    start, end = _column(rows, "start_ts"), _column(rows, "end_ts")
    order = np.argsort(start, kind="stable")
    start, end = np.clip(start[order], *bounds), np.clip(np.maximum.accumulate(end[order]), *bounds)
    return int(np.max(start[1:] - end[:-1], initial=0))


def moved(tables: Tables) -> int | None:
    """Number of transfers; None when no row tells."""
    rows = tables.get("DmaPacketAggregated")
    return rows.num_rows if rows is not None and rows.num_rows else None


def from_rows(reading: Reading) -> dict[str, float]:
    """Fields of the summary recomputed from rows: bytes by memory, instructions by engine."""
    rows = reading.tables.get("Instruction")
    if rows is None or not rows.num_rows:
        return {}
    found = {
        name: float(total)
        for name in BYTE_FIELDS
        if name in rows.column_names and (total := pc.sum(rows[name]).as_py()) is not None
    }
    counts = pc.value_counts(rows["opcode"])
    by_opcode = {each["values"]: each["counts"] for each in counts.to_pylist()}
    return found | {"matmul_instruction_count": float(by_opcode.get("MATMUL", 0))}


def _working(rows: pa.Table) -> pa.Table:
    rows = rows.select(["opcode", "start_ts", "end_ts"])
    return rows.filter(pc.invert(pc.is_in(rows["opcode"], pa.array(sorted(NOT_EXECUTION)))))


def _packets(tables: Tables) -> pa.Table | None:
    found = [
        tables[name]
        for name in ("DmaPacket", "DmaPacketAggregated")
        if name in tables and tables[name].num_rows
    ]
    return found[0] if found else None


def _column(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    return np.asarray(rows[name].to_numpy(), dtype=np.int64)
