"""Paths to runs: each recognised, read, normalised and checked before anything is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from collectors.errors import UnreadableInput
from collectors.readers.assemble import run_of
from collectors.readers.attribution import attributed
from collectors.readers.captures import is_capture, read_captures
from collectors.readers.contest import read_accuracy, read_log, read_report, read_scores
from collectors.readers.evaluation import Evaluation
from collectors.readers.events import evaluation_of, read_event_totals
from collectors.readers.files import artifact, digest
from collectors.readers.folders import is_mixed, within
from collectors.readers.full_json import read_full_json
from collectors.readers.model import Asked
from collectors.readers.parquet_folder import parquet_files, read_parquet_folder
from collectors.readers.phases import phase_of
from collectors.readers.reading import Events, Reading, Watch, unwatched
from collectors.readers.recognise import Kind, recognise
from collectors.readers.summary_json import read_summary_json
from collectors.readers.summary_text import read_summary_text
from collectors.readers.together import together
from collectors.records import Artifact, Phase, Run

Readers = Mapping[Kind, Callable[[Path, str], Sequence[Reading | Events]]]

PROFILES: Readers = {
    Kind.summary_json: read_summary_json,
    Kind.parquet_folder: read_parquet_folder,
    Kind.summary_text: read_summary_text,
    Kind.event_totals: read_event_totals,
}

CONTEST: Mapping[Kind, Callable[[Path, Artifact], list[Evaluation]]] = {
    Kind.benchmark_report: read_report,
    Kind.score_csv: read_scores,
    Kind.evaluation_log: read_log,
    Kind.accuracy_status: read_accuracy,
}


def read(paths: Sequence[Path], watch: Watch = unwatched, asked: Asked | None = None) -> list[Run]:
    """Every run the paths hold; the same content twice is one run, and so is what belongs together.

    `watch` is told how far a long file is read; `asked` names the prompt of profiles without an evaluation.
    Raises `UnreadableInput` for the first path that is not what
    it should be, `DeviceError` when a NEFF and its NTFF need a profiler this machine lacks: all of it is
    read, or nothing.
    """
    for path in paths:
        if not path.exists():
            raise UnreadableInput(f"there is no {path}", "check the path")
    folders = [path for path in paths if is_mixed(path)]
    files = [each for path in paths for each in (within(path) if path in folders else [path])]
    captures = [path for path in files if is_capture(path)]
    found = [each for path in files if path not in captures for each in _read_one(path, watch)]
    found += [_part(reading, own) for reading, own in (read_captures(captures) if captures else ())]
    profiles = {each.run_id: each for each in found if isinstance(each, Run)}
    runs = together(tuple(profiles.values()), [each for each in found if isinstance(each, Evaluation)], asked)
    for folder in folders:
        _require_one(folder, runs)
    return runs


def _require_one(folder: Path, runs: Sequence[Run]) -> None:
    own = [run for run in runs if any(folder in Path(file.path).parents for file in run.artifacts)]
    if len(own) != 1:
        names = ", ".join(run.label for run in own[:3]) + (", ..." if own[3:] else "")
        raise UnreadableInput(
            f"{folder} is a folder of {len(own)} runs that do not belong together ({names})",
            "name the files themselves: each is then a run of its own",
        )


def _read_one(path: Path, watch: Watch) -> Sequence[Run | Evaluation]:
    kind = recognise(path)
    files = parquet_files(path) if path.is_dir() else [path]
    artifacts = tuple(artifact(file, kind) for file in files)
    if kind in CONTEST:
        return CONTEST[kind](path, artifacts[0])
    identity = artifacts[0].sha256 if path.is_file() else _of_folder(artifacts)
    readers: Readers = {**PROFILES, Kind.full_json: partial(read_full_json, watch=watch)}
    return [_part(each, artifacts) for each in readers[kind](path, identity)]


def _part(found: Reading | Events, artifacts: tuple[Artifact, ...]) -> Run | Evaluation:
    """A kernel's profile as one launch, a model's graph as one per slot, events as part of an evaluation."""
    if isinstance(found, Events):
        return evaluation_of(found, artifacts)
    return attributed(run_of(found, artifacts), _phase(found, artifacts))


def _phase(reading: Reading, artifacts: Sequence[Artifact]) -> Phase | None:
    """What the profile calls itself, else the file or the two folders it lies in."""
    own = [str(reading.constants.get(name) or "") for name in ("neff_header", "profile_info")]
    names = [reading.name, str(reading.summary.get("neff_name") or ""), *own]
    return phase_of([*names, *("/".join(Path(each.path).parts[-3:]) for each in artifacts[:1])])


def _of_folder(artifacts: Sequence[Artifact]) -> str:
    """Identity of a folder: its files' names and contents, wherever it lies."""
    return digest(*(f"{Path(each.path).name}={each.sha256}" for each in artifacts))
