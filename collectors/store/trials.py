"""Studies and their trials in runs.db: a trial and its run are written together or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any

import duckdb

from collectors.errors import UsageError
from collectors.records import Run, Study, Trial
from collectors.store import read, write
from collectors.store.door import Store
from kernels.parameters import Parameter

STUDY = tuple(field.name for field in fields(Study))
TRIAL = tuple(field.name for field in fields(Trial))
FILL = "collectors tune SLOT, for example `collectors tune lm_head`"


def save_study(store: Store, study: Study) -> None:
    """Keep a new study. Raises `StoreError`."""
    parameters = write.to_json([asdict(each) for each in study.parameters])
    row = {name: getattr(study, name) for name in STUDY} | {"parameters": parameters}
    with store.writing() as opened:
        _insert(opened, "study", row)


def save_trial(store: Store, trial: Trial, run: Run | None) -> None:
    """Keep a trial with its run, None for one that was refused. Raises `StoreError`."""
    row = {name: getattr(trial, name) for name in TRIAL}
    row |= {"settings": write.to_json(dict(trial.settings))}
    with store.writing() as opened, _transaction(opened):
        if run is not None:
            write.insert_run(opened, run)
        _insert(opened, "trial", row)


def save_measured(store: Store, trial: Trial, run: Run) -> None:
    """Keep a run of a trial's candidate on a device. Raises `StoreError`."""
    sql = "UPDATE trial SET measured_run_id = ? WHERE study = ? AND number = ?"
    with store.writing() as opened, _transaction(opened):
        write.insert_run(opened, run)
        opened.execute(sql, [run.run_id, trial.study, trial.number])


def studies(store: Store) -> tuple[Study, ...]:
    """Every study, newest first."""
    with store.reading() as opened:
        rows = read.rows(opened, "SELECT * FROM study ORDER BY created_at DESC, study DESC")
    return tuple(_study(row) for row in rows)


def find_study(store: Store, name: str) -> Study:
    """The study of this name, else the newest whose name begins so. Raises `UsageError`."""
    every = studies(store)
    exact = [each for each in every if each.study == name]
    for found in (*exact, *(each for each in every if each.study.startswith(name))):
        return found
    if not every:
        raise UsageError("there are no studies yet", f"make one with {FILL}")
    known = ", ".join(each.study for each in every[:3])
    raise UsageError(f"no study is called {name!r}", f"the newest are {known}")


def trials(store: Store, study: str) -> tuple[Trial, ...]:
    """The trials of a study in the order they were made."""
    with store.reading() as opened:
        rows = read.rows(opened, "SELECT * FROM trial WHERE study = ? ORDER BY number", (study,))
    return tuple(Trial(**row | {"settings": json.loads(row["settings"])}) for row in rows)


def trial_runs(store: Store, study: str) -> dict[str, Run]:
    """Runs of a study's trials by id, measured ones among them; profiles without their tables."""
    with store.reading() as opened:
        found = read.of_study(opened, study)
    return {run.run_id: run for run in found}


def _study(row: dict[str, Any]) -> Study:
    parameters = [Parameter(**each) for each in json.loads(row["parameters"])]
    whole = tuple(
        Parameter(each.name, tuple(each.choices), each.default, each.meaning) for each in parameters
    )
    return Study(**row | {"parameters": whole})


def _insert(opened: duckdb.DuckDBPyConnection, table: str, row: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(row))
    sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"  # noqa: S608 (own names)
    opened.execute(sql, list(row.values()))


@contextmanager
def _transaction(opened: duckdb.DuckDBPyConnection) -> Iterator[None]:
    opened.begin()
    try:
        yield
    except BaseException:
        opened.rollback()
        raise
    opened.commit()
