"""From a NEFF and an NTFF to tables a reader can open, with a tool that may never exit.

`neuron-explorer view` writes every table's header at once, fills the tables while it works, fills
`Summary.parquet` last, and then serves its pages for ever. So completion is read from what it has written,
the process is ended then, and every table is opened before anyone trusts it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from collectors.device.failures import phase_failed
from collectors.device.host import Tool
from collectors.device.tools import Value, arguments, droppable, require_format, run

PROCESS_SECONDS = 7200.0
POLL_SECONDS = 1.0
LAST_TABLE = "Summary"
CORE_TABLE = "Instruction"

State = Literal["working", "complete", "failed"]


@dataclass(frozen=True, slots=True)
class Processed:
    """Tables (or one JSON file) of a processed profile, and the log of the tool that made them."""

    path: Path
    format: Literal["parquet", "json"]
    log: Path
    tool: str
    tool_version: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far processing is: tables seen, tables that have rows, rows in all."""

    tables: int
    filled: int
    rows: int


def process(
    tool: Tool,
    neff: Path,
    ntff: Path,
    folder: Path,
    *,
    timeout_s: float = PROCESS_SECONDS,
    poll_s: float = POLL_SECONDS,
    watch: Callable[[Progress], None] | None = None,
) -> Processed:
    """Process a pair into `folder`: parquet with neuron-explorer, the JSON layout with neuron-profile.

    Raises `PhaseError` when the tool fails, stalls past `timeout_s`, or leaves tables without rows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if tool.name == "neuron-profile":
        return _to_json(tool, neff, ntff, folder, timeout_s)
    require_format(tool, "parquet")
    log = folder / "view.log"
    without: frozenset[str] = frozenset()
    while True:
        values = _view_values(neff, ntff, folder)
        state = _view(arguments(tool, "view", values, without), folder, log, timeout_s, poll_s, watch)
        refused = droppable("view", log.read_text("utf-8", errors="replace"), values)
        if state == "failed":
            raise phase_failed("process", log, "The tool reported that processing failed.")
        if state == "complete" or refused is None or refused in without:
            break
        without |= {refused}
    return Processed(_checked(folder, log), "parquet", log, tool.name, tool.version)


def row_counts(folder: Path) -> Mapping[str, int]:
    """Rows of every table below a folder; -1 for a file that cannot be opened (yet)."""
    return {path.stem: _rows(path) for path in sorted(folder.rglob("*.parquet"))}


def _view_values(neff: Path, ntff: Path, folder: Path) -> dict[str, Value]:
    return {
        "neff": neff.resolve(),
        "session_file": ntff.resolve(),
        "format": "parquet",
        "output_file": (folder / "tables").resolve(),
        "display_name": neff.stem,
        "ingest_only": True,
        "disable_ui": True,
        "force": True,
        "status_file": (folder / "status.json").resolve(),
    }


def _view(
    words: list[str],
    folder: Path,
    log: Path,
    timeout_s: float,
    poll_s: float,
    watch: Callable[[Progress], None] | None,
) -> State:
    """Run the tool until what it wrote is complete, it exits, or time is up."""
    deadline = time.monotonic() + timeout_s
    with _running(words, folder, log) as process:
        while True:
            ended = _wait(process, poll_s)
            state = _state(folder)
            if watch is not None:
                watch(_progress(folder))
            if ended or state != "working":
                return state
            if time.monotonic() > deadline:
                raise phase_failed("process", log, f"Processing was not done after {timeout_s:.0f} s.")


@contextlib.contextmanager
def _running(words: list[str], folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The tool in a process group of its own (it starts servers), ended with all its children on leaving."""
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603
            words,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_group(process)


def end_group(process: subprocess.Popen[bytes], grace_s: float = 10.0) -> None:
    """Ask a process group to end, and end it when it does not."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
            return


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _state(folder: Path) -> State:
    status = _status(folder / "status.json")
    if status is not None:
        return status
    counts = row_counts(folder)
    filled = counts.get(LAST_TABLE, 0) > 0 and min(counts.values()) >= 0
    return "complete" if filled else "working"


def _status(path: Path) -> State | None:
    """The status file's verdict; None while it is absent or half-written."""
    try:
        said = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    profiles = said.get("profiles", [])
    done = bool(profiles) and all(row.get("status") == "success" for row in profiles)
    return "complete" if said.get("status_code") == 0 and done else "failed"


def _checked(folder: Path, log: Path) -> Path:
    """The folder of the tables, once each opens and the ones that matter have rows."""
    counts = row_counts(folder)
    broken = [name for name, rows in counts.items() if rows < 0]
    if not counts:
        raise phase_failed("process", log, "The tool wrote no tables.")
    if broken:
        raise phase_failed("process", log, f"{broken[0]}.parquet cannot be opened.")
    if counts.get(LAST_TABLE, 0) == 0 or _split_rows(counts) == 0:
        empty = CORE_TABLE if _split_rows(counts) == 0 else LAST_TABLE
        raise phase_failed("process", log, f"The tool wrote table headers but no rows in {empty}.")
    return next(folder.rglob(f"{LAST_TABLE}.parquet")).parent


def _split_rows(counts: Mapping[str, int]) -> int:
    """Rows of the instruction table, which a large profile splits into numbered files."""
    names = [name for name in counts if name == CORE_TABLE or name.startswith(f"{CORE_TABLE}_")]
    return sum(max(counts[name], 0) for name in names)


def _progress(folder: Path) -> Progress:
    rows = [count for count in row_counts(folder).values() if count >= 0]
    return Progress(len(rows), sum(count > 0 for count in rows), sum(rows))


def _rows(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError):
        return -1


def _to_json(tool: Tool, neff: Path, ntff: Path, folder: Path, timeout_s: float) -> Processed:
    require_format(tool, "json")
    out, log = (folder / "ntff.json").resolve(), folder / "view.log"
    values: dict[str, Value] = {
        "neff": neff.resolve(),
        "session_file": ntff.resolve(),
        "format": "json",
        "output_file": out,
    }
    run(tool, "view", values, log=log, timeout_s=timeout_s)
    if not out.exists() or out.stat().st_size == 0:
        raise phase_failed("process", log, f"{tool.name} wrote no JSON.")
    return Processed(out, "json", log, tool.name, tool.version)
