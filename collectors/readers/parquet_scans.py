"""Tables of a parquet folder as scans: what the reader asks of them, and what the store reads in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from collectors.errors import UnreadableInput
from collectors.readers.issuers import ISSUED, OF_ISSUER, issuer_sql
from collectors.readers.parquet_columns import REQUIRED, TABLES, projection
from collectors.records import Scan

Files = Mapping[str, Sequence[str]]
Scans = Mapping[str, Scan]

TIMES = ("start_ts", "end_ts", *ISSUED)
TRANSFERS = "DmaPacketAggregated"
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
    issued = ISSUED if name == TRANSFERS and has.issuperset(ISSUED) else ()
    query = projection(name, has, source(files), places=", ".join((*map(_number, issued), PLACE)))
    needed = [column for column in TABLES[name] if column in REQUIRED]
    counts = ", ".join(["count(*)", *(f"count({column})" for column in needed)])
    [found] = connection.sql(f"SELECT {counts} FROM ({query})").fetchall()  # noqa: S608 (own names)
    rows = found[0]
    for column, known in zip(needed, found[1:], strict=True):
        if known < rows:
            raise UnreadableInput(
                f"{name} has {rows - known} rows without {column}", "the table is damaged: process it anew"
            )
    return Scan(query, (*TABLES[name], *issued), rows, tuple(files)) if rows else None


def _number(name: str) -> str:
    return f"TRY_CAST({name} AS BIGINT) AS {name}"


def placed(scans: Scans, origin_ns: int) -> dict[str, Scan]:
    """The scans as the store is to read them: on a clock that starts at `origin_ns`, numbered, counted."""
    found = {name: _shifted(scan, origin_ns) for name, scan in scans.items()}
    if TRANSFERS in found and "DmaPacket" in found:
        found[TRANSFERS] = _counted(found[TRANSFERS], found["DmaPacket"])
    if TRANSFERS in found and ISSUED[0] in found[TRANSFERS].columns:
        found[TRANSFERS] = _issued(found[TRANSFERS], found.get("Instruction"))
    if "Instruction" in found:
        found["Instruction"] = _numbered(found["Instruction"])
    return found


def _shifted(scan: Scan, origin_ns: int) -> Scan:
    late = ", ".join(f"{name} - {origin_ns} AS {name}" for name in TIMES if name in scan.columns)
    if not late or not origin_ns:
        return scan
    return Scan(f"SELECT * REPLACE ({late}) FROM ({scan.query})", scan.columns, scan.rows, scan.files)  # noqa: S608


def _numbered(scan: Scan) -> Scan:
    """Program order on each core in `idx`. Only times and places are sorted, whole rows never."""
    order = "row_number() OVER (PARTITION BY pcore_idx ORDER BY start_ts, end_ts) - 1 AS idx"
    return _beside(scan, ("idx",), f"SELECT {PLACE}, {order} FROM ({scan.query})")  # noqa: S608 (own names)


def _counted(transfers: Scan, packets: Scan) -> Scan:
    """Each transfer with its number of packets: one descriptor each."""
    counts = (
        "SELECT packet_aggregation_id AS id, count(*) AS descriptors "  # noqa: S608
        f"FROM ({packets.query}) GROUP BY packet_aggregation_id"
    )
    named = f"SELECT {PLACE}, id FROM ({transfers.query})"  # noqa: S608 (own names)
    found = f"SELECT {PLACE}, descriptors FROM ({named}) LEFT JOIN ({counts}) USING (id)"  # noqa: S608
    return _reading(_beside(transfers, ("descriptors",), found), packets)


def _issued(transfers: Scan, instructions: Scan | None) -> Scan:
    """Transfers with the layer and the line of the instruction that issued each."""
    kept = tuple(name for name in transfers.columns if name not in ISSUED)
    bare = Scan(transfers.query, kept, transfers.rows, transfers.files)
    if instructions is None:
        return bare
    issuers = issuer_sql(
        f"SELECT {PLACE}, pcore_idx, queue_name, {', '.join(ISSUED)} FROM ({transfers.query})",  # noqa: S608
        f"SELECT pcore_idx, start_ts, end_ts, engine, opcode, {', '.join(OF_ISSUER)} "  # noqa: S608
        f"FROM ({instructions.query})",
        PLACE,
    )
    found = (
        f"SELECT {PLACE}, {', '.join(OF_ISSUER)} FROM (SELECT {PLACE} FROM ({transfers.query})) "  # noqa: S608
        f"LEFT JOIN ({issuers}) USING ({PLACE})"
    )
    return _reading(_beside(bare, OF_ISSUER, found), instructions)


def _reading(scan: Scan, also: Scan) -> Scan:
    return Scan(scan.query, scan.columns, scan.rows, (*scan.files, *also.files))


def _beside(scan: Scan, columns: tuple[str, ...], values: str) -> Scan:
    """The scan with more columns, from SQL that tells them by place. Rows keep the order of their files."""
    told, listed = ", ".join(f"v.{name}" for name in columns), ", ".join(columns)
    query = (
        f"SELECT t.*, {told} FROM ({scan.query}) t "  # noqa: S608 (own names)
        f"POSITIONAL JOIN (SELECT {listed} FROM ({values}) ORDER BY {PLACE}) v"
    )
    return Scan(query, (*scan.columns, *columns), scan.rows, scan.files)
