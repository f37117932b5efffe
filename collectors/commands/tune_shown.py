"""What `collectors tune` prints of a study, and of all there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collectors.commands.rank import TABLES
from collectors.commands.screen import number, output, print_json, say, table
from collectors.store import read
from collectors.store.trials import studies, trial_runs, trials

if TYPE_CHECKING:
    from analysis.estimate import Estimate
    from analysis.tuning import Point, Tuning
    from collectors.records import Run, Study
    from collectors.store.door import Store

COLUMNS = (
    "",
    "variant",
    "state",
    "run",
    "µs a launch",
    "low–high",
    "measured µs",
    "SBUF MiB",
    "HBM MB",
    "transfers",
    "descriptors",
)


def study(store: Store, shown: Study, *, json: bool) -> None:
    """A study's proposal with its reason, and every trial, fastest first."""
    from analysis.tuning import AXES, frontier, tuning

    runs = trial_runs(store, shown.study)
    found = tuning(shown, trials(store, shown.study), runs)
    reason = _reason(store, found, runs)
    if json:
        frontiers = {axis: frontier(found.points, axis) for axis in AXES}
        print_json({"tuning": found, "why": reason, "frontier": frontiers, "provenance": "simulated"})
        return
    screen = output()
    screen.print(f"{shown.study}  {shown.phase} of prompt {shown.prompt}, {shown.target} LNC{shown.lnc}")
    screen.print(table(COLUMNS, [_row(point) for point in _fastest_first(found)], left=4))
    for text in _told(found, reason):
        screen.print(text, soft_wrap=True, markup=False)


def overview(store: Store, *, json: bool) -> None:
    """What can be varied, and the studies so far."""
    from kernels.registry import VARIANTS

    tunable = [one for one in VARIANTS if one.parameters]
    known = studies(store)
    if json:
        print_json({"tunable": [_tunable(one) for one in tunable], "studies": known})
        return
    screen = output()
    rows = [
        [
            one.slot,
            one.name,
            ", ".join(one.phases),
            "; ".join(f"{each.name} {'|'.join(map(str, each.choices))}" for each in one.parameters),
        ]
        for one in tunable
    ]
    screen.print(table(("slot", "variant", "phases", "parameters"), rows, left=4))
    if not known:
        say(f"No studies in {store.path}. Make one with `collectors tune {tunable[0].slot}`.")
        return
    listed = [[each.study, f"{each.created_at.astimezone():%Y-%m-%d %H:%M}"] for each in known]
    screen.print(table(("study", "begun"), listed, left=2))


def _tunable(one: Any) -> dict[str, Any]:
    return {
        "slot": one.slot,
        "variant": one.name,
        "phases": one.phases,
        "covers": one.covers,
        "parameters": one.parameters,
    }


def _reason(store: Store, found: Tuning, runs: dict[str, Run]) -> str:
    from analysis.tuning import explained, profiles_to_explain

    if found.proposal is None:
        return ""
    wanted = profiles_to_explain(found.proposal, runs)
    with store.reading() as opened:
        tables = {each: {name: read.table(opened, each, name) for name in TABLES} for each in wanted}
    return explained(found.proposal, runs, tables)


def _told(found: Tuning, reason: str) -> list[str]:
    """The proposal, why, what is as good, and how to run the model with it."""
    from analysis.tuning import command

    shown, best = found.study, found.proposal
    if not found.points:
        return [f"No trials yet: collectors tune {shown.slot} --variant {shown.variant}"]
    if best is None:
        return ["Nothing to propose: the defaults did not run correctly."]
    lines = [best.sentence, reason]
    if best.as_good:
        lines.append(f"Cannot be told from it: {', '.join(f'trial {each}' for each in best.as_good)}.")
    if text := command(found):
        lines.append(f"Run the model with it: {text}")
    return [line for line in lines if line]


def _fastest_first(found: Tuning) -> list[Point]:
    def place(point: Point) -> tuple[bool, float, int]:
        known = point.time_ns is not None and point.state == "correct"
        return not known, point.time_ns.value if point.time_ns else 0.0, point.number

    return sorted(found.points, key=place)


def _row(point: Point) -> list[str]:
    time, measured = point.time_ns, point.measured_ns
    sbuf, hbm = point.sbuf_peak_bytes, point.hbm_bytes
    return [
        str(point.number),
        f"{point.name}{' (defaults)' if point.is_default else ''}",
        point.state if not point.reason else f"{point.state} ({point.reason.partition(':')[0]})",
        point.run_id or "",
        number(time.value / 1e3 if time else None),
        _between(time),
        number(measured.value / 1e3 if measured else None),
        number(sbuf / 2**20 if sbuf is not None else None),
        number(hbm / 1e6 if hbm is not None else None),
        number(point.dma_transfers),
        number(point.dma_descriptors),
    ]


def _between(time: Estimate | None) -> str:
    if time is None or time.low is None or time.high is None:
        return "—"
    return f"{number(time.low / 1e3)}–{number(time.high / 1e3)}"
