"""NEFFs with the NTFFs of their executions: processed by the profiler of this machine, then read.

Processing needs aws-neuronx-tools and no device. What a run records are the pair's two files, so the same
capture processed twice is one run.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from collectors.device.failures import PhaseError, diagnose
from collectors.device.host import Host, Tool
from collectors.device.pairing import Pair, Pairing, pair_files, pair_folder, pick
from collectors.device.processing import process
from collectors.errors import UnreadableInput
from collectors.readers.files import artifact, digest
from collectors.readers.full_json import read_full_json
from collectors.readers.parquet_folder import read_parquet_folder
from collectors.readers.reading import Reading
from collectors.records import Artifact

SUFFIXES = frozenset({".neff", ".ntff"})
"""Neither format has a documented signature; the tools that write them go by the ending too."""

PROCESSED: Mapping[str, Callable[[Path, str], list[Reading]]] = {
    "parquet": read_parquet_folder,
    "json": read_full_json,
}

Captured = tuple[Reading, tuple[Artifact, ...]]


def is_capture(path: Path) -> bool:
    """Whether a path is a NEFF, an NTFF, or a folder that holds NTFFs and is not processed yet."""
    if path.is_dir():
        processed = next(path.glob("*.parquet"), None)
        return processed is None and next(path.rglob("*.ntff"), None) is not None
    return path.suffix in SUFFIXES


def read_captures(paths: Sequence[Path], host: Host | None = None) -> list[Captured]:
    """A reading, with its two artifacts, for every NEFF that was executed.

    Of several executions the second is read. Raises `UnreadableInput`, or `DeviceError` without a profiler.
    """
    folders = [path for path in paths if path.is_dir()]
    files = [path for path in paths if not path.is_dir()]
    found = [pair_folder(folder) for folder in folders]
    if files:
        _require_both(files)
        neffs = [path for path in files if path.suffix == ".neff"]
        found.append(pair_files(neffs, [path for path in files if path.suffix == ".ntff"], "The command"))
    tool = (host or Host()).tool()
    return [_processed(pair, tool, _said(pairing)) for pairing in found for pair in pairing.pairs]


def _require_both(files: Sequence[Path]) -> None:
    kinds = {path.suffix for path in files}
    if kinds == {".ntff"}:
        raise UnreadableInput(
            f"{files[0]} is a device profile without its NEFF, and only the two together can be read",
            "name the NEFF of the same compilation beside it, or the folder that holds both",
        )
    if kinds == {".neff"}:
        raise UnreadableInput(
            f"{files[0]} is a compiled graph without a device profile",
            "name the NTFF of its execution beside it (neuron-explorer capture writes one on a device)",
        )


def _said(pairing: Pairing) -> tuple[str, ...]:
    idle, unused = len(pairing.idle), len(pairing.unexecuted)
    said = []
    if idle:
        said.append(f"{idle} device profile{'s' * (idle > 1)} of cores that executed nothing left out.")
    if unused:
        said.append(f"{unused} NEFF{'s' * (unused > 1)} that never ran left out.")
    return tuple(said)


def _processed(pair: Pair, tool: Tool, said: tuple[str, ...]) -> Captured:
    trace = pick(pair.traces)
    artifacts = (artifact(pair.neff, "neff"), artifact(trace.path, "ntff"))
    first = trace.execution == 1 and trace.layout != "session"
    start_up = ("This is the first execution of its graph: start-up is part of it.",) if first else ()
    try:
        done = process(tool, pair.neff, trace.path, _scratch())
    except PhaseError as error:
        raise _refused(pair, trace.path, error) from None
    (reading,) = PROCESSED[done.format](done.path, digest(*(each.sha256 for each in artifacts)))
    notes = (*reading.notes, *start_up, *said)
    return replace(reading, name=pair.neff.stem, notes=notes), artifacts


def _refused(pair: Pair, ntff: Path, error: PhaseError) -> UnreadableInput:
    """The failure without the log's place, which is gone by then."""
    known = diagnose(error.log_tail)
    last = error.log_tail[-1].strip() if error.log_tail else "nothing"
    return UnreadableInput(
        f"{ntff} could not be processed with {pair.neff.name}: {error.message}",
        known.mend if known else f"the profiler's last words were: {last}",
    )


def _scratch() -> Path:
    """A folder that lasts as long as the program: rows stay in its files until the run is stored."""
    folder = Path(tempfile.mkdtemp(prefix="nki-dashboard-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
