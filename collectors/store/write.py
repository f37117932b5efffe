"""Writing a run: everything in one transaction, the run's own row last."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from collectors.errors import UnreadableInput
from collectors.records import ENGINE_NAMES, Launch, Profile, Run, Scan

Row = dict[str, Any]

PROFILE_TABLES = (
    "Instruction",
    "ActiveTime",
    "DmaPacketAggregated",
    "DmaPacket",
    "DmaQueuesInfo",
    "Flow",
    "Warning",
    "summary_field",
)
"""Tables that hold rows of a profile, as `Profile.tables` names them."""

RUN_COLUMNS = (
    "run_id",
    "session",
    "label",
    "created_at",
    "provenance",
    "backend",
    "target",
    "lnc",
    "prompt",
    "prompt_tokens",
    "new_tokens",
    "seq_len",
    "batch",
    "accuracy",
    "base_latency_ms",
    "base_tokens_per_s",
    "wall_s",
)
PROFILE_COLUMNS = (
    "profile_id",
    "provenance",
    "kernel",
    "target",
    "lnc",
    "duration_ns",
    "low_ns",
    "high_ns",
    "interval_basis",
    "as_written_ns",
    "list_scheduled_ns",
    "hbm_read_bytes",
    "hbm_write_bytes",
    "dma_bytes",
    "dma_transfers",
    "dma_descriptors",
    "macs",
    "instructions",
    "sbuf_peak_bytes",
    "psum_peak_banks",
    "bound",
    "tool",
    "tool_version",
    "data_dependent",
)
LAUNCH_COLUMNS = tuple(name for name in Launch.__dataclass_fields__ if name != "covers")


def save(connection: duckdb.DuckDBPyConnection, *runs: Run) -> None:
    """Write runs with their profiles, all or none; a profile the database has is not written again."""
    connection.begin()
    try:
        for run in runs:
            insert_run(connection, run)
        connection.commit()
    except BaseException:
        with suppress(duckdb.Error):  # what failed may have ended the transaction, and is what to tell
            connection.rollback()
        raise


def files_of(run: Run) -> tuple[str, ...]:
    """Files the scans of its profiles read."""
    scans = [scan for profile in run.profiles.values() for scan in profile.scans.values()]
    return tuple(dict.fromkeys(file for scan in scans for file in scan.files))


def insert_run(connection: duckdb.DuckDBPyConnection, run: Run) -> None:
    """The rows of a run, its own last, inside the caller's transaction."""
    dropped = _save_profiles(connection, run)
    _insert(connection, "launch", [_launch_row(run, at) for at in range(len(run.launches))])
    _insert_sources(connection, run)
    for table, rows in _details(run, dropped).items():
        _insert(connection, table, rows)
    _insert(connection, "run", [_run_row(run)])


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def to_json(value: Any) -> str:
    """JSON text of plain values; NumPy scalars and arrays become numbers and lists, the rest text."""
    return json.dumps(value, default=_plain, allow_nan=True)


def _row(of: Any, names: Iterable[str]) -> Row:
    return {name: getattr(of, name) for name in names}


def _run_row(run: Run) -> Row:
    documents = {
        name: to_json(dict(getattr(run, name))) for name in ("kernels", "configuration", "environment")
    }
    return _row(run, RUN_COLUMNS) | documents


def _launch_row(run: Run, at: int) -> Row:
    launch = run.launches[at]
    return _row(launch, LAUNCH_COLUMNS) | {"run_id": run.run_id, "launch": at, "covers": list(launch.covers)}


def _profile_row(profile: Profile) -> Row:
    active = {f"{name}_active": profile.engines.get(name) for name in ENGINE_NAMES}
    documents = {"raw": to_json(dict(profile.raw)), "ideal_ns": to_json(dict(profile.ideal_ns))}
    return _row(profile, PROFILE_COLUMNS) | active | documents


def _details(run: Run, dropped: list[str]) -> dict[str, list[Row]]:
    """Rows of the small tables that belong to one run."""
    own = {"run_id": run.run_id}
    named: Mapping[str, str] = run.configuration.get("source_files", {})
    files = [(file, digest) for file, digest in named.items() if digest in run.sources]
    return {
        "sample": [own | _row(each, ("metric", "repetition", "value", "launch")) for each in run.samples],
        "accuracy_check": [
            own | _row(each, ("name", "slot", "variant", "passed", "error", "tolerance", "detail"))
            for each in run.checks
        ],
        "artifact": [own | _row(each, ("path", "sha256", "bytes", "kind")) for each in run.artifacts],
        "run_source": [own | {"file": file, "sha256": digest} for file, digest in files],
        "run_warning": [own | {"message": text} for text in (*run.warnings, *dropped)],
    }


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[Row]) -> None:
    if rows:
        _insert_arrow(connection, table, pa.Table.from_pylist(rows))


def _insert_arrow(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    connection.register("incoming", rows)
    try:
        connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming")  # noqa: S608 (own names)
    finally:
        connection.unregister("incoming")


def _insert_sources(connection: duckdb.DuckDBPyConnection, run: Run) -> None:
    rows = [{"sha256": digest, "text": text} for digest, text in run.sources.items()]
    if rows:
        connection.register("incoming", pa.Table.from_pylist(rows))
        connection.execute("INSERT INTO source BY NAME SELECT * FROM incoming ON CONFLICT DO NOTHING")
        connection.unregister("incoming")


def _save_profiles(connection: duckdb.DuckDBPyConnection, run: Run) -> list[str]:
    """Insert the profiles the database lacks; columns the schema does not have are returned by name."""
    known = _known(connection, run)
    new = [profile for profile in run.profiles.values() if profile.profile_id not in known]
    notes: list[str] = []
    for name in dict.fromkeys(name for profile in new for name in profile.tables):
        columns = _columns(connection, name) if name in PROFILE_TABLES else frozenset()
        parts = [_owned(profile, name, columns, notes) for profile in new if name in profile.tables]
        rows = [part for part in parts if part.num_rows and part.num_columns > 1]
        if rows:
            _insert_arrow(connection, name, pa.concat_tables(rows, promote_options="permissive"))
    for profile in new:
        for name, scan in profile.scans.items():
            _insert_scan(connection, name, profile.profile_id, scan)
    _insert(connection, "profile", [_profile_row(profile) for profile in new])
    return notes


def _insert_scan(connection: duckdb.DuckDBPyConnection, name: str, profile_id: str, scan: Scan) -> None:
    columns = ", ".join(scan.columns)
    try:
        connection.execute(
            f"INSERT INTO {name} (profile_id, {columns}) SELECT ?, {columns} FROM ({scan.query})",  # noqa: S608
            [profile_id],
        )
    except duckdb.Error:
        if said := _fault_of(scan):
            raise UnreadableInput(
                f"{Path(scan.files[0]).parent} has rows of {name} that cannot be read: {said}",
                "the table is damaged: process the profile anew (neuron-explorer view --ingest-only)",
            ) from None
        raise


def _fault_of(scan: Scan) -> str:
    """What DuckDB says when it only reads the rows; "" when it can, so that the database is at fault."""
    try:
        with duckdb.connect(":memory:") as alone:
            for _ in alone.sql(scan.query).to_arrow_reader():
                pass
    except duckdb.Error as error:
        return str(error).strip().splitlines()[0]
    return ""


def _known(connection: duckdb.DuckDBPyConnection, run: Run) -> frozenset[str]:
    found = connection.execute(
        "SELECT profile_id FROM profile WHERE list_contains(?, profile_id)", [list(run.profiles)]
    ).fetchall()
    return frozenset(profile_id for (profile_id,) in found)


def _owned(profile: Profile, name: str, columns: frozenset[str], notes: list[str]) -> pa.Table:
    """The rows of one table that the schema has columns for, each with its profile's id."""
    table = profile.tables[name]
    own = [column for column in table.column_names if column != "profile_id"]
    if lost := [column for column in own if column not in columns]:
        notes.append(f"{profile.kernel}: {name} has no place for {', '.join(lost)}, which were not stored")
    kept = table.select([column for column in own if column in columns])
    first = pa.array(np.zeros(table.num_rows, np.int32))
    return kept.append_column("profile_id", pa.DictionaryArray.from_arrays(first, [profile.profile_id]))


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> frozenset[str]:
    return frozenset(connection.sql(f"FROM {table} LIMIT 0").columns)
