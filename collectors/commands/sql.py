"""`collectors sql`: read-only SQL over the runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from collectors.commands.options import Database, Format, Json, open_store
from collectors.commands.screen import arrow_table, output, print_json


def sql(
    query: Annotated[str, typer.Argument(help='DuckDB SQL, for example "SELECT label, run_id FROM run".')],
    format: Annotated[Format, typer.Option(help="How to print the rows.")] = Format.table,
    db: Database = None,
    json: Json = False,
) -> None:
    """Run read-only SQL on the database; `SHOW TABLES` lists the tables.

    Example: collectors sql "SELECT engine, sum(duration_ns) FROM Instruction GROUP BY engine"
    """
    result = open_store(db).query(query)
    if json or format is Format.json:
        print_json({"columns": result.column_names, "rows": result.to_pylist()})
    elif format is Format.csv:
        from pyarrow import csv

        csv.write_csv(result, sys.stdout.buffer)
    else:
        output().print(arrow_table(result))
