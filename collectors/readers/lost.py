"""Events a profile lost: instructions of a core that do not span the execution.

A notification queue that overflows drops events without an error; what was kept looks like a faster kernel.
"""

from __future__ import annotations

import duckdb

from collectors.records import Scan

SPANNED = 0.95
"""Share of an execution that the instructions of each of its cores must span."""


def lost(connection: duckdb.DuckDBPyConnection, instructions: Scan, executions: str) -> list[str]:
    """What to say of cores whose instructions end early or begin late. `executions` is SQL of ExecutionInfo.

    Raises `duckdb.Error`.
    """
    told = connection.sql(
        f"SELECT min(execution_start_ts), max(execution_end_ts) FROM ({executions})"  # noqa: S608 (own names)
    ).fetchall()
    [(begun, ended)] = told
    if begun is None or ended is None or ended <= begun:
        return []
    spans = connection.sql(
        "SELECT pcore_idx, least(max(end_ts), $ended) - greatest(min(start_ts), $begun) AS span "  # noqa: S608
        f"FROM ({instructions.query}) GROUP BY pcore_idx ORDER BY pcore_idx",
        params={"begun": begun, "ended": ended},
    ).fetchall()
    return [
        f"Core {core}: its instructions span {span / (ended - begun):.0%} of the execution, so events were "
        "lost: profile fewer tokens or fewer cores."
        for core, span in spans
        if span < SPANNED * (ended - begun)
    ]
