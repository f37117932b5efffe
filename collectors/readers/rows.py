"""What rows say of a profile: its execution, and when its engines and DMA were active."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collectors.readers.opcodes import NOT_EXECUTION
from collectors.readers.reading import Rows
from collectors.readers.sql import asking
from collectors.records import ENGINE_NAMES, Scan

_CONTROL = ", ".join(f"'{opcode}'" for opcode in sorted(NOT_EXECUTION))
_WORKING = {
    "Instruction": f"SELECT start_ts, end_ts FROM Instruction WHERE opcode NOT IN ({_CONTROL})",  # noqa: S608
    "DmaPacketAggregated": "SELECT start_ts, end_ts FROM DmaPacketAggregated WHERE semaphore_id <> '-1'",
}
"""Rows that are execution: opcodes of sequencing do not count, nor DMA that nobody waits for."""


def window(rows: Rows) -> tuple[int, int] | None:
    """First start and last end of instructions that do work and of transfers somebody waits for, in ns.

    nki-library's ActiveInferenceTime: opcodes of sequencing do not count, nor DMA without a semaphore.
    """
    parts = [query for name, query in _WORKING.items() if name in rows]
    if not parts:
        return None
    with asking(rows) as ask:
        [found] = ask(
            f"SELECT min(start_ts) AS first, max(end_ts) AS last FROM ({' UNION ALL '.join(parts)})"  # noqa: S608
        ).to_pylist()
    first, last = found["first"], found["last"]
    return (first, last) if first is not None and last is not None and last > first else None


@dataclass(frozen=True, slots=True)
class Covered:
    """Stretches without overlap, in order, in ns."""

    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]

    @classmethod
    def of(cls, start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> Covered:
        """What at least one of the intervals [start, end) covers."""
        order = np.argsort(start, kind="stable")
        start, end = start[order], np.maximum.accumulate(end[order])
        first = np.flatnonzero(np.concatenate((np.ones(min(len(start), 1), bool), start[1:] > end[:-1])))
        last = np.concatenate((first[1:] - 1, [len(end) - 1]))[: len(first)]
        return cls(start[first], end[last])

    @property
    def total_ns(self) -> float:
        """Their length together."""
        return float((self.end - self.start).sum())

    def between(self, first: int, last: int) -> Covered:
        """What of them lies between two times."""
        begin, stop = np.searchsorted(self.end, first, "right"), np.searchsorted(self.start, last)
        return Covered(*(np.clip(each[begin:stop], first, last) for each in (self.start, self.end)))

    def within(self, bounds: tuple[int, int]) -> float:
        """Their length between two times."""
        return self.between(*bounds).total_ns


def activity(rows: Rows) -> dict[str, Covered]:
    """When each engine, and DMA, was active; engines without rows are not named."""
    moved = next((name for name in ("DmaPacket", "DmaPacketAggregated") if count(rows, name)), None)
    with asking(rows) as ask:
        spans = {
            engine: f"SELECT start_ts, end_ts FROM ActiveTime WHERE engine = '{engine}'"  # noqa: S608
            for engine in ENGINE_NAMES[:-1]
            if count(rows, "ActiveTime")
        }
        if moved:
            spans["dma"] = f"SELECT start_ts, end_ts FROM {moved}"  # noqa: S608 (own names)
        return {engine: covered(ask.batches(query)) for engine, query in spans.items()}


def covered(batches: Iterable[pa.Table]) -> Covered:
    """What at least one row covers. Each batch is merged first, so that busy profiles stay small."""
    parts = [Covered.of(_column(rows, "start_ts"), _column(rows, "end_ts")) for rows in batches]
    nothing = np.zeros(0, np.int64)
    starts, ends = [each.start for each in parts], [each.end for each in parts]
    return Covered.of(np.concatenate([nothing, *starts]), np.concatenate([nothing, *ends]))


def in_program_order(rows: pa.Table) -> pa.Table:
    """Instructions sorted by core and start, numbered per core in `idx` (profilers do not write it)."""
    rows = rows.sort_by([("pcore_idx", "ascending"), ("start_ts", "ascending")])
    cores = _column(rows, "pcore_idx")
    first = np.searchsorted(cores, cores, side="left")
    return rows.append_column("idx", pa.array(np.arange(len(cores)) - first, pa.int64()))


def longest_gap_ns(tables: Mapping[str, pa.Table], bounds: tuple[int, int]) -> int:
    """The longest stretch of the execution in which no engine computes and no packet moves."""
    spans = [tables[name].select(["start_ts", "end_ts"]) for name in ("DmaPacket",) if name in tables]
    spans.append(_working(tables["Instruction"]).select(["start_ts", "end_ts"]))
    rows = pa.concat_tables(spans)
    start, end = _column(rows, "start_ts"), _column(rows, "end_ts")
    order = np.argsort(start, kind="stable")
    start, end = np.clip(start[order], *bounds), np.clip(np.maximum.accumulate(end[order]), *bounds)
    return int(np.max(start[1:] - end[:-1], initial=0))


def count(rows: Rows, name: str) -> int:
    """Number of rows of a table, 0 when there is none."""
    found = rows.get(name)
    return 0 if found is None else found.rows if isinstance(found, Scan) else int(found.num_rows)


def names_sources(rows: Rows) -> bool | None:
    """Whether any instruction names its line of NKI source; None without rows, or where the format cannot."""
    found = rows.get("Instruction")
    names = () if found is None else found.columns if isinstance(found, Scan) else found.column_names
    if "nki_source_location" not in names:
        return None
    with asking(rows) as ask:
        return bool(ask("SELECT count(nki_source_location) AS named FROM Instruction")["named"][0].as_py())


def _working(rows: pa.Table) -> pa.Table:
    rows = rows.select(["opcode", "start_ts", "end_ts"])
    return rows.filter(pc.invert(pc.is_in(rows["opcode"], pa.array(sorted(NOT_EXECUTION)))))


def _column(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    return np.asarray(rows[name].to_numpy(), dtype=np.int64)
