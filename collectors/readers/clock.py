"""Ticks of a profile's rows: ns, or ps in some builds; the summary's total_time tells which."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from collectors.readers.issuers import ISSUED

NS_PER_S = 1e9
PS_PER_NS = 1000
TIMES = ("start_ts", "end_ts", "duration_ns", "evt_wait_time_ns", "dma_wait_time_ns", "duration", *ISSUED)


def in_ns(tables: Mapping[str, pa.Table], total_s: float) -> tuple[dict[str, pa.Table], tuple[str, ...]]:
    """The tables with times in ns, and what to say when they were not."""
    last = pc.max(tables["Instruction"]["end_ts"]).as_py()
    if last <= total_s * NS_PER_S * PS_PER_NS / 30:
        return dict(tables), ()
    said = "Times of the rows are picoseconds (their last end is a thousand times total_time); stored as ns."
    return {name: _divided(rows) for name, rows in tables.items()}, (said,)


def _divided(rows: pa.Table) -> pa.Table:
    for name in TIMES:
        if name in rows.column_names:
            at = rows.column_names.index(name)
            rows = rows.set_column(at, name, pc.divide(rows[name], PS_PER_NS))
    return rows
