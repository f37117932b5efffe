"""A folder of Neuron Explorer's parquet tables, schema 7.4.0, through DuckDB: no row becomes a Python object.

A table may be split (`Instruction_0.parquet`, ...). One that is missing or has no rows means that nothing of
its kind happened, except Summary, which is written last: without its row the processing has not finished.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from collectors.errors import UnreadableInput
from collectors.readers.parquet_columns import TABLES, projection
from collectors.readers.reading import Reading
from collectors.readers.rows import window

SCHEMA_MAJOR = 7
ABOUT = (
    "instance_type",
    "runtime_version",
    "collectives_version",
    "driver_version",
    "compiler_version",
)
PROCESS = "process the profile anew and let it finish (neuron-explorer view --ingest-only)"

_NAME = re.compile(r"(?P<table>[A-Za-z]+?)(?:_\d+)?\.parquet")

Files = Mapping[str, Sequence[str]]


def parquet_files(folder: Path) -> list[Path]:
    """The folder's tables, by name."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def read_parquet_folder(folder: Path, identity: str) -> list[Reading]:
    """The one profile of the folder. Raises `UnreadableInput`."""
    files: dict[str, list[str]] = {}
    for path in parquet_files(folder):
        found = _NAME.fullmatch(path.name)
        if found and path.stat().st_size:
            files.setdefault(found["table"], []).append(str(path))
    try:
        with duckdb.connect(":memory:") as connection:
            return [_reading(connection, folder, files, identity)]
    except duckdb.Error as error:
        said = str(error).strip().splitlines()[0]
        raise UnreadableInput(f"{folder} has a table that cannot be read: {said}", PROCESS) from None


def _reading(connection: duckdb.DuckDBPyConnection, folder: Path, files: Files, identity: str) -> Reading:
    metadata = _single(connection, folder, files, "Metadata") or {}
    _check_schema(folder, metadata)
    summary = _single(connection, folder, files, "Summary")
    if not summary or not summary.get("total_time"):
        raise UnreadableInput(f"{folder} has no row in Summary: its processing has not finished", PROCESS)
    tables = {name: rows for name in TABLES if (rows := _rows(connection, files, name)) is not None}
    notes = [f"The profiler warns: {text}" for text in _messages(tables)]
    if "Instruction" not in tables:
        notes.append("The folder has no rows of instructions: only the summary is known.")
    version = metadata.get("explorer_version")
    about = {name: metadata[name] for name in ABOUT if metadata.get(name)}
    return Reading(
        identity=identity,
        name=str(metadata.get("profile_name") or folder.resolve().name),
        format="parquet folder",
        summary={**about, **({"profiler_version": version} if version else {}), **summary},
        constants=metadata,
        tables=tables,
        window_ns=window(tables),
        notes=tuple(notes),
    )


def _single(
    connection: duckdb.DuckDBPyConnection, folder: Path, files: Files, name: str
) -> dict[str, Any] | None:
    """The only row of a table without its NULLs; None when there is no row."""
    if name not in files:
        return None
    rows = _arrow(connection, f"FROM {_scan(files[name])} LIMIT 2").to_pylist()
    if len(rows) > 1:
        raise UnreadableInput(
            f"{folder} has tables of more than one profile", "import the folder of each profile"
        )
    return {key: value for key, value in rows[0].items() if value is not None} if rows else None


def _check_schema(folder: Path, metadata: Mapping[str, Any]) -> None:
    said = str(metadata.get("profile_schema_version") or SCHEMA_MAJOR)
    if said.split(".")[0] != str(SCHEMA_MAJOR):
        raise UnreadableInput(
            f"{folder} is of schema {said}, and {SCHEMA_MAJOR}.x is what is known",
            "import the profile's summary-json instead",
        )


def _rows(connection: duckdb.DuckDBPyConnection, files: Files, name: str) -> pa.Table | None:
    """A table in the store's columns; None when it is missing or empty."""
    if name not in files:
        return None
    described = connection.execute(f"DESCRIBE SELECT * FROM {_scan(files[name])}").fetchall()  # noqa: S608
    query = projection(name, frozenset(row[0] for row in described), _scan(files[name]))
    if name == "DmaPacketAggregated" and "DmaPacket" in files:
        query = _with_descriptors(query, _scan(files["DmaPacket"]))
    rows = _arrow(connection, query)
    return rows if rows.num_rows else None


def _with_descriptors(transfers: str, packets: str) -> str:
    counts = (
        f"SELECT packet_aggregation_id::VARCHAR AS id, count(*) AS descriptors FROM {packets} GROUP BY ALL"  # noqa: S608
    )
    return f"SELECT t.*, c.descriptors FROM ({transfers}) t LEFT JOIN ({counts}) c USING (id)"  # noqa: S608


def _arrow(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    return connection.sql(query).to_arrow_table()


def _scan(files: Sequence[str]) -> str:
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{listed}], union_by_name = true)"


def _messages(tables: Mapping[str, pa.Table]) -> list[str]:
    rows = tables.get("Warning")
    return [] if rows is None else list(dict.fromkeys(rows["message"].to_pylist()))
