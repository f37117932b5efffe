"""The trials of a search: what each cost, which is best, whether that can be told, and the frontier."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from analysis.columns import Tables
from analysis.compare import compare
from analysis.estimate import Estimate, part, total
from analysis.headlines import in_unit
from analysis.moved import why
from analysis.statistics import Difference, Judgement
from collectors.records import Launch, Profile, Run, Study, Trial, TrialState
from kernels.parameters import Setting, settings_of, spelled

COST = "mean of one launch over the executions of the prompt"


@dataclass(frozen=True, slots=True)
class Point:
    """One trial. Times are of a mean launch; None where it has no run, or nothing was measured.

    `sbuf_peak_bytes` is the most a core holds; bytes, transfers and descriptors are those of a mean
    launch, over all cores.
    """

    number: int
    name: str
    settings: Mapping[str, Setting]
    is_default: bool
    state: TrialState
    reason: str
    run_id: str | None
    time_ns: Estimate | None
    measured_ns: Estimate | None
    sbuf_peak_bytes: int | None
    hbm_bytes: float | None
    dma_transfers: float | None
    dma_descriptors: float | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """The best trial against the defaults: the difference of a mean launch in ns, the verdict, a sentence.

    `as_good` are the numbers of correct trials that cannot be told from the best.
    """

    best: Point
    default: Point
    difference: Difference | None
    judgement: Judgement
    sentence: str
    as_good: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tuning:
    """A study: every trial in order, and the proposal, None while nothing correct ran."""

    study: Study
    points: tuple[Point, ...]
    proposal: Proposal | None


AXES: Mapping[str, tuple[str, Callable[[Point], float | None]]] = {
    "sbuf": ("SBUF peak, MiB per core", lambda point: _over(point.sbuf_peak_bytes, 2**20)),
    "hbm": ("HBM traffic, MB per launch", lambda point: _over(point.hbm_bytes, 1e6)),
    "transfers": ("DMA transfers per launch", lambda point: point.dma_transfers),
    "descriptors": ("DMA descriptors per launch", lambda point: point.dma_descriptors),
}
"""What a trial's time is traded against: title with unit, and how to read it."""


def tuning(study: Study, trials: Sequence[Trial], runs: Mapping[str, Run]) -> Tuning:
    """A study as a table and a proposal; `runs` are its trials' by id."""
    points = tuple(_point(study, trial, runs) for trial in trials)
    return Tuning(study, points, _proposal(points, runs))


def command(found: Tuning) -> str:
    """What runs the model with the proposal; empty where nothing is proposed."""
    best, study = found.proposal, found.study
    if best is None or best.judgement.verdict != "faster":
        return ""
    choice = f"tuned,{study.slot}={best.best.name}"
    return f"collectors profile --prompt {study.prompt} --target {study.target} --kernels {choice}"


def frontier(points: Sequence[Point], axis: str) -> tuple[int, ...]:
    """Numbers of the correct trials that no other beats in both time and `axis` (Pareto), by the axis."""
    read = AXES[axis][1]
    known = [
        (used, point.time_ns.value, point.number)
        for point in points
        if point.state == "correct" and point.time_ns and (used := read(point)) is not None
    ]
    kept: list[int] = []
    fastest = float("inf")
    for _, time_ns, number in sorted(known):
        if time_ns < fastest:
            kept.append(number)
            fastest = time_ns
    return tuple(kept)


def explained(found: Proposal, runs: Mapping[str, Run], tables: Mapping[str, Tables]) -> str:
    """What moved on the timeline from the defaults to the best, out of tables of `profiles_to_explain`."""
    pair = _dominant(found, runs)
    if pair is None:
        return ""
    before, after = pair
    bucket = f"In bucket {after.bucket}: " if len(runs[found.best.run_id or ""].launches) > 1 else ""
    a, b = (_profile_of(launch, runs) for launch in pair)
    told = why(a, b, (tables[before.profile_id or ""], tables[after.profile_id or ""]))
    return f"{bucket}{told}" if told else ""


def profiles_to_explain(found: Proposal, runs: Mapping[str, Run]) -> tuple[str, ...]:
    """Profiles whose tables `explained` reads; none where the defaults are best."""
    pair = _dominant(found, runs)
    return tuple(launch.profile_id or "" for launch in pair) if pair else ()


def _dominant(found: Proposal, runs: Mapping[str, Run]) -> tuple[Launch, Launch] | None:
    """The launch of the defaults and the best, of one bucket, whose total time differs most."""
    if found.best.number == found.default.number:
        return None
    base, candidate = (runs[point.run_id or ""] for point in (found.default, found.best))
    before = {launch.bucket: launch for launch in base.launches if launch.profile_id}
    both = [
        (before[launch.bucket], launch)
        for launch in candidate.launches
        if launch.profile_id and launch.bucket in before
    ]
    return max(both, key=lambda pair: abs(pair[1].time_ns - pair[0].time_ns) * pair[1].count, default=None)


def _profile_of(launch: Launch, runs: Mapping[str, Run]) -> Profile:
    name = launch.profile_id or ""
    return next(run.profiles[name] for run in runs.values() if name in run.profiles)


def _point(study: Study, trial: Trial, runs: Mapping[str, Run]) -> Point:
    run, measured = (runs.get(key or "") for key in (trial.run_id, trial.measured_run_id))
    settings = settings_of(study.parameters, trial.settings)
    return Point(
        number=trial.number,
        name=spelled(study.variant, settings),
        settings=trial.settings,
        is_default=not settings,
        state=trial.state,
        reason=trial.reason,
        run_id=trial.run_id,
        time_ns=_mean_launch(run),
        measured_ns=_mean_launch(measured),
        sbuf_peak_bytes=_peak(run),
        hbm_bytes=_mean(run, _hbm_bytes),
        dma_transfers=_mean(run, lambda profile: profile.dma_transfers),
        dma_descriptors=_mean(run, lambda profile: profile.dma_descriptors),
    )


def _mean_launch(run: Run | None) -> Estimate | None:
    if run is None or not run.launches:
        return None
    executions = sum(launch.count for launch in run.launches)
    return total(map(part, run.launches)).scaled(1 / executions, COST)


def _hbm_bytes(profile: Profile) -> int | None:
    if profile.hbm_read_bytes is None or profile.hbm_write_bytes is None:
        return None
    return profile.hbm_read_bytes + profile.hbm_write_bytes


def _profiled(run: Run | None) -> list[tuple[Profile, int]]:
    if run is None:
        return []
    found = ((run.profiles.get(each.profile_id or ""), each.count) for each in run.launches)
    return [(profile, count) for profile, count in found if profile is not None]


def _peak(run: Run | None) -> int | None:
    known = [each.sbuf_peak_bytes for each, _ in _profiled(run) if each.sbuf_peak_bytes is not None]
    return max(known, default=None)


def _mean(run: Run | None, read: Callable[[Profile], int | None]) -> float | None:
    known = [(value, count) for each, count in _profiled(run) if (value := read(each)) is not None]
    executions = sum(count for _, count in known)
    return sum(value * count for value, count in known) / executions if executions else None


def _over(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _proposal(points: Sequence[Point], runs: Mapping[str, Run]) -> Proposal | None:
    correct = [point for point in points if point.state == "correct" and point.time_ns]
    default = next((point for point in correct if point.is_default), None)
    if default is None:
        return None
    best = min(correct, key=lambda point: (_time(point), not point.is_default, point.number))
    difference, judgement = _against(default, best, runs)
    others = [point for point in correct if point.number != best.number]
    as_good = tuple(point.number for point in others if _against(best, point, runs)[1].verdict != "slower")
    sentence = _sentence(best, default, difference, judgement)
    return Proposal(best, default, difference, judgement, sentence, as_good)


def _time(point: Point) -> float:
    assert point.time_ns is not None
    return point.time_ns.value


def _against(base: Point, candidate: Point, runs: Mapping[str, Run]) -> tuple[Difference | None, Judgement]:
    """Difference of a mean launch in ns, with the verdict that a comparison of the two runs gives."""
    before, after = runs[base.run_id or ""], runs[candidate.run_id or ""]
    compared = compare(before, after)
    found = next((each for each in compared.headlines if each.key == "kernel"), None)
    executions = sum(launch.count for launch in after.launches)
    difference = in_unit(found.difference, executions / 1e3) if found and found.difference else None
    return difference, compared.verdict


def _sentence(best: Point, default: Point, difference: Difference | None, judgement: Judgement) -> str:
    if best.number == default.number:
        return f"Keep the defaults: nothing tried is faster than their {_us(_time(best))} µs a launch."
    moved = f"{_us(_time(default))} → {_us(_time(best))} µs a launch"
    if judgement.verdict == "faster" and difference is not None:
        bounds = f", {_us(difference.low)} to {_us(difference.high)} µs" if difference.low is not None else ""
        return f"{best.name} is faster than the defaults: {moved} ({_signed(difference)}{bounds})."
    said = "cannot tell" if judgement.verdict == "cannot tell" else f"cannot tell ({judgement.verdict})"
    return f"{said}: {best.name} comes out lowest, {moved}, but {judgement.reason}."


def _signed(difference: Difference) -> str:
    relative = difference.relative
    return "" if relative is None else f"{100 * relative:+.1f} %"


def _us(ns: float | None) -> str:
    return "—" if ns is None else f"{ns / 1e3:.4g}"
