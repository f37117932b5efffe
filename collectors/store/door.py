"""The one door to runs.db: opens it briefly, creates and migrates it, reads, writes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from collectors.records import Run
from collectors.store import migrate, names, read, timeline, write
from collectors.store.connect import CONFIG, connection, is_missing

DEFAULT_PATH = "runs.db"
PATIENCE_S = 60.0


def default_path() -> Path:
    """`$NKI_DASHBOARD_DB`, else runs.db in the current folder."""
    return Path(os.environ.get("NKI_DASHBOARD_DB") or DEFAULT_PATH)


class Store:
    """A database of runs, by its path. It holds no connection, so any number of processes share one file.

    Every method opens, acts and closes; meanwhile others wait up to `patience_s` seconds. A file that does
    not exist reads as empty and is created by the first write. Raises `StoreError`, or `RunNotFound`.
    """

    def __init__(self, path: str | os.PathLike[str], *, patience_s: float = PATIENCE_S) -> None:
        self.path = Path(path)
        self.patience_s = patience_s

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection to an up-to-date schema; an empty one in memory when there is no file."""
        if is_missing(self.path):
            with duckdb.connect(":memory:", config=CONFIG) as empty:
                migrate.migrate(empty, self.path)
                yield empty
            return
        with connection(self.path, read_only=True, patience_s=self.patience_s) as opened:
            if migrate.version(opened, self.path) == migrate.newest():
                yield opened
                return
        with self.writing():
            pass
        with connection(self.path, read_only=True, patience_s=self.patience_s) as opened:
            yield opened

    @contextmanager
    def writing(self, files: Sequence[str] = ()) -> Iterator[duckdb.DuckDBPyConnection]:
        """The only connection to the file while it lasts; its statements may read `files` too."""
        with connection(self.path, read_only=False, patience_s=self.patience_s, files=files) as opened:
            migrate.migrate(opened, self.path)
            yield opened

    def save(self, *runs: Run) -> None:
        """Write runs whole, all or none. Raises `UnreadableInput` when a file of their scans is damaged."""
        if runs:
            with self.writing([file for run in runs for file in write.files_of(run)]) as opened:
                write.save(opened, *runs)

    def runs(self) -> tuple[Run, ...]:
        """Every run, newest first; profiles without their tables."""
        with self.reading() as opened:
            return read.runs(opened)

    def load(self, run_id: str) -> Run:
        """One run by its id; profiles without their tables."""
        with self.reading() as opened:
            return read.load(opened, run_id)

    def resolve(self, name: str, *, like: str | None = None) -> str:
        """The id of the run a person calls `name`; `like` is the run whose baseline "baseline" means."""
        with self.reading() as opened:
            return names.resolve(opened, name, like)

    def set_baseline(self, run_id: str) -> None:
        """Make a run the one baseline of its target and prompt (or kernel)."""
        with self.writing() as opened:
            names.set_baseline(opened, run_id)

    def baseline_of(self, run_id: str) -> str | None:
        """The id of the baseline for a run's target and prompt, None when none is set."""
        with self.reading() as opened:
            return names.baseline_of(opened, run_id)

    def baselines(self) -> frozenset[str]:
        """Ids of every run marked as a baseline."""
        with self.reading() as opened:
            return names.baselines(opened)

    def table(self, profile_id: str, name: str) -> pa.Table:
        """A profile's rows of one table, without `profile_id`."""
        with self.reading() as opened:
            return read.table(opened, profile_id, name)

    def source(self, sha256: str) -> str | None:
        """Kernel source text by hash, None when it was never stored."""
        with self.reading() as opened:
            return read.source(opened, sha256)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """The result of read-only SQL. Raises `StoreError` with what DuckDB says of a faulty statement."""
        with self.reading() as opened:
            return read.query(opened, sql, parameters)

    def extent(self, profile_id: str) -> tuple[int, int] | None:
        """First start and last end of a profile's rows in ns, None when it has none."""
        with self.reading() as opened:
            return timeline.extent(opened, profile_id)

    def lanes(self, profile_id: str, start_ns: float, end_ns: float, buckets: int) -> pa.Table:
        """Engine and DMA-queue lanes per pixel; see `timeline.lanes`."""
        with self.reading() as opened:
            return timeline.lanes(opened, profile_id, start_ns, end_ns, buckets)

    def lines(self, profile_id: str) -> pa.Table:
        """Sums per source line; see `timeline.lines`."""
        with self.reading() as opened:
            return timeline.lines(opened, profile_id)

    def instructions(self, profile_id: str, start_ns: float, end_ns: float, limit: int = 2000) -> pa.Table:
        """Instructions that run between two times, at most `limit`."""
        with self.reading() as opened:
            return timeline.instructions(opened, profile_id, start_ns, end_ns, limit)

    def transfer_sizes(self, profile_id: str) -> pa.Table:
        """Transfers, bytes and descriptors by power of two of the descriptor's size."""
        with self.reading() as opened:
            return timeline.transfer_sizes(opened, profile_id)
