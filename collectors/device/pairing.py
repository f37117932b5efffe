"""Which NTFF belongs to which NEFF, in every layout the runtime and the tools write.

Layouts (tools/neuron-explorer/how-to-profile-workload.rst and public captures):

    inspect, model mode    neff_<id>[_vnc_0].neff          <id>[_instid_0]_vnc_<k>.ntff
    inspect, session mode  neff_<hash>_vnc_0.neff (many)   profile_nc_<k>_session_<s>.ntff (one a core)
    vLLM                   neffs/graph_<32 hex>.neff       as session mode
    capture                any.neff                        <name>[_rank_<r>][_exec_<n>].ntff
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from collectors.errors import DeviceError

NEFF_NAME = re.compile(r"^(?:neff|graph)_(?P<id>\d+|[0-9a-f]{16,64})(?:_vnc_(?P<core>\d+))?\.neff$")
MODEL_NTFF = re.compile(r"^(?P<id>\d+)(?:_instid_(?P<instance>\d+))?_vnc_(?P<core>\d+)\.ntff$")
SESSION_NTFF = re.compile(r"^profile_nc_(?P<core>\d+)_session_(?P<session>\d+)\.ntff$")
CAPTURE_NTFF = re.compile(r"^(?P<id>.+?)(?:_rank_(?P<core>\d+))?(?:_exec_(?P<execution>\d+))?\.ntff$")

Layout = Literal["model", "session", "capture"]


@dataclass(frozen=True, slots=True)
class Trace:
    """An NTFF as its name describes it. `execution` counts from 1; `core` is a rank or a logical core."""

    path: Path
    layout: Layout
    id: str
    core: int = 0
    execution: int = 1
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """A NEFF and the traces of its executions. A session trace is shared by every NEFF of its folder."""

    neff: Path
    sha256: str
    traces: tuple[Trace, ...]


@dataclass(frozen=True, slots=True)
class Pairing:
    """What a folder holds: pairs, NEFFs that never ran, cores that were never used (their NTFF is empty)."""

    pairs: tuple[Pair, ...]
    unexecuted: tuple[Path, ...]
    idle: tuple[Trace, ...]


def trace_of(path: Path) -> Trace:
    """Read an NTFF's name: what is neither model nor session layout came from `capture`."""
    empty = path.stat().st_size == 0
    if match := MODEL_NTFF.match(path.name):
        return Trace(path, "model", match["id"], int(match["core"]), empty=empty)
    if match := SESSION_NTFF.match(path.name):
        return Trace(path, "session", match["session"], int(match["core"]), empty=empty)
    match = CAPTURE_NTFF.match(path.name)
    if match is None:
        raise DeviceError(f"{path.name} is not an NTFF.", "Name a file that ends in .ntff.")
    execution = int(match["execution"] or 1)
    return Trace(path, "capture", match["id"], int(match["core"] or 0), execution, empty)


def pair_folder(folder: Path) -> Pairing:
    """Pair every NEFF below a folder with its NTFFs; copies of one NEFF (same bytes) count once.

    Empty NTFFs are cores the process owned and never used; they are set aside, not an error.
    Raises `DeviceError` when there is no NEFF, no NTFF, or an NTFF with rows and no NEFF.
    """
    neffs, traces = _found(folder)
    return _paired(neffs, traces, str(folder))


def pair_files(neffs: Sequence[Path], ntffs: Sequence[Path], place: str) -> Pairing:
    """The same of files named one by one; `place` begins the sentence of an error ("The command")."""
    return _paired(list(neffs), [trace_of(path) for path in ntffs], place)


def _paired(neffs: list[Path], traces: list[Trace], place: str) -> Pairing:
    used = [trace for trace in traces if not trace.empty]
    _require(place, neffs, traces, used)
    pairs: list[Pair] = []
    unexecuted: list[Path] = []
    by_hash = _by_hash(neffs)
    for digest, copies in by_hash.items():
        own = {trace for path in copies for trace in _traces_of(path, used, alone=len(by_hash) == 1)}
        if own:
            order = sorted(own, key=lambda trace: (trace.core, trace.execution, trace.path.name))
            pairs.append(Pair(copies[0], digest, tuple(order)))
        else:
            unexecuted.append(copies[0])
    _require_all_claimed(used, pairs)
    return Pairing(tuple(pairs), tuple(unexecuted), tuple(trace for trace in traces if trace.empty))


def pick(traces: Sequence[Trace], execution: int = 2, core: int | None = None) -> Trace:
    """The trace to read: of the lowest core (or `core`), the execution asked for, else the latest there is.

    The first execution of a NEFF carries a millisecond or more of start-up (aws-neuron-sdk issue 994).
    """
    cores = sorted({trace.core for trace in traces if not trace.empty})
    chosen = core if core is not None else cores[0]
    rows = [trace for trace in traces if trace.core == chosen and not trace.empty]
    exact = [trace for trace in rows if trace.execution == execution]
    return exact[0] if exact else max(rows, key=lambda trace: trace.execution)


def identify(pairs: Iterable[Pair], compiled: Mapping[str, str]) -> Mapping[str, Pair]:
    """Pairs by the name their NEFF was compiled under; `compiled` maps SHA-256 to name.

    The runtime writes a NEFF byte for byte as the compiler made it, so equal hashes are the same graph.
    """
    return {compiled[pair.sha256]: pair for pair in pairs if pair.sha256 in compiled}


def expected_ntff(session_file: Path, executions: int, nth: int, worker: int | None = None) -> Path:
    """The file `capture --num-exec N --profile-nth-exec M` writes for its last profiled execution."""
    rank = "" if worker is None else f"_rank_{worker}"
    last = (executions // nth) * nth if nth else 0
    suffix = f"_exec_{last}" if last > 1 else ""
    return session_file.with_name(f"{session_file.stem}{rank}{suffix}.ntff")


def sha256(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _found(folder: Path) -> tuple[list[Path], list[Trace]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    neffs = [path for path in files if path.suffix == ".neff"]
    return neffs, [trace_of(path) for path in files if path.suffix == ".ntff"]


def _require(folder: str, neffs: list[Path], traces: list[Trace], used: list[Trace]) -> None:
    if not traces:
        raise DeviceError(
            f"{folder} holds no device profile (.ntff).",
            "Set NEURON_RT_INSPECT_DEVICE_PROFILE before the program starts; later it is ignored.",
        )
    if not used:
        raise DeviceError(
            f"Every device profile in {folder} is empty: no core executed anything while it was watched.",
            "Check that the program ran on the device, and warm it up before profiling.",
        )
    if not neffs:
        raise DeviceError(
            f"{folder} holds device profiles but no NEFF to read them with.",
            "Set TORCH_NEURONX_NEFF_CACHE_DIR to the output folder before the program starts.",
        )


def _by_hash(neffs: Iterable[Path]) -> Mapping[str, Sequence[Path]]:
    by_hash: dict[str, list[Path]] = defaultdict(list)
    for path in neffs:
        by_hash[sha256(path)].append(path)
    return by_hash


def _traces_of(neff: Path, traces: Sequence[Trace], *, alone: bool) -> list[Trace]:
    identity = _neff_id(neff)
    own = [trace for trace in traces if trace.layout == "model" and trace.id == identity]
    own += [trace for trace in traces if trace.layout == "session" and _same_session(neff, trace)]
    own += [trace for trace in traces if trace.layout == "capture" and (alone or _beside(neff, trace))]
    return own


def _neff_id(path: Path) -> str:
    match = NEFF_NAME.match(path.name)
    return match["id"] if match else path.stem


def _same_session(neff: Path, trace: Trace) -> bool:
    return trace.path.parent == neff.parent or neff.parent.name == "neffs"


def _beside(neff: Path, trace: Trace) -> bool:
    return trace.path.parent == neff.parent and trace.id in (neff.stem, "profile")


def _require_all_claimed(used: Iterable[Trace], pairs: Iterable[Pair]) -> None:
    claimed = {trace.path for pair in pairs for trace in pair.traces}
    orphans = [trace.path.name for trace in used if trace.path not in claimed]
    if orphans:
        raise DeviceError(
            f"No NEFF here matches {orphans[0]}{f' and {len(orphans) - 1} more' if orphans[1:] else ''}.",
            "NEFF and NTFF must come from the same compilation; capture again without the old cache.",
        )
