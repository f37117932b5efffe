"""What a person may call a run: an id, a unique start of one, a label, `latest`, `latest~1`, `baseline`.

`/p3` behind a label, `latest` or `baseline` picks the prompt.
"""

from __future__ import annotations

import re
from typing import Any

import duckdb

from collectors.errors import RunNotFound

NAME = re.compile(r"(?P<name>.+?)(?:~(?P<back>\d+))?(?:/p(?P<prompt>\d+))?")
ORDER = "ORDER BY created_at DESC, run_id DESC"
NEWEST = f"AND run_id NOT IN (FROM trial_run) {ORDER}"
"""Newest first, without the trials of a search: those answer to their ids only."""
SAME_WORK = "target = ? AND prompt IS NOT DISTINCT FROM ? AND (prompt IS NOT NULL OR kernels::TEXT = ?)"
"""Runs that share a baseline: a prompt on a target; without a prompt, the same kernel on a target."""


def resolve(connection: duckdb.DuckDBPyConnection, name: str, like: str | None = None) -> str:
    """The run id that `name` means. `baseline` is that of the run `like` (default: the latest run).

    Raises `RunNotFound`, with what exists instead.
    """
    for find in (_by_id, _latest, _baseline, _by_label, _by_prefix):
        if found := find(connection, name, like):
            return found
    raise _nothing(connection, name)


def set_baseline(connection: duckdb.DuckDBPyConnection, run_id: str) -> None:
    """Make `run_id` the one baseline of its target and prompt (or kernel)."""
    work = _work_of(connection, run_id)
    connection.begin()
    try:
        connection.execute(f"UPDATE run SET is_baseline = false WHERE is_baseline AND {SAME_WORK}", work)  # noqa: S608
        connection.execute("UPDATE run SET is_baseline = true WHERE run_id = ?", [run_id])
    except duckdb.Error:
        connection.rollback()
        raise
    connection.commit()


def baseline_of(connection: duckdb.DuckDBPyConnection, run_id: str) -> str | None:
    """The baseline a run is compared with, None when there is none for its target and prompt."""
    found = _ids(connection, f"is_baseline AND {SAME_WORK} {NEWEST}", _work_of(connection, run_id))
    return found[0] if found else None


def baselines(connection: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Ids of every run marked as a baseline."""
    return frozenset(_ids(connection, "is_baseline", []))


def _ids(connection: duckdb.DuckDBPyConnection, condition: str, parameters: list[Any]) -> list[str]:
    sql = f"SELECT run_id FROM run WHERE {condition}"  # noqa: S608 (own text)
    return [run_id for (run_id,) in connection.execute(sql, parameters).fetchall()]


def _work_of(connection: duckdb.DuckDBPyConnection, run_id: str) -> list[Any]:
    found = connection.execute(
        "SELECT target, prompt, kernels::TEXT FROM run WHERE run_id = ?", [run_id]
    ).fetchall()
    if not found:
        raise _nothing(connection, run_id)
    return list(found[0])


def _parts(name: str) -> tuple[str, int | None, int | None]:
    found = NAME.fullmatch(name)
    if found is None:
        return name, None, None
    back, prompt = (None if found[key] is None else int(found[key]) for key in ("back", "prompt"))
    return found["name"], back, prompt


def _by_id(connection: duckdb.DuckDBPyConnection, name: str, _like: str | None) -> str | None:
    found = _ids(connection, "run_id = ?", [name])
    return found[0] if found else None


def _latest(connection: duckdb.DuckDBPyConnection, name: str, _like: str | None) -> str | None:
    word, back, prompt = _parts(name)
    if word != "latest":
        return None
    found = _ids(connection, f"(? IS NULL OR prompt = ?) {NEWEST}", [prompt, prompt])
    steps = back or 0
    if steps < len(found):
        return found[steps]
    if not found:
        raise _nothing(connection, name)
    raise RunNotFound(f"{name} does not exist: there are only {len(found)} such runs", _LIST)


def _baseline(connection: duckdb.DuckDBPyConnection, name: str, like: str | None) -> str | None:
    word, back, prompt = _parts(name)
    if word != "baseline" or back is not None:
        return None
    if prompt is not None:
        found = _ids(connection, f"is_baseline AND prompt = ? {NEWEST}", [prompt])
    else:
        newest = like or next(iter(_ids(connection, f"true {NEWEST}", [])), None)
        mine = baseline_of(connection, newest) if newest else None
        found = [mine] if mine else [] if like else _ids(connection, f"is_baseline {NEWEST}", [])
    if len(found) == 1 or (found and prompt is None and not like):
        return found[0]
    if found:
        raise RunNotFound(f"{name} is one of {len(found)} runs: {', '.join(found)}", "name one by its id")
    if _ids(connection, "label = 'baseline'", []):
        return None
    raise RunNotFound(
        "no baseline is set for this target and prompt", "set one with `collectors baseline RUN`"
    )


def _by_label(connection: duckdb.DuckDBPyConnection, name: str, _like: str | None) -> str | None:
    whole = _ids(connection, f"label = ? {NEWEST}", [name])
    if whole:
        return whole[0]
    word, back, prompt = _parts(name)
    found = _ids(connection, f"label = ? AND (? IS NULL OR prompt = ?) {NEWEST}", [word, prompt, prompt])
    return found[back or 0] if (back or 0) < len(found) else None


def _by_prefix(connection: duckdb.DuckDBPyConnection, name: str, _like: str | None) -> str | None:
    found = _ids(connection, f"starts_with(run_id, ?) {ORDER}", [name])
    if len(found) > 1:
        shown = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
        raise RunNotFound(f"{name!r} begins {len(found)} run ids: {shown}", "type more of the id")
    return found[0] if found else None


_LIST = "list the runs with `collectors runs`"


def _nothing(connection: duckdb.DuckDBPyConnection, name: str) -> RunNotFound:
    if not _ids(connection, "true LIMIT 1", []):
        return RunNotFound("there are no runs yet", "make one with `collectors profile --prompt 3`")
    return RunNotFound(f"no run is called {name!r}", _LIST)
