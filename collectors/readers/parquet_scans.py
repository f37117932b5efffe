"""Tables of a parquet folder as scans: what the reader asks of them, and what the store reads in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from collectors.errors import UnreadableInput
from collectors.readers.parquet_columns import REQUIRED, TABLES, projection
from collectors.records import Scan

Files = Mapping[str, Sequence[str]]
Scans = Mapping[str, Scan]

TIMES = ("start_ts", "end_ts")
PLACE = "file_index, file_row_number"


def source(files: Sequence[str]) -> str:
    """SQL that reads the parts of one table, by column name."""
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{listed}], union_by_name = true)"


def scan_of(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[str]) -> Scan | None:
    """A table in the store's columns, on its own clock; None when it has no rows.

    Raises `duckdb.Error`, or `UnreadableInput` when a row lacks what every row has.
    """
    has = frozenset(connection.sql(f"FROM {source(files)} LIMIT 0").columns)
    query = projection(name, has, source(files), places=PLACE)
    needed = [column for column in TABLES[name] if column in REQUIRED]
    counts = ", ".join(["count(*)", *(f"count({column})" for column in needed)])
    [found] = connection.sql(f"SELECT {counts} FROM ({query})").fetchall()  # noqa: S608 (own names)
    rows = found[0]
    for column, known in zip(needed, found[1:], strict=True):
        if known < rows:
            raise UnreadableInput(
                f"{name} has {rows - known} rows without {column}", "the table is damaged: process it anew"
            )
    return Scan(query, tuple(TABLES[name]), rows, tuple(files)) if rows else None


def placed(scans: Scans, origin_ns: int) -> dict[str, Scan]:
    """The scans as the store is to read them: on a clock that starts at `origin_ns`, numbered, counted."""
    found = {name: _shifted(scan, origin_ns) for name, scan in scans.items()}
    if "Instruction" in found:
        found["Instruction"] = _numbered(found["Instruction"])
    if {"DmaPacketAggregated", "DmaPacket"} <= found.keys():
        found["DmaPacketAggregated"] = _counted(found["DmaPacketAggregated"], found["DmaPacket"])
    return found


def _shifted(scan: Scan, origin_ns: int) -> Scan:
    late = ", ".join(f"{name} - {origin_ns} AS {name}" for name in TIMES if name in scan.columns)
    if not late or not origin_ns:
        return scan
    return Scan(f"SELECT * REPLACE ({late}) FROM ({scan.query})", scan.columns, scan.rows, scan.files)  # noqa: S608


def _numbered(scan: Scan) -> Scan:
    """Program order on each core in `idx`. Only times and places are sorted, whole rows never."""
    order = "row_number() OVER (PARTITION BY pcore_idx ORDER BY start_ts, end_ts) - 1 AS idx"
    return _beside(scan, "idx", f"SELECT {PLACE}, {order} FROM ({scan.query})")  # noqa: S608 (own names)


def _counted(transfers: Scan, packets: Scan) -> Scan:
    """Each transfer with its number of packets: one descriptor each."""
    counts = (
        "SELECT packet_aggregation_id AS id, count(*) AS descriptors "  # noqa: S608
        f"FROM ({packets.query}) GROUP BY packet_aggregation_id"
    )
    named = f"SELECT {PLACE}, id FROM ({transfers.query})"  # noqa: S608 (own names)
    found = f"SELECT {PLACE}, descriptors FROM ({named}) LEFT JOIN ({counts}) USING (id)"  # noqa: S608
    counted = _beside(transfers, "descriptors", found)
    return Scan(counted.query, counted.columns, counted.rows, (*transfers.files, *packets.files))


def _beside(scan: Scan, column: str, values: str) -> Scan:
    """The scan with one more column, from SQL that tells it by place. Rows keep the order of their files."""
    query = (
        f"SELECT t.*, v.{column} FROM ({scan.query}) t "  # noqa: S608 (own names)
        f"POSITIONAL JOIN (SELECT {column} FROM ({values}) ORDER BY {PLACE}) v"
    )
    return Scan(query, (*scan.columns, column), scan.rows, scan.files)
