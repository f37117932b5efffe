"""Brings a database to the newest schema: numbered .sql files, all pending ones in one transaction."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import duckdb

from collectors.errors import StoreError

VERSIONS = "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL)"


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """(version, SQL) of every migration, oldest first."""
    folder = files("collectors.store") / "migrations"
    named = sorted(
        (file.name, file.read_text("utf-8")) for file in folder.iterdir() if file.name.endswith(".sql")
    )
    return tuple((int(name.partition("_")[0]), text) for name, text in named)


def newest() -> int:
    """The schema version this program writes."""
    return migrations()[-1][0]


def version(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The database's schema version, 0 for an empty one. Raises `StoreError` for a foreign or newer one."""
    try:
        [(found,)] = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").fetchall()
    except duckdb.CatalogException:
        _require_empty(connection, path)
        return 0
    if found > newest():
        raise StoreError(
            f"{path} was written by a newer nki-dashboard (schema {found}; this one knows up to {newest()})",
            "update with `git pull && pip install -e .`, or name another file with --db",
        )
    return int(found)


def _require_empty(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    tables = sorted(
        name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    )
    if tables:
        raise StoreError(
            f"{path} is a DuckDB database of something else ({', '.join(tables[:3])})",
            "name another file with --db",
        )


def migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Apply every migration the database has not seen; all or none."""
    found = version(connection, path)
    pending = [each for each in migrations() if each[0] > found]
    if not pending:
        return
    connection.begin()
    try:
        if found == 0:
            connection.execute(VERSIONS)
        for number, text in pending:
            connection.execute(text)
            connection.execute("INSERT INTO schema_version VALUES (?, now())", [number])
    except duckdb.Error:
        connection.rollback()
        raise
    connection.commit()
