"""Short DuckDB connections to one file: wait for others, translate what goes wrong into sentences."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from collectors.errors import StoreError
from collectors.store.locks import Deadline, shared_or_exclusive

LOCKED = (
    "could not set lock",
    "conflicting lock",
    "different configuration",
    "being used by another process",
)
FULL = re.compile(r"no space left|file too large|disk quota|not enough space|out of disk", re.IGNORECASE)
HOLDER = re.compile(r"Conflicting lock is held in (?P<who>.+?)(?: by user .+?)?\. ", re.DOTALL)
MANY_ROWS_MEMORY = "500MB"
"""What DuckDB may hold while it copies rows from files. It takes most of the machine's memory otherwise, for
no gain in speed; what does not fit it writes beside the database."""
CONFIG: dict[str, str | bool | int | float | list[str]] = {"enable_external_access": False}


@contextmanager
def connection(
    path: Path, *, read_only: bool, patience_s: float, files: Sequence[str] = ()
) -> Iterator[duckdb.DuckDBPyConnection]:
    """An open connection, closed again on the way out; a writer's first one creates the file.

    Statements cannot reach other files than `files`. Raises `StoreError`.
    """
    deadline = Deadline(patience_s)
    try:
        with shared_or_exclusive(path, exclusive=not read_only, deadline=deadline):
            if not read_only and is_missing(path):
                _create(path)
            opened = _connect(path, read_only=read_only, files=files, deadline=deadline)
            try:
                yield opened
            finally:
                opened.close()
    except duckdb.Error as error:
        raise unreadable(path, error) from None
    except TimeoutError:
        raise _busy(path, "another process") from None
    except OSError as error:
        raise StoreError(
            f"cannot open {path}: {error.strerror or error}",
            "check that the folder exists and is writable, or name another file with --db",
        ) from None


def _connect(
    path: Path, *, read_only: bool, files: Sequence[str], deadline: Deadline
) -> duckdb.DuckDBPyConnection:
    while True:
        try:
            return _open(path, read_only=read_only, files=files)
        except duckdb.Error as error:
            if not _locked(error):
                raise
            if deadline.passed:
                raise _busy(path, _holder(error)) from None
            deadline.wait()


def _open(path: Path, *, read_only: bool, files: Sequence[str]) -> duckdb.DuckDBPyConnection:
    opened = duckdb.connect(str(path), read_only=read_only, config={} if files else CONFIG)
    opened.execute("SET enable_progress_bar = false")
    if files:  # can only be named once the database is open, and before access is taken away
        opened.execute(f"SET memory_limit = '{MANY_ROWS_MEMORY}'")
        opened.execute("SET allowed_paths = ?", [list(files)])
        opened.execute("SET enable_external_access = false")
    return opened


def is_missing(path: Path) -> bool:
    """Whether there is no database yet: no file, or an empty one."""
    return not path.exists() or (path.is_file() and path.stat().st_size == 0)


def _create(path: Path) -> None:
    """Make an empty database beside `path` and move it there whole: nobody ever sees half a file."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        duckdb.connect(str(new), config=CONFIG).close()
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def unreadable(path: Path, error: Exception) -> StoreError:
    """What DuckDB said about a file it could not use, as an error with a way out."""
    said = str(error).strip().splitlines()[0]
    if path.is_dir():
        return StoreError(f"{path} is a folder", "name a file with --db, for example --db runs.db")
    if "not a valid DuckDB database" in said:
        return StoreError(f"{path} is not a DuckDB database", "name another file with --db")
    if full := FULL.search(said):
        return StoreError(
            f"{path} could not be written: {full[0].lower()}",
            "make space on its disk and do it again; everything stored before is unharmed",
        )
    if isinstance(error, duckdb.PermissionException) or "ermission" in said:
        return StoreError(f"{path} may not be read or written by you", "change its permissions or use --db")
    return StoreError(
        f"{path} cannot be read: {said}",
        "move the file away and profile again, or restore it from a copy",
    )


def _locked(error: Exception) -> bool:
    said = str(error).lower()
    return any(mark in said for mark in LOCKED)


def _holder(error: Exception) -> str:
    found = HOLDER.search(str(error))
    return found["who"] if found else "another process"


def _busy(path: Path, holder: str) -> StoreError:
    return StoreError(
        f"{path} is held by {holder}",
        "close that program, or try again when it has finished",
    )
