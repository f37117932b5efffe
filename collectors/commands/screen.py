"""What the verbs print with: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH = 200
"""Columns when nobody is looking: a pipe must not cut numbers off."""


def output() -> Console:
    """Standard output; wide when it is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)


def messages() -> Console:
    """Standard error."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else PLAIN_WIDTH)


def say(text: str) -> None:
    """A line for the person, on standard error."""
    messages().print(Text(text))


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    from analysis.asjson import as_json

    sys.stdout.write(json.dumps(as_json(value), ensure_ascii=False) + "\n")


def number(value: float | None, digits: int = 3) -> str:
    """A number with three significant digits and no exponent; an em dash when unknown."""
    if value is None:
        return "—"
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{float(f'{value:.{digits}g}'):,.{digits + 3}f}".rstrip("0").rstrip(".") or "0"


def percent(fraction: float | None) -> str:
    """A fraction as a percentage."""
    return "—" if fraction is None else f"{100 * fraction:.1f}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, title: str = "") -> Table:
    """A table whose first `left` columns are words and whose others are numbers."""
    made = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for at, name in enumerate(columns):
        made.add_column(name, justify="left" if at < left else "right", no_wrap=at >= left)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """The same table as Markdown."""
    rule = ["---" if at < left else "---:" for at in range(len(columns))]
    lines = [columns, rule, *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def arrow_table(result: pa.Table) -> Table:
    """Any query's result."""
    rows = [["" if value is None else str(value) for value in row.values()] for row in result.to_pylist()]
    return table(result.column_names, rows, left=len(result.column_names))


@contextmanager
def progress(what: str, total: ProgressColumn | None = None) -> Iterator[Progress]:
    """A bar on standard error with one task, `what`; nothing when standard error is not a terminal.

    `total` shows how much of it is done, by default as "3/5".
    """
    counted = total or MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), counted, TimeElapsedColumn())
    console = messages()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        shown.add_task(what, total=None)
        yield shown
