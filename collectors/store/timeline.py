"""A profile's timeline for a picture: one row per lane and pixel, aggregated in SQL."""

from __future__ import annotations

import duckdb
import pyarrow as pa

LANES = """
WITH span AS (
  SELECT 'engine' AS kind, pcore_idx, engine AS lane, start_ts, end_ts, opcode AS what,
         nki_source_location AS source, NULL::BIGINT AS bytes
  FROM Instruction WHERE profile_id = $profile AND end_ts > $start AND start_ts < $end
  UNION ALL
  SELECT 'queue', pcore_idx, coalesce(queue_name, 'queue ' || queue_idx), start_ts, end_ts,
         coalesce(variable, op, 'transfer'), nki_source_location, transfer_bytes
  FROM DmaPacketAggregated WHERE profile_id = $profile AND end_ts > $start AND start_ts < $end
), own AS (
  -- Transfers of a queue overlap; each counts from where the ones before it ended, so that busy is a union.
  SELECT *, greatest(start_ts, coalesce(max(end_ts) OVER (
      PARTITION BY kind, pcore_idx, lane ORDER BY start_ts, end_ts
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), start_ts)) AS from_ts
  FROM span
), cut AS (
  SELECT kind, pcore_idx, lane, what, source, bytes, start_ts, end_ts, from_ts,
         unnest(range(greatest(0, floor((start_ts - $start) / $width)::BIGINT),
                      least($buckets, 1 + floor((end_ts - 1 - $start) / $width)::BIGINT))) AS bucket
  FROM own WHERE end_ts > start_ts
), pixel AS (
  SELECT kind, pcore_idx, lane, bucket, what, source, count(*) AS count,
         sum(greatest(0, least(end_ts, $start + (bucket + 1) * $width)
                         - greatest(start_ts, $start + bucket * $width))) AS time_ns,
         sum(greatest(0, least(end_ts, $start + (bucket + 1) * $width)
                         - greatest(from_ts, $start + bucket * $width))) AS busy_ns,
         sum(bytes * (least(end_ts, $start + (bucket + 1) * $width)
                      - greatest(start_ts, $start + bucket * $width)) / (end_ts - start_ts)) AS bytes
  FROM cut GROUP BY ALL
)
SELECT kind, pcore_idx, lane, $start + bucket * $width AS start_ns, $start + (bucket + 1) * $width AS end_ns,
       least(1.0, sum(busy_ns) / $width) AS busy, arg_max(what, time_ns) AS top,
       arg_max(source, time_ns) AS top_source, sum(count)::BIGINT AS count, sum(bytes) AS bytes
FROM pixel GROUP BY kind, pcore_idx, lane, bucket
ORDER BY kind, pcore_idx, lane, bucket
"""

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
  UNION ALL SELECT start_ts, end_ts FROM DmaPacketAggregated WHERE profile_id = $profile)
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
    given = {
        "profile": profile_id,
        "start": float(start_ns),
        "end": float(end_ns),
        "width": max((end_ns - start_ns) / buckets, 1e-9),
        "buckets": buckets,
    }
    return connection.sql(LANES, params=given).to_arrow_table()


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
