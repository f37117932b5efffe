"""`collectors app`: the dashboard."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from collectors.commands.options import Database
from collectors.commands.screen import say
from collectors.errors import CollectorError
from collectors.store.door import default_path


def app(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default is this machine alone.")
    ] = "127.0.0.1",
    db: Database = None,
) -> None:
    """Open the dashboard on this machine.

    Example: collectors app --db runs.db
    """
    database = (db or default_path()).absolute()
    say(f"Dashboard of {database} on http://{host}:{port} (Ctrl-C stops it)")
    sys.stdout.flush()
    os.execv(sys.executable, command(database, host, port))  # noqa: S606 (signals go straight to Streamlit)


def command(database: Path, host: str, port: int) -> list[str]:
    """The Streamlit command line. Raises `CollectorError` when the app is not installed."""
    spec = find_spec("app")
    if spec is None or not spec.submodule_search_locations:
        raise CollectorError("the dashboard is not installed", "install the project with `pip install -e .`")
    folder = next(iter(spec.submodule_search_locations))
    options = ["--server.address", host, "--server.port", str(port), "--browser.gatherUsageStats", "false"]
    return [sys.executable, "-m", "streamlit", "run", folder, *options, "--", "--db", str(database)]
