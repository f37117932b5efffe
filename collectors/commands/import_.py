"""`collectors import`: store what a profiler, or the challenge's own programs, wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import DownloadColumn

from collectors.commands import summary
from collectors.commands.options import Database, Json, open_store
from collectors.commands.screen import output, print_json, progress, say
from collectors.records import Run
from collectors.store.door import Store


def import_(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            help="A summary (JSON or text), a whole --output-format json, a folder of parquet tables, "
            "a NEFF with its NTFF or a capture folder (read with the profiler of this machine), "
            "totals of runtime events, a benchmark_report.json, a score CSV, an evaluation log, an "
            "accuracy status, or a folder of what belongs to one run.",
            show_default=False,
        ),
    ],
    label: Annotated[
        str | None,
        typer.Option(help="A name for the runs [default: the file's]", show_default=False),
    ] = None,
    prompt: Annotated[
        int | None,
        typer.Option(
            help="The prompt that a model's profiles are of, where no evaluation beside them says it.",
            show_default=False,
        ),
    ] = None,
    seq_len: Annotated[int, typer.Option(help="Of --prompt: prompt and new tokens together.")] = 640,
    db: Database = None,
    json: Json = False,
) -> None:
    """Store what a profiler or the challenge wrote; each file is recognised by its content.

    Files are read whole before anything is stored, and the same content is stored once. What belongs together
    is one run: a report, its score, its accuracy, its event totals and the profiles of its graphs.

    Example: collectors import prefill.json decode.json benchmark_report.json score.csv --label first-try
    """
    from collectors.readers import read
    from collectors.readers.model import Asked

    with progress("reading", total=DownloadColumn()) as shown:

        def watch(name: str, done: int, total: int) -> None:
            shown.update(shown.task_ids[0], description=f"reading {name}", completed=done, total=total)

        found = read(paths, watch, Asked(prompt, seq_len))
        found = [replace(run, label=label) if label else run for run in found]
        shown.update(shown.task_ids[0], description="storing", completed=0, total=None)
        new, known = store_new(open_store(db), found)
    if json:
        print_json({"runs": [summary.as_object(run) for run in new], "known": [run.run_id for run in known]})
        return
    for run in known:
        say(f"{run.label}: imported before as {run.run_id[:8]}, nothing to store.")
    screen = output()
    for run in new:
        screen.print(summary.title(run), soft_wrap=True, markup=False)
        for text in (*run.warnings, summary.line(run)):
            screen.print(text, soft_wrap=True, markup=False)


# "import" is a keyword: the verb cannot be spelled as its function.
import_.__name__ = "import"


def store_new(store: Store, runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Save the runs the store lacks, all or none; (saved, already there). Raises `StoreError`."""
    ids = [run.run_id for run in runs]
    rows = store.query("SELECT run_id FROM run WHERE list_contains(?, run_id)", [ids]).to_pylist()
    known = {row["run_id"] for row in rows}
    new = [run for run in runs if run.run_id not in known]
    store.save(*new)
    return new, [run for run in runs if run.run_id in known]
