"""Reading runs back as the records they were written from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from collectors.errors import RunNotFound, StoreError
from collectors.records import ENGINE_NAMES, Artifact, Check, Launch, Profile, Run, Sample
from collectors.store.write import LAUNCH_COLUMNS, PROFILE_COLUMNS, PROFILE_TABLES, RUN_COLUMNS

Row = dict[str, Any]


def arrow(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
    """A query's result as Arrow."""
    return connection.sql(sql, params=list(parameters)).to_arrow_table()


def query(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
    """The result of a statement a person typed; raises `StoreError` with DuckDB's words."""
    try:
        relation = connection.sql(sql, params=list(parameters))
        return relation.to_arrow_table() if relation is not None else pa.table({})
    except duckdb.Error as error:
        raise StoreError(str(error).strip(), 'see the tables with `collectors sql "SHOW TABLES"`') from None


def rows(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
    """A query's result as dictionaries."""
    found: list[Row] = arrow(connection, sql, parameters).to_pylist()
    return found


def _pick(row: Row, names: Iterable[str]) -> Row:
    return {name: row[name] for name in names}


def runs(connection: duckdb.DuckDBPyConnection) -> tuple[Run, ...]:
    """Every run but trials, newest first, with launches, checks and profile summaries, no rows."""
    return _load(connection, "SELECT run_id FROM run ANTI JOIN trial_run USING (run_id)", ())


def of_study(connection: duckdb.DuckDBPyConnection, study: str) -> tuple[Run, ...]:
    """The runs of a study's trials, measured ones among them."""
    sql = "SELECT unnest([run_id, measured_run_id]) AS run_id FROM trial WHERE study = ?"
    return _load(connection, sql, (study,))


def load(connection: duckdb.DuckDBPyConnection, run_id: str) -> Run:
    """The run with exactly this id. Raises `RunNotFound`."""
    found = _load(connection, "SELECT run_id FROM run WHERE run_id = ?", (run_id,))
    if not found:
        raise RunNotFound(f"there is no run {run_id}", "list the runs with `collectors runs`")
    return found[0]


def _load(connection: duckdb.DuckDBPyConnection, ids: str, parameters: Sequence[Any]) -> tuple[Run, ...]:
    def detail(table: str, order: str = "") -> dict[str, list[Row]]:
        sql = f"SELECT * FROM {table} WHERE run_id IN ({ids}) {order}"  # noqa: S608 (own names)
        return _by(rows(connection, sql, parameters), "run_id")

    found = rows(
        connection,
        f"SELECT * FROM run WHERE run_id IN ({ids}) ORDER BY created_at DESC, run_id DESC",  # noqa: S608
        parameters,
    )
    wanted = f"SELECT DISTINCT profile_id FROM launch WHERE run_id IN ({ids})"  # noqa: S608
    profiles = {
        row["profile_id"]: _profile(row)
        for row in rows(connection, f"SELECT * FROM profile WHERE profile_id IN ({wanted})", parameters)  # noqa: S608
    }
    texts = _by(
        rows(
            connection,
            "SELECT DISTINCT run_id, sha256, text FROM run_source JOIN source USING (sha256) "  # noqa: S608
            f"WHERE run_id IN ({ids})",
            parameters,
        ),
        "run_id",
    )
    details = {
        "launches": detail("launch", "ORDER BY launch"),
        "checks": detail("accuracy_check"),
        "samples": detail("sample", "ORDER BY metric, launch, repetition"),
        "artifacts": detail("artifact"),
        "warnings": detail("run_warning"),
        "sources": texts,
    }
    return tuple(
        _run(row, {name: of.get(row["run_id"], []) for name, of in details.items()}, profiles)
        for row in found
    )


def _by(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row[key], []).append(row)
    return grouped


def _run(row: Row, details: Mapping[str, list[Row]], profiles: Mapping[str, Profile]) -> Run:
    documents = {name: json.loads(row[name]) for name in ("kernels", "configuration", "environment")}
    launches = tuple(_launch(each) for each in details["launches"])
    used = dict.fromkeys(launch.profile_id for launch in launches if launch.profile_id)
    check = ("name", "slot", "variant", "passed", "error", "tolerance", "detail")
    return Run(
        **_pick(row, RUN_COLUMNS),
        **documents,
        launches=launches,
        checks=tuple(Check(**_pick(each, check)) for each in details["checks"]),
        samples=tuple(
            Sample(**_pick(each, ("metric", "repetition", "value", "launch"))) for each in details["samples"]
        ),
        artifacts=tuple(
            Artifact(**_pick(each, ("path", "sha256", "bytes", "kind"))) for each in details["artifacts"]
        ),
        warnings=tuple(each["message"] for each in details["warnings"]),
        sources={each["sha256"]: each["text"] for each in details["sources"]},
        profiles={name: profiles[name] for name in used if name in profiles},
    )


def _launch(row: Row) -> Launch:
    return Launch(**_pick(row, LAUNCH_COLUMNS), covers=tuple(row["covers"]))


def _profile(row: Row) -> Profile:
    engines = {name: row[f"{name}_active"] for name in ENGINE_NAMES}
    documents = {name: json.loads(row[name]) for name in ("raw", "ideal_ns")}
    return Profile(**_pick(row, PROFILE_COLUMNS), engines=engines, **documents)


def table(connection: duckdb.DuckDBPyConnection, profile_id: str, name: str) -> pa.Table:
    """Rows of one profile, without `profile_id`, in the order they were written. Raises `StoreError`."""
    if name not in PROFILE_TABLES:
        raise StoreError(f"there is no profile table {name!r}", f"tables are {', '.join(PROFILE_TABLES)}")
    return arrow(
        connection,
        f"SELECT * EXCLUDE (profile_id) FROM {name} WHERE profile_id = ? ORDER BY rowid",  # noqa: S608
        (profile_id,),
    )


def source(connection: duckdb.DuckDBPyConnection, sha256: str) -> str | None:
    """Kernel source text by its hash, None when it was never stored."""
    found = connection.execute("SELECT text FROM source WHERE sha256 = ?", [sha256]).fetchall()
    return str(found[0][0]) if found else None
