"""A profile's timeline for a picture: one row per lane and pixel, and sums per source line."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collectors.store.pixels import Ints, Spans, pixels

SPANS = """
SELECT 'engine' AS kind, pcore_idx, engine AS lane, start_ts, end_ts, opcode AS what,
       nki_source_location AS source, 0::BIGINT AS bytes
FROM Instruction
WHERE profile_id = $profile AND end_ts > $start AND start_ts < $end AND end_ts > start_ts
UNION ALL
SELECT 'queue', pcore_idx, coalesce(queue_name, 'queue ' || queue_idx), start_ts, end_ts,
       coalesce(variable, op, 'transfer'), nki_source_location, coalesce(transfer_bytes, 0)
FROM DmaPacketAggregated
WHERE profile_id = $profile AND end_ts > $start AND start_ts < $end AND end_ts > start_ts
UNION ALL
SELECT 'queue', pcore_idx, coalesce(queue_name, 'queue ' || queue_idx), start_ts, end_ts,
       coalesce(variable, 'packet'), NULL, coalesce(transfer_bytes, 0)
FROM DmaPacket
WHERE profile_id = $profile AND end_ts > $start AND start_ts < $end AND end_ts > start_ts
  AND NOT EXISTS (SELECT 1 FROM DmaPacketAggregated WHERE profile_id = $profile)
"""
"""Packets stand for transfers where the profiler could not tell which packets are one transfer."""
SIZES = """
WITH moved AS (
  SELECT transfer_bytes, descriptors FROM DmaPacketAggregated WHERE profile_id = $profile
  UNION ALL
  SELECT transfer_bytes, 1 FROM DmaPacket
  WHERE profile_id = $profile AND NOT EXISTS (SELECT 1 FROM DmaPacketAggregated WHERE profile_id = $profile))
SELECT floor(log2(greatest(1, transfer_bytes / greatest(1, coalesce(descriptors, 1)))))::INTEGER AS power,
       count(*) AS transfers, sum(transfer_bytes)::BIGINT AS bytes,
       sum(greatest(1, coalesce(descriptors, 1)))::BIGINT AS descriptors
FROM moved WHERE transfer_bytes > 0
GROUP BY power ORDER BY power
"""
LANE, WHAT = ("kind", "pcore_idx", "lane"), ("what", "source")

LINES = """
WITH issued AS (
  SELECT nki_source_location AS source, engine, count(*) AS instructions, sum(duration_ns) AS busy_ns,
         sum(greatest(0, start_ts - ready_ts)) AS engine_wait_ns, sum(evt_wait_time_ns) AS semaphore_wait_ns,
         sum(dma_wait_time_ns) AS dma_wait_ns, sum(raw_flops) AS flops
  FROM Instruction WHERE profile_id = $profile GROUP BY ALL
), per_line AS (
  SELECT source, sum(instructions)::BIGINT AS instructions, sum(busy_ns)::BIGINT AS busy_ns,
         sum(engine_wait_ns)::BIGINT AS engine_wait_ns, sum(semaphore_wait_ns)::BIGINT AS semaphore_wait_ns,
         sum(dma_wait_ns)::BIGINT AS dma_wait_ns, sum(flops)::BIGINT AS flops,
         arg_max(engine, busy_ns) AS top_engine
  FROM issued GROUP BY source
), moved AS (
  SELECT nki_source_location AS source, count(*) AS transfers, sum(transfer_bytes)::BIGINT AS dma_bytes,
         sum(duration_ns)::BIGINT AS dma_ns, sum(descriptors)::BIGINT AS descriptors
  FROM DmaPacketAggregated WHERE profile_id = $profile GROUP BY ALL
)
SELECT coalesce(per_line.source, moved.source) AS source, * EXCLUDE (source)
FROM per_line FULL JOIN moved ON per_line.source IS NOT DISTINCT FROM moved.source
ORDER BY greatest(coalesce(busy_ns, 0), coalesce(dma_ns, 0)) DESC, source
"""

INSTRUCTIONS = """
SELECT * EXCLUDE (profile_id) FROM Instruction
WHERE profile_id = $profile AND end_ts > $start AND start_ts < $end
ORDER BY start_ts, pcore_idx, idx LIMIT $limit
"""

EXTENT = """
SELECT min(start_ts), max(end_ts) FROM (
  SELECT start_ts, end_ts FROM Instruction WHERE profile_id = $profile
  UNION ALL SELECT start_ts, end_ts FROM DmaPacketAggregated WHERE profile_id = $profile
  UNION ALL SELECT start_ts, end_ts FROM DmaPacket WHERE profile_id = $profile)
"""


def extent(connection: duckdb.DuckDBPyConnection, profile_id: str) -> tuple[int, int] | None:
    """First start and last end of a profile's instructions and transfers in ns, None without rows."""
    [(first, last)] = connection.execute(EXTENT, {"profile": profile_id}).fetchall()
    return None if first is None else (int(first), int(last))


def lanes(
    connection: duckdb.DuckDBPyConnection, profile_id: str, start_ns: float, end_ns: float, buckets: int
) -> pa.Table:
    """Engine and DMA-queue lanes between two times, cut into `buckets` equal pieces; idle pieces have no row.

    Columns: kind ("engine" | "queue"), pcore_idx, lane, start_ns, end_ns, busy (fraction of the piece with
    anything running), top (opcode or variable that took the most of it), top_source (its "file:line"), count
    (instructions or transfers that touch the piece), bytes (moved in the piece, queues only).
    """
    given = {"profile": profile_id, "start": float(start_ns), "end": float(end_ns)}
    rows = connection.sql(SPANS, params=given).to_arrow_table()
    width = max((end_ns - start_ns) / buckets, 1e-9)
    (lane_of, lanes), (what_of, whats) = _coded(rows, LANE), _coded(rows, WHAT)
    start, end, moved = (np.asarray(rows[name]) for name in ("start_ts", "end_ts", "bytes"))
    found = pixels(Spans(lane_of, start, end, what_of, moved), start_ns, width, buckets)
    named, top = lanes.take(pa.array(found.lane)), whats.take(pa.array(found.top))
    engine = pc.equal(named["kind"], "engine")
    return pa.table(
        {
            **{name: named[name] for name in LANE},
            "start_ns": start_ns + found.bucket * width,
            "end_ns": start_ns + (found.bucket + 1) * width,
            "busy": found.busy,
            "top": top["what"],
            "top_source": top["source"],
            "count": found.count,
            "bytes": pc.if_else(engine, pa.scalar(None, pa.float64()), pa.array(found.bytes)),
        }
    )


def _coded(rows: pa.Table, names: Sequence[str]) -> tuple[Ints, pa.Table]:
    """A number for each distinct combination of columns, in their order, and what each number stands for."""
    distinct = (
        rows.select(names)
        .group_by(list(names))
        .aggregate([])
        .sort_by([(name, "ascending") for name in names])
    )
    code = np.zeros(rows.num_rows, np.int64)
    known = np.zeros(distinct.num_rows, np.int64)
    for name in names:
        words = pc.unique(rows[name])
        for codes, column in ((code, rows[name]), (known, distinct[name])):
            codes *= len(words)
            codes += np.asarray(pc.index_in(column, words))
    order = np.argsort(known)
    return order[np.searchsorted(known[order], code)], distinct


def lines(connection: duckdb.DuckDBPyConnection, profile_id: str) -> pa.Table:
    """Sums per source line, heaviest first: instructions, busy_ns, waits, flops, transfers, bytes, dma_ns.

    `busy_ns` adds up engines that run side by side, so lines together exceed the kernel's duration.
    """
    return connection.sql(LINES, params={"profile": profile_id}).to_arrow_table()


def instructions(
    connection: duckdb.DuckDBPyConnection, profile_id: str, start_ns: float, end_ns: float, limit: int = 2000
) -> pa.Table:
    """Instructions that run between two times, at most `limit`, in order of start."""
    given = {"profile": profile_id, "start": start_ns, "end": end_ns, "limit": limit}
    return connection.sql(INSTRUCTIONS, params=given).to_arrow_table()


def transfer_sizes(connection: duckdb.DuckDBPyConnection, profile_id: str) -> pa.Table:
    """Transfers, bytes and descriptors by `power`: descriptors of 2^power bytes up to twice that."""
    return connection.sql(SIZES, params={"profile": profile_id}).to_arrow_table()
