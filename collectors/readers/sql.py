"""SQL over the tables of a profile, whether their rows are in memory or still in parquet files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from collectors.readers.reading import Rows
from collectors.records import Scan

Ask = Callable[[str], pa.Table]


@contextmanager
def asking(rows: Rows) -> Iterator[Ask]:
    """A function from SQL to its result; tables go by their names. Raises `duckdb.Error`."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET enable_progress_bar = false")
        for name, each in rows.items():
            if isinstance(each, Scan):
                connection.execute(f"CREATE VIEW {name} AS {each.query}")
            else:
                connection.register(name, each)
        yield lambda query: connection.sql(query).to_arrow_table()
