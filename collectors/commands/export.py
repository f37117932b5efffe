"""`collectors export`: a run for other tools."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import typer

from collectors.commands.options import Database, Json, RunName, open_store
from collectors.commands.screen import print_json, say
from collectors.errors import CollectorError
from collectors.records import Run
from collectors.store.door import Store
from collectors.store.write import PROFILE_TABLES

OF_RUN = ("run", "launch", "sample", "accuracy_check", "artifact", "run_source", "run_warning")


class ExportFormat(StrEnum):
    """Where the run goes next."""

    perfetto = "perfetto"
    parquet = "parquet"
    csv = "csv"


def export(
    run: RunName = "latest",
    format: Annotated[
        ExportFormat, typer.Option(help="perfetto: one trace file; parquet, csv: a folder, a file a table.")
    ] = ExportFormat.perfetto,
    to: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File or folder to write [default: named after the run]",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    db: Database = None,
    json: Json = False,
) -> None:
    """Write a run's timelines for ui.perfetto.dev, or its tables as Parquet or CSV.

    Example: collectors export latest --format perfetto -o run.perfetto-trace
    """
    store = open_store(db)
    found = store.load(store.resolve(run))
    place = to or Path(f"{found.run_id}.perfetto-trace" if format is ExportFormat.perfetto else found.run_id)
    _make_room(place, force)
    if format is ExportFormat.perfetto:
        from collectors.commands.perfetto import trace

        _write_whole(place, trace(store, found))
    else:
        _write_tables(place, store, found, format)
    if json:
        print_json({"run_id": found.run_id, "format": format.value, "output": str(place)})
    else:
        say(f"Wrote {place}")


def _make_room(place: Path, force: bool) -> None:
    if not place.exists():
        return
    if not force:
        raise CollectorError(
            f"{place} is already there", "add --force to replace it, or give another --output"
        )
    if place.is_dir():
        shutil.rmtree(place)


def _write_whole(place: Path, content: bytes) -> None:
    partial = place.with_name(place.name + ".partial")
    try:
        partial.write_bytes(content)
        partial.replace(place)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CollectorError(f"cannot write {place}: {error.strerror}", "give another --output") from None


def _write_tables(place: Path, store: Store, run: Run, format: ExportFormat) -> None:
    partial = place.with_name(place.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for name, table in tables_of(store, run):
            _write_table(partial / f"{name}.{format.value}", table)
        partial.replace(place)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise CollectorError(f"cannot write {place}: {error.strerror}", "give another --output") from None


def tables_of(store: Store, run: Run) -> Iterator[tuple[str, pa.Table]]:
    """Every table that has rows of the run, by name."""
    for name in OF_RUN:
        yield name, store.query(f"SELECT * FROM {name} WHERE run_id = ?", [run.run_id])  # noqa: S608 (own names)
    used = "profile_id IN (SELECT profile_id FROM launch WHERE run_id = ?)"
    for name in ("profile", *PROFILE_TABLES):
        rows = store.query(f"SELECT * FROM {name} WHERE {used}", [run.run_id])  # noqa: S608
        if rows.num_rows:
            yield name, rows
    texts = "SELECT * FROM source WHERE sha256 IN (SELECT sha256 FROM run_source WHERE run_id = ?)"
    yield "source", store.query(texts, [run.run_id])


def _write_table(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        from pyarrow import parquet

        parquet.write_table(table, path)
    else:
        from pyarrow import csv

        csv.write_csv(_flat(table), path)


def _flat(table: pa.Table) -> pa.Table:
    """Lists joined with spaces: CSV has no lists."""
    for at, field in enumerate(table.schema):
        if pa.types.is_list(field.type):
            joined = pa.array(
                [None if value is None else " ".join(value) for value in table[at].to_pylist()], pa.string()
            )
            table = table.set_column(at, field.name, joined)
    return table
