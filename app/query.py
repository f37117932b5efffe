"""What the pages ask of the database and of `analysis`, remembered until the database changes.

Every function takes the database's `path`. Runs and profiles never change once written, so what is computed
from them alone is remembered by their ids; what depends on which runs there are takes the `version` too.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from analysis.align import align
from analysis.comparability import shares_simulator, unlikenesses
from analysis.compare import Comparison, compare
from analysis.headlines import Headline, Sides, headlines
from analysis.lines import Lines, lines
from analysis.machine_facts import MachineFacts, machine_facts
from analysis.rank import Ranking, rank
from analysis.score import Formula
from analysis.stages import Stage, stages
from analysis.stalls import EngineTime, stalls
from analysis.totals import Totals, totals
from analysis.tuning import Tuning, explained, profiles_to_explain, tuning
from collectors.errors import CollectorError, UsageError
from collectors.records import Run, Study
from collectors.store.door import Store, default_path
from collectors.store.trials import studies as store_studies
from collectors.store.trials import trial_runs, trials
from simulator.errors import SimulatorError
from simulator.machine.facts import machine

Version = tuple[tuple[int, int], ...]
Span = tuple[float, float]

# Long enough for a collector to write a run, short enough for a person to wait.
PATIENCE_S = 20.0

# What the table of runs compares: the decode time of a prompt's run, the time of a single kernel.
FIRST = ("decode", "kernel")

# The tables of a profile that `analysis` reads.
PROFILE_TABLES = ("Instruction", "DmaPacketAggregated", "DmaPacket", "Flow")

# A large profile has packets by the million, and `analysis` looks at them only where transfers are not known.
ONLY = {"DmaPacket": "AND profile_id NOT IN (SELECT DISTINCT profile_id FROM DmaPacketAggregated)"}


def database(arguments: Sequence[str] | None = None) -> Path:
    """The database named by `--db` after `--`, else by `$NKI_DASHBOARD_DB`, else ./runs.db.

    Raises `UsageError`.
    """
    parser = argparse.ArgumentParser(prog="streamlit run app --", exit_on_error=False, add_help=False)
    parser.add_argument("--db", type=Path, default=None)
    try:
        known, unknown = parser.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    except argparse.ArgumentError as error:
        raise UsageError(f"the app was started wrongly: {error}", "streamlit run app -- --db PATH") from None
    if unknown:
        raise UsageError(f"the app does not know {' '.join(unknown)}", "streamlit run app -- --db PATH")
    return (known.db or default_path()).absolute()


def version(path: Path) -> Version:
    """What changes when a run is written: time and size of the database and of its log."""
    files = (path, path.with_name(path.name + ".wal"))
    found = (each.stat() if each.exists() else None for each in files)
    return tuple((each.st_mtime_ns, each.st_size) if each else (0, 0) for each in found)


@st.cache_resource(max_entries=4, show_spinner=False)
def runs(path: Path, version: Version) -> tuple[Run, ...]:  # noqa: ARG001 (part of the key)
    """Every run, newest first."""
    return _store(path).runs()


@st.cache_resource(max_entries=4, show_spinner=False)
def baselines(path: Path, version: Version) -> frozenset[str]:  # noqa: ARG001
    """Ids of the runs marked as baselines."""
    return _store(path).baselines()


def baseline_of(run: Run, every: Iterable[Run], baselines: Container[str]) -> Run | None:
    """The run marked as the baseline of a run's target and prompt (or kernel); `every` is newest first."""
    return next((each for each in every if each.run_id in baselines and same_work(each, run)), None)


def same_work(a: Run, b: Run) -> bool:
    """Whether two runs share a baseline: one prompt on one target, or the same kernel on it."""
    return _work(a) == _work(b)


def _work(run: Run) -> tuple[object, ...]:
    return run.target, run.prompt, None if run.prompt is not None else tuple(sorted(run.kernels.items()))


def resolve(path: Path, name: str) -> str:
    """The id of the run a person calls `name`. Raises `RunNotFound` or `StoreError`."""
    return _store(path).resolve(name)


@st.cache_resource(max_entries=4, show_spinner=False)
def summed(path: Path, version: Version) -> Mapping[str, Totals]:
    """Totals by run id."""
    return {run.run_id: totals(run) for run in runs(path, version)}


def total_of(path: Path, version: Version, run: Run) -> Totals:
    """Totals of a run, a trial that lists leave out among them."""
    return summed(path, version).get(run.run_id) or totals(run)


def stages_of(path: Path, run: Run) -> tuple[Stage, ...]:
    """End to end of a run as context encoding, decode steps and host."""
    return stages(total_of(path, version(path), run), run.new_tokens)


@st.cache_resource(max_entries=64, show_spinner=False)
def unlisted(path: Path, run_id: str) -> Run:
    """A run that lists leave out: a trial of a search. Raises `RunNotFound`."""
    return _store(path).load(run_id)


@st.cache_resource(max_entries=4, show_spinner=False)
def studies(path: Path, version: Version) -> tuple[Study, ...]:  # noqa: ARG001
    """Every search over a variant's parameters, newest first."""
    return store_studies(_store(path))


@st.cache_resource(max_entries=16, show_spinner=False)
def tuned(path: Path, version: Version, study: Study) -> tuple[Tuning, str]:  # noqa: ARG001
    """A search's trials and proposal, and what moved on the timeline between the defaults and the best."""
    store = _store(path)
    found_runs = trial_runs(store, study.study)
    found = tuning(study, trials(store, study.study), found_runs)
    if found.proposal is None:
        return found, ""
    wanted = profiles_to_explain(found.proposal, found_runs)
    return found, explained(found.proposal, found_runs, profile_tables(path, wanted))


@st.cache_resource(max_entries=512, show_spinner=False)
def compared(path: Path, _base: Run, _candidate: Run, ids: tuple[str, str]) -> Comparison:  # noqa: ARG001
    """Two runs side by side."""
    return compare(_base, _candidate)


@st.cache_resource(max_entries=8, show_spinner=False)
def first_headlines(
    path: Path, version: Version, pairs: tuple[tuple[str, str], ...]
) -> Mapping[tuple[str, str], Headline | None]:
    """The first number of each pair of runs (base, candidate): time per token, or a kernel's time.

    They are those that `compared` gives, without the cost of its rows.
    """
    known, every = summed(path, version), {run.run_id: run for run in runs(path, version)}
    return {(a, b): _first_headline(every[a], every[b], known[a], known[b]) for a, b in pairs}


def _first_headline(base: Run, candidate: Run, before: Totals, after: Totals) -> Headline | None:
    blocked = [each.sentence for each in unlikenesses(base, candidate) if each.severity == "blocks"]
    groups, shared = align(base, candidate), shares_simulator(base, candidate)
    sides = Sides(base, candidate, before, after, groups, shared, "; ".join(blocked))
    return next((each for each in headlines(sides, {}, {}) if each.key in FIRST), None)


@st.cache_resource(max_entries=16, show_spinner=False)
def ranked(path: Path, version: Version, run_id: str, formula: Formula) -> Ranking:
    """What to rewrite next in a run, asking every rule and every other run."""
    every = runs(path, version)
    run = next((each for each in every if each.run_id == run_id), None) or unlisted(path, run_id)
    known = profile_tables(path, tuple(run.profiles))
    others = tuple(other for other in every if other.target == run.target)
    return rank(run, formula, machine=facts(run.target), tables=known, alternatives=others)


@st.cache_resource(max_entries=16, show_spinner=False)
def profile_tables(path: Path, profile_ids: tuple[str, ...]) -> Mapping[str, Mapping[str, pa.Table]]:
    """The tables of several profiles, by profile and name, in one reading."""
    wanted = list(profile_ids)
    with _store(path).reading() as connection:
        whole = {
            name: connection.sql(
                f"SELECT * FROM {name} WHERE profile_id IN (SELECT unnest(?)) {ONLY.get(name, '')} "  # noqa: S608
                "ORDER BY rowid",
                params=[wanted],
            ).to_arrow_table()
            for name in PROFILE_TABLES
        }
    split = {name: _by_profile(rows) for name, rows in whole.items()}
    return {
        profile_id: {name: parts[profile_id] for name, parts in split.items() if profile_id in parts}
        for profile_id in profile_ids
    }


@st.cache_resource(max_entries=64, show_spinner=False)
def engine_times(path: Path, profile_id: str, duration_ns: int) -> tuple[EngineTime, ...]:
    """Where each engine's time goes in one launch."""
    return stalls(duration_ns, profile_tables(path, (profile_id,))[profile_id])


@st.cache_resource(max_entries=64, show_spinner=False)
def source_lines(path: Path, profile_id: str, duration_ns: int) -> Lines | None:
    """Time and bytes by source line of one launch."""
    return lines(duration_ns, profile_tables(path, (profile_id,))[profile_id])


@st.cache_resource(max_entries=256, show_spinner=False)
def lanes(path: Path, profile_id: str, start_ns: float, end_ns: float, pixels: int) -> pa.Table:
    """Engines and queues between two times, aggregated per pixel in SQL."""
    return _store(path).lanes(profile_id, start_ns, end_ns, pixels)


def extent(path: Path, profile_id: str) -> Span | None:
    """First start and last end of a profile's instructions and transfers in ns, None when it has none."""
    known = profile_tables(path, (profile_id,))[profile_id]
    drawn = [known[name] for name in PROFILE_TABLES[:-1] if known.get(name) is not None]
    drawn = [rows for rows in drawn if rows.num_rows]
    starts = [pc.min(rows.column("start_ts")).as_py() for rows in drawn]
    ends = [pc.max(rows.column("end_ts")).as_py() for rows in drawn]
    return (float(min(starts)), float(max(ends))) if drawn else None


@st.cache_resource(max_entries=64, show_spinner=False)
def instructions(path: Path, profile_id: str, start_ns: float, end_ns: float, limit: int) -> pa.Table:
    """Instructions that run between two times, in order of start, at most `limit`."""
    return _store(path).instructions(profile_id, start_ns, end_ns, limit)


@st.cache_resource(max_entries=64, show_spinner=False)
def warnings(path: Path, profile_id: str) -> tuple[str, ...]:
    """What the profiler or the simulator warned of."""
    return tuple(_store(path).table(profile_id, "Warning").column("message").to_pylist())


@st.cache_resource(max_entries=64, show_spinner=False)
def transfer_sizes(path: Path, profile_id: str) -> pa.Table:
    """Transfers, bytes and descriptors by power of two of the descriptor's size."""
    return _store(path).transfer_sizes(profile_id)


@cache
def facts(target: str) -> MachineFacts | None:
    """The machine's constants, None for a target no table describes."""
    try:
        found = machine(target)
    except (SimulatorError, OSError, KeyError):
        return None
    return machine_facts(found.target, found.constants)


def explain(error: CollectorError) -> str:
    """An error and its way out, for the page."""
    return f"{error.message}. {error.hint}" if error.hint else error.message


def _store(path: Path) -> Store:
    return Store(path, patience_s=PATIENCE_S)


def _by_profile(rows: pa.Table) -> dict[str, pa.Table]:
    ids = rows.column("profile_id")
    plain = rows.drop_columns(["profile_id"])
    return {each: plain.filter(pc.equal(ids, each)) for each in pc.unique(ids).to_pylist()}
