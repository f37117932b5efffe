"""SQL over the tables of a profile, whether their rows are in memory or still in parquet files."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from collectors.errors import UnreadableInput
from collectors.readers.reading import Rows
from collectors.records import Scan

PROCESS = "process the profile anew and let it finish (neuron-explorer view --ingest-only)"

MEMORY = "500MB"
"""What DuckDB may hold of a profile; the rest it writes to a folder of its own, which it removes."""
BATCH = 1 << 18
"""Rows of an answer that are read at once."""


@dataclass(frozen=True, slots=True)
class Ask:
    """SQL over the tables of a profile: the whole answer, or batch by batch where it may be long."""

    connection: duckdb.DuckDBPyConnection

    def __call__(self, query: str) -> pa.Table:
        """All of the answer."""
        return self.connection.sql(query).to_arrow_table()

    def run(self, statement: str) -> None:
        """Execute what has no answer."""
        self.connection.execute(statement)

    def batches(self, query: str) -> Iterator[pa.Table]:
        """The answer in tables of at most `BATCH` rows; there may be none."""
        for batch in self.connection.sql(query).to_arrow_reader(BATCH):
            yield pa.Table.from_batches([batch])


@contextmanager
def asking(rows: Rows) -> Iterator[Ask]:
    """What answers SQL; tables go by their names. Raises `UnreadableInput`."""
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET enable_progress_bar = false")
            connection.execute(f"SET memory_limit = '{MEMORY}'")
            connection.execute("SET temp_directory = ?", [f"{tempfile.gettempdir()}/{uuid.uuid4().hex}"])
            for name, each in rows.items():
                if isinstance(each, Scan):
                    connection.execute(f"CREATE VIEW {name} AS {each.query}")
                else:
                    connection.register(name, each)
            yield Ask(connection)
    except duckdb.Error as error:
        raise unreadable(_folder(rows), error) from None


def unreadable(folder: Path | str, error: duckdb.Error) -> UnreadableInput:
    """What DuckDB says of a table it cannot read, with what to do."""
    said = str(error).strip().splitlines()[0]
    return UnreadableInput(f"{folder} has a table that cannot be read: {said}", PROCESS)


def _folder(rows: Rows) -> Path | str:
    files = [file for each in rows.values() if isinstance(each, Scan) for file in each.files]
    return Path(files[0]).parent if files else "the profile"
