"""A folder of Neuron Explorer's parquet tables, schema 7.4.0. Rows stay in their files until they are stored.

A table may be split (`Instruction_0.parquet`, ...). One that is missing or has no rows means that nothing of
its kind happened, except Summary, which is written last: without its row the processing has not finished.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from collectors.errors import UnreadableInput
from collectors.readers.lost import lost
from collectors.readers.parquet_columns import TABLES
from collectors.readers.parquet_scans import Files, Scans, scan_of, source
from collectors.readers.reading import Reading
from collectors.readers.rows import window
from collectors.readers.sql import PROCESS, unreadable

SCHEMA_MAJOR = 7
ABOUT = (
    "instance_type",
    "runtime_version",
    "collectives_version",
    "driver_version",
    "compiler_version",
)

_NAME = re.compile(r"(?P<table>[A-Za-z]+?)(?:_\d+)?\.parquet")


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
            connection.execute("SET enable_progress_bar = false")
            return [_reading(connection, folder, files, identity)]
    except duckdb.Error as error:
        raise unreadable(folder, error) from None


def _reading(connection: duckdb.DuckDBPyConnection, folder: Path, files: Files, identity: str) -> Reading:
    metadata = _single(connection, folder, files, "Metadata") or {}
    _check_schema(folder, metadata)
    summary = _single(connection, folder, files, "Summary")
    if not summary or not summary.get("total_time"):
        raise UnreadableInput(f"{folder} has no row in Summary: its processing has not finished", PROCESS)
    scans = {
        name: scan
        for name in TABLES
        if name in files and (scan := scan_of(connection, name, files[name])) is not None
    }
    notes = [f"The profiler warns: {text}" for text in _messages(connection, scans)]
    if "Instruction" not in scans:
        notes.append("The folder has no rows of instructions: only the summary is known.")
    elif "ExecutionInfo" in files:
        notes += lost(connection, scans["Instruction"], f"FROM {source(files['ExecutionInfo'])}")
    version = metadata.get("explorer_version")
    about = {name: metadata[name] for name in ABOUT if metadata.get(name)}
    return Reading(
        identity=identity,
        name=str(metadata.get("profile_name") or folder.resolve().name),
        format="parquet folder",
        summary={**about, **({"profiler_version": version} if version else {}), **summary},
        constants=metadata,
        scans=scans,
        window_ns=window(scans),
        notes=tuple(notes),
    )


def _single(
    connection: duckdb.DuckDBPyConnection, folder: Path, files: Files, name: str
) -> dict[str, Any] | None:
    """The only row of a table without its NULLs; None when there is no row."""
    if name not in files:
        return None
    rows = connection.sql(f"FROM {source(files[name])} LIMIT 2").to_arrow_table().to_pylist()
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


def _messages(connection: duckdb.DuckDBPyConnection, scans: Scans) -> list[str]:
    if "Warning" not in scans:
        return []
    found = connection.sql(f"SELECT DISTINCT message FROM ({scans['Warning'].query}) ORDER BY 1 LIMIT 100")  # noqa: S608
    return [message for (message,) in found.fetchall()]
