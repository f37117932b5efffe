"""Predictions beside measured times: calibration kernels simulated, real instruction streams replayed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.fidelity import Fidelity, fidelity
from analysis.measured import HELD_OUT, Pair, Row, Skipped
from collectors.errors import UnreadableInput
from collectors.records import Profile
from collectors.simulated import cache, identity
from collectors.simulated.cache import Entry
from collectors.simulated.calibration import Case, Launch, ladder, read_calibration
from collectors.simulated.pool import COMPILING
from collectors.simulated.published import published
from collectors.simulated.refit import evidence, intervals
from collectors.simulated.tables import profile_of
from collectors.simulated.traffic import packet_counts
from simulator.api import simulate
from simulator.errors import SimulatorError
from simulator.fidelity.fit.constants import DERIVATIONS
from simulator.fidelity.fit.evidence import Evidence
from simulator.fidelity.fit.refit import Derived, refit, without
from simulator.fidelity.replay import Replay, replay
from simulator.fidelity.residuals import Total, as_profiled, total
from simulator.machine.facts import Machine, instead, machine
from simulator.timeline.compiled import is_compiled
from simulator.trace import Trace

Progress = Callable[[int, int, str], None]
REPLAYED_QUEUES = frozenset({"0", "1", "2"})
"""Queues of a profile that carry the kernel's own data; the others fetch instructions."""


@dataclass(frozen=True, slots=True)
class Report:
    """A fidelity result with what it was computed by: `machines` maps a target to its table.

    `refit` are the fitted constants derived again, where that was asked for.
    """

    created_at: datetime
    simulator: str
    machines: Mapping[str, Mapping[str, Any]]
    around: Mapping[str, Mapping[str, Any]]
    result: Fidelity
    refit: tuple[Derived, ...] = ()


def collect_fidelity(
    *,
    calibration: Path | None = None,
    kernels: Path | None = None,
    profiles: Path | None = None,
    only: str = "",
    again: bool = False,
    progress: Progress = lambda *_: None,
) -> Report:
    """Predict every measured row there is source for whose text contains `only`. Raises `UnreadableInput`.

    With `again`, which needs `profiles`, the fitted constants are derived again from them and from the
    measured rows, and every family is also predicted by constants derived without it.
    """
    cases, skipped = ladder(), list[Skipped]()
    if calibration is not None:
        further, without = read_calibration(calibration, kernels)
        cases, skipped = cases + further, skipped + without
    if kernels is not None:
        further, without = published(kernels)
        cases, skipped = cases + further, skipped + without
    cases = [case for case in cases if _matches(case, only)]
    if cases and not is_compiled():
        progress(0, len(cases), COMPILING)
    skipped = [each for each in skipped if _matches(each, only)]
    measured = evidence(profiles, cases) if again and profiles is not None else None
    others = {} if measured is None else _machines_without({case.family for case in cases}, measured)
    rows: list[Row] = []
    for at, case in enumerate(cases):
        progress(at, len(cases), f"{case.name} {case.problem}")
        try:
            rows.append(_with_left_out(case, others))
        except SimulatorError as error:
            skipped.append(case.skipped(str(error)))
    rows += [row for row in streams(profiles) if _matches(row, only)] if profiles is not None else []
    result = fidelity(rows, skipped)
    return Report(
        created_at=datetime.now(UTC),
        simulator=identity.simulator(),
        machines={target: _table(machine(target)) for target in sorted({case.target for case in cases})},
        around=_around(cases),
        result=result,
        refit=() if measured is None else (*refit(measured), *intervals(result.reaches)),
    )


def _matches(of: Case | Skipped | Row, only: str) -> bool:
    return only.lower() in f"{of.id} {of.family} {of.name} {of.problem}".lower()


def _table(facts: Machine) -> dict[str, Any]:
    """A machine table's hash, and the names of its constants by kind."""
    kinds: dict[str, list[str]] = {}
    for name, constant in facts.constants.items():
        kinds.setdefault(constant.kind, []).append(name)
    return {"sha256": facts.digest, "constants": kinds}


def _around(cases: Iterable[Case]) -> dict[str, dict[str, Any]]:
    """What each method's times contain beside the kernel."""
    found: dict[str, dict[str, Any]] = {}
    for case in cases:
        constant = machine(case.target).constants[case.around()]
        found[case.method] = {"ns": constant.value, "kind": constant.kind, "source": constant.source}
    return found


def _machines_without(families: Iterable[str], measured: Evidence) -> dict[str, Machine]:
    """By family, the machine derived from what the other families show; one for all that nothing rests on."""
    on_which_some_rest = {derivation.family for derivation in DERIVATIONS}
    whole = without(measured, "")
    return {
        family: without(measured, family) if family in on_which_some_rest else whole for family in families
    }


def _with_left_out(case: Case, machines: Mapping[str, Machine]) -> Row:
    """The row, with what constants derived without its family would have predicted."""
    row = predict(case)
    if case.role == HELD_OUT or case.family not in machines:
        return row
    with instead(machines[case.family]):
        return replace(row, left_out_ns=predict(case).predicted_ns)


def predict(case: Case) -> Row:
    """Simulate a case's launches. Raises `SimulatorError`."""
    profiles = [_profile(launch, case) for launch in case.launches]
    around = case.around_ns()

    def summed(name: str) -> float:
        return around + float(sum(getattr(profile, name) for profile in profiles))

    moved = {
        "read": sum(profile.hbm_read_bytes or 0 for profile in profiles),
        "write": sum(profile.hbm_write_bytes or 0 for profile in profiles),
    }
    return Row(
        id=case.id,
        family=case.family,
        name=case.name,
        problem=case.problem,
        method=case.method,
        origin="source",
        role=case.role,
        measured_ns=case.measured_ns,
        as_written_ns=summed("as_written_ns"),
        list_ns=summed("list_scheduled_ns"),
        low_ns=summed("low_ns"),
        high_ns=summed("high_ns"),
        active=_active(case, profiles),
        hbm_bytes={name: Pair(moved[name], found) for name, found in case.hbm_bytes.items()},
        packets=_packets(case, profiles),
        source=case.source,
        bound=max(profiles, key=lambda profile: profile.duration_ns).bound or "",
    )


def _active(case: Case, profiles: list[Profile]) -> dict[str, Pair]:
    """Fractions of a case of one launch, as its profile would show them."""
    if len(profiles) != 1 or not case.active:
        return {}
    [profile] = profiles
    duration = float(profile.duration_ns)
    times = {name: (share or 0.0) * duration for name, share in profile.engines.items()}
    shares = as_profiled(machine(case.target), duration, times)
    return {name: Pair(shares[name], found) for name, found in case.active.items()}


def _packets(case: Case, profiles: list[Profile]) -> dict[str, Pair]:
    """DMA packets by class beside the counts a profile printed."""
    keys = {name: f"{name}_dynamic_dma_packet_count" for name in case.packets}
    counted = {name: sum(profile.raw[key] for profile in profiles) for name, key in keys.items()}
    return {name: Pair(counted[name], found) for name, found in case.packets.items()}


def _profile(launch: Launch, case: Case) -> Profile:
    """One launch's figures, from the cache when this source was timed by this simulator before."""
    key = _key(launch, case)
    known = cache.read(key)
    if known is not None and known.profile is not None:
        return known.profile
    result = simulate(launch.kernel, launch.arguments(), target=case.target, lnc=case.lnc, values=False)
    profile = replace(profile_of(result, key), tables={})
    cache.write(key, Entry(profile))
    return profile


def _key(launch: Launch, case: Case) -> str:
    kernel = launch.kernel
    file = Path(kernel.file) if kernel.file else identity.module_file(str(kernel.module))
    shapes = sorted(
        (name, shape, launch.dtypes.get(name, launch.dtype)) for name, shape in launch.shapes.items()
    ) + sorted((name, one.shape, str(one.below)) for name, one in launch.steering.items())
    machine_of = (case.target, case.lnc, machine(case.target).digest, identity.simulator())
    read_off = identity.of_modules("collectors.simulated.tables")
    return identity.digest(
        "timing", read_off, kernel.function, identity.source_hash(file), shapes, *machine_of
    )


def streams(folder: Path) -> list[Row]:
    """Every JSON profile of a folder, its stream replayed. Raises `UnreadableInput`."""
    files = sorted(folder.glob("*.json"))
    if not files:
        raise UnreadableInput(
            f"{folder} has no JSON profiles", "give a folder of `neuron-profile view --output-format json`"
        )
    return [_stream(path) for path in files]


def _stream(path: Path, target: str = "trn2") -> Row:
    try:
        content = json.loads(path.read_text("utf-8"))
        replayed = replay(content, target=target)
        ends = [r["timestamp"] + r["duration"] for r in content["dma"] if r["dma_queue"] in REPLAYED_QUEUES]
        whole, summary = total(replayed, max(ends)), content["summary"][0]
        return _replayed(path, replayed, whole, summary, machine(target))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableInput(
            f"{path} is not a whole JSON profile: {type(error).__name__}: {error}",
            "give a folder of `neuron-profile view --output-format json` (2.27, 2.28)",
        ) from None


def _replayed(path: Path, replayed: Replay, whole: Total, summary: Mapping[str, Any], facts: Machine) -> Row:
    shares = as_profiled(facts, whole.predicted_ns, whole.active_ns)
    names = {
        name: "dma_active_time_percent" if name == "dma" else f"{name}_engine_active_time_percent"
        for name in shares
    }
    moved = _hbm(replayed.trace)
    measured_bytes = {"read": summary.get("hbm_read_bytes"), "write": summary.get("hbm_write_bytes")}
    return Row(
        id=path.stem,
        family="replayed streams",
        name=path.stem,
        problem=path.stem.rpartition("-")[2],
        method="device profile without its envelope",
        origin="stream",
        role="fitted",
        measured_ns=whole.measured_ns,
        as_written_ns=whole.predicted_ns,
        active={n: Pair(shares[n], summary[key]) for n, key in names.items() if key in summary},
        hbm_bytes={n: Pair(moved[n], found) for n, found in measured_bytes.items() if found},
        packets=_packets_of(replayed.trace, summary, facts),
        source=path.name,
    )


def _packets_of(trace: Trace, summary: Mapping[str, Any], facts: Machine) -> dict[str, Pair]:
    counted = packet_counts(trace, facts)
    keys = {name: f"{name}_dynamic_dma_packet_count" for name in ("software", "hardware")}
    return {n: Pair(counted[key], summary[key]) for n, key in keys.items() if key in summary}


def _hbm(trace: Trace) -> dict[str, int]:
    moves = [i.transfer for core in trace.cores for i in core if i.transfer is not None]
    return {
        "read": sum(t.bytes for t in moves if t.source_memory == "hbm"),
        "write": sum(t.bytes for t in moves if t.target_memory == "hbm"),
    }
