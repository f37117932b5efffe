"""SQL over the tables of a profile, whether their rows are in memory or still in parquet files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from collectors.errors import UnreadableInput
from collectors.readers.reading import Rows
from collectors.records import Scan

PROCESS = "process the profile anew and let it finish (neuron-explorer view --ingest-only)"

Ask = Callable[[str], pa.Table]


@contextmanager
def asking(rows: Rows) -> Iterator[Ask]:
    """A function from SQL to its result; tables go by their names. Raises `UnreadableInput`."""
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET enable_progress_bar = false")
            for name, each in rows.items():
                if isinstance(each, Scan):
                    connection.execute(f"CREATE VIEW {name} AS {each.query}")
                else:
                    connection.register(name, each)
            yield lambda query: connection.sql(query).to_arrow_table()
    except duckdb.Error as error:
        raise unreadable(_folder(rows), error) from None


def unreadable(folder: Path | str, error: duckdb.Error) -> UnreadableInput:
    """What DuckDB says of a table it cannot read, with what to do."""
    said = str(error).strip().splitlines()[0]
    return UnreadableInput(f"{folder} has a table that cannot be read: {said}", PROCESS)


def _folder(rows: Rows) -> Path | str:
    files = [file for each in rows.values() if isinstance(each, Scan) for file in each.files]
    return Path(files[0]).parent if files else "the profile"
