"""The compiled graphs of a model, their device profiles, and the rows a reader finds in those.

The profiling pass leaves NEFFs and NTFFs of what the runtime executed; equal hashes say which of them is
which compiled graph. The runtime's model mode records a graph's first execution, start-up included, so the
second is captured from the same NEFF with the tool; the first is read only when that fails.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from collectors.device.children import Report
from collectors.device.failures import PhaseError
from collectors.device.generation import DECODE, PREFILL
from collectors.device.host import Tool
from collectors.device.pairing import Pair, Pairing, identify, pick, sha256
from collectors.device.processing import process
from collectors.device.tools import Capture, capture
from collectors.device.waterfall import Graph
from collectors.errors import DeviceError
from collectors.records import Artifact, Launch, Phase, Profile, Run

Read = Callable[[Sequence[Path]], Sequence[Run]]
PHASES: Mapping[str, Phase] = {PREFILL: "prefill", DECODE: "decode"}


@dataclass(frozen=True, slots=True)
class Shot:
    """The execution of a graph to be read, and what should be said about it."""

    graph: Graph
    neff: Path
    ntff: Path
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphProfile:
    """What a reader made of one graph's profile."""

    launches: tuple[Launch, ...]
    profiles: Mapping[str, Profile]
    artifacts: tuple[Artifact, ...]
    warnings: tuple[str, ...]
    sources: Mapping[str, str]


def compiled_graphs(compile_folder: Path, buckets: Mapping[str, Sequence[int]]) -> Mapping[Graph, Path]:
    """The NEFF of every graph below an NxD compile folder: `<model>/_tp0_bk<i>/graph.neff`.

    `buckets` are the lengths of each model's buckets, in the order of i; a model with one bucket may lie in
    `_tp0`.
    """
    found: dict[Graph, Path] = {}
    for model, lengths in buckets.items():
        for index, length in enumerate(lengths):
            places = [f"_tp0_bk{index}", *(["_tp0"] if len(lengths) == 1 else [])]
            files = [compile_folder / model / place / "graph.neff" for place in places]
            neff = next((file for file in files if file.exists()), None)
            if neff is not None:
                found[Graph(PHASES[model], int(length))] = neff
    return found


def shot_of(
    graph: Graph, neff: Path, pairing: Pairing | None, tool: Tool, folder: Path, *, workers: int, dge: bool
) -> Shot:
    """The execution of a graph to read: the second one, captured anew when the run recorded only the first.

    Raises `PhaseError` when neither can be had.
    """
    recorded = _recorded(neff, pairing)
    trace = pick(recorded.traces) if recorded else None
    if recorded and trace and trace.execution > 1:
        return Shot(graph, recorded.neff, trace.path)
    named = f"{graph.phase} bucket {graph.bucket}"
    session = folder / f"{graph.phase}_{graph.bucket}.ntff"
    try:
        taken = _captured(tool, neff, session, workers, dge)
    except PhaseError as error:
        if recorded is None or trace is None or trace.layout != "model":
            raise
        said = f"{named}: the first execution is shown, start-up included. {error.message}"
        return Shot(graph, recorded.neff, trace.path, (said,))
    zeros = f"{named}: profiled with zero-filled inputs, second execution."
    return Shot(graph, neff, taken.ntff, (zeros, *taken.warnings))


def read_shot(shot: Shot, tool: Tool, folder: Path, report: Report, read: Read | None = None) -> GraphProfile:
    """Process a shot and read it; its rows stay in the tables until the run is stored."""
    label = f"{shot.graph.phase} {shot.graph.bucket}"
    done = process(
        tool,
        shot.neff,
        shot.ntff,
        folder,
        watch=lambda seen: report("process", f"{label}: {seen.rows} rows in {seen.filled} tables"),
    )
    report("import", label)
    runs = (read or reader())([done.path])
    if not runs:
        raise DeviceError(f"Nothing could be read from the profile of {label}.", f"Its log is {done.log}.")
    run = _by_slot(runs[0], shot.graph.phase)
    artifacts = (artifact(shot.neff, "neff"), artifact(shot.ntff, "ntff"))
    said = (*shot.warnings, *run.warnings, *_without_lines(run, label))
    return GraphProfile(run.launches, run.profiles, artifacts, said, run.sources)


def _without_lines(run: Run, label: str) -> tuple[str, ...]:
    """What to say of a NEFF compiled without debug information, which a cache hands out again unasked."""
    rows = importlib.import_module("collectors.readers.rows")
    named = [rows.names_sources({**each.tables, **each.scans}) for each in run.profiles.values()]
    if False not in named:
        return ()
    return (
        f"{label}: no instruction names its source line, so the NEFF has no debug information; it is likely "
        "from a cache: rm -rf /var/tmp/neuron-compile-cache, and profile again.",
    )


def _by_slot(run: Run, phase: Phase) -> Run:
    """A model's graph by the slots of the model; the profile of a single kernel as it is."""
    if phase == "kernel":
        return run
    readers = importlib.import_module("collectors.readers.attribution")
    return cast(Run, readers.attributed(run, phase, whole=True))


def reader() -> Read:
    """The project's readers of profiler output; imported late, because the child programs never need them."""
    return cast(Read, importlib.import_module("collectors.readers").read)


def artifact(path: Path, kind: str) -> Artifact:
    """A file as a run records it."""
    return Artifact(str(path), sha256(path), path.stat().st_size, kind)


def discard(folder: Path) -> None:
    """Remove a folder of intermediate files, if it is there."""
    if folder.exists():
        shutil.rmtree(folder)


def _captured(tool: Tool, neff: Path, session: Path, workers: int, dge: bool) -> Capture:
    """Capture; when the device's memory does not suffice, again with all tensors in one buffer.

    `--single-io` keeps timings representative and makes outputs wrong, which a profile does not read
    (neuron-profile user guide, "Out of memory when capturing a profile").
    """
    try:
        return capture(tool, neff, session, workers=workers, dge_notifications=dge)
    except PhaseError as error:
        if "ran out of memory" not in error.message:
            raise
    taken = capture(tool, neff, session, workers=workers, dge_notifications=dge, single_io=True)
    said = f"{neff.parent.name}: captured with --single-io, because the device's memory did not suffice."
    return replace(taken, warnings=(*taken.warnings, said))


def _recorded(neff: Path, pairing: Pairing | None) -> Pair | None:
    if pairing is None:
        return None
    return identify(pairing.pairs, {sha256(neff): "graph"}).get("graph")
