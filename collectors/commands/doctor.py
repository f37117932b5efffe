"""`collectors doctor`: what is installed, what is missing, which backend would run."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from collectors.commands.options import Database, Json, open_store
from collectors.commands.screen import output, print_json, say, table
from collectors.environment import package_version
from collectors.errors import CollectorError
from collectors.store.door import Store

NEEDED = {
    "duckdb": "the database",
    "pyarrow": "tables",
    "numpy": "the simulator",
    "ml_dtypes": "bfloat16 and fp8",
    "torch": "accuracy checks",
    "transformers": "the reference model",
    "streamlit": "the dashboard",
    "plotly": "charts",
    "perfetto": "trace export",
}
MEND = "pip install -e ."


@dataclass(frozen=True, slots=True)
class Row:
    """One thing looked at; `ok` None means nobody can tell, or it is not needed here."""

    name: str
    ok: bool | None
    detail: str
    mend: str = ""


def doctor(
    report: Annotated[
        Path | None, typer.Option(help="Also write everything about the device to this file.")
    ] = None,
    db: Database = None,
    json: Json = False,
) -> None:
    """Say what is installed, what is missing and the command that mends it, and which backend would run.

    Example: collectors doctor
    """
    store = open_store(db)
    device = list(_device())
    host = [_python(), *_packages(), _database(store), _cache()]
    backend = "neuron" if _present() else "simulator"
    if report:
        from collectors.device import write_report

        write_report(report)
    if json:
        print_json({"backend": backend, "host": host, "device": device})
        return
    screen = output()
    for title, rows in (("This machine", host), ("Neuron device", device)):
        screen.print(table((title, "", "found", "to mend it"), [_shown(row) for row in rows], left=4))
        screen.print()
    say(f"`collectors profile` would use the {backend}.")
    if report:
        say(f"Wrote {report}")


def _shown(row: Row) -> list[str]:
    mark = {True: "ok", False: "missing", None: "?"}[row.ok]
    return [row.name, mark, row.detail, row.mend if row.ok is not True else ""]


def _present() -> bool:
    from collectors.device import device_present

    return bool(device_present())


def _device() -> Iterator[Row]:
    from collectors.device import checks

    for found in checks():
        yield Row(found.name, found.ok, found.detail, found.mend)


def _python() -> Row:
    ok = sys.version_info >= (3, 11)
    return Row("python", ok, platform.python_version(), "" if ok else "install Python 3.11 or newer")


def _packages() -> Iterator[Row]:
    for name, use in NEEDED.items():
        found = package_version(name)
        yield Row(name, found is not None, f"{found} ({use})" if found else f"not installed ({use})", MEND)


def _database(store: Store) -> Row:
    if not store.path.exists():
        return Row("runs.db", None, f"{store.path} does not exist yet", "collectors profile --prompt 3")
    try:
        count = store.query("SELECT count(*) AS n FROM run").to_pylist()[0]["n"]
    except CollectorError as error:
        return Row("runs.db", False, error.message, error.hint)
    size = store.path.stat().st_size
    return Row("runs.db", True, f"{store.path}: {count} runs, {size / 1e6:.1f} MB")


def _cache() -> Row:
    from collectors.simulated import cache

    entries, size = cache.size()
    return Row("cache", True, f"{cache.folder()}: {entries} simulations, {size / 1e6:.1f} MB")
