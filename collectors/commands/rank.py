"""`collectors rank`: which kernel to rewrite next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from collectors.commands.options import Database, Json, RunName, open_store
from collectors.commands.screen import number, output, percent, print_json, table
from collectors.records import Run
from collectors.store import read
from collectors.store.door import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from analysis.floors import Floor, PhaseFloor
    from analysis.rank import Opportunity, Range

COLUMNS = ("", "phase", "slot", "variant", "total ms", "share %", "gain ms, low–expected–high", "gain points")
FLOOR_COLUMNS = (
    *("phase", "slot", "variant", "us a step or prompt", "low–high", "floor us", "bound", "gap us"),
    *("attained %", "provenance"),
)
TABLES = ("Instruction", "DmaPacketAggregated", "DmaPacket", "Flow")


def rank(
    run: RunName = "latest",
    limit: Annotated[int, typer.Option(min=1, help="At most this many rows.")] = 10,
    floors: Annotated[
        bool, typer.Option("--floors", help="Every slot in order beside its floor, not ranked.")
    ] = False,
    db: Database = None,
    json: Json = False,
) -> None:
    """Rank kernels by what a rewrite could win, with the bound that limits each and the rule that says so.

    With --floors: every slot's time for one step of decode or one prompt, the least it could take (distinct
    bytes over HBM's bandwidth or matmuls over the tensor engines' peak), and what is left between the two.

    Example: collectors rank latest
    """
    from analysis.ideal import told
    from analysis.rank import rank as ranked
    from collectors.commands.machine import facts

    store = open_store(db)
    found = store.load(store.resolve(run))
    if floors:
        _print_floors(found, json)
        return
    others = tuple(other for other in store.runs() if other.target == found.target)
    ranking = ranked(found, machine=facts(found.target), tables=tables(store, found), alternatives=others)
    if json:
        print_json({"run_id": found.run_id, "provenance": found.provenance, "ranking": ranking})
        return
    screen = output()
    shown = ranking.opportunities[:limit]
    screen.print(table(COLUMNS, [_row(at, each) for at, each in enumerate(shown, 1)], left=4))
    if ranking.dropped:
        screen.print(f"{ranking.dropped} rows under half a percent dropped")
    for at, each in enumerate(shown, 1):
        for text in (
            f"{at}. {each.why}",
            f"   {told(each.costs)}",
            f"   bound: {each.bound}" if each.bound else "",
            f"   {each.advice}",
        ):
            if text.strip():
                screen.print(text, soft_wrap=True, markup=False)
    if ranking.reason:
        screen.print(ranking.reason, soft_wrap=True, markup=False)


def _print_floors(run: Run, json: bool) -> None:
    """Every slot's time, floor, bound and gap, each phase's sum, and how each floor was made."""
    from analysis.floors import by_phase, floors
    from collectors.commands.machine import facts

    rows = floors(run, facts(run.target))
    phases = by_phase(run, rows)
    if json:
        print_json({"run_id": run.run_id, "floors": rows, "phases": phases})
        return
    screen = output()
    screen.print(table(FLOOR_COLUMNS, [_floor_row(each) for each in rows], left=3))
    for whole in phases:
        screen.print(_phase_line(whole), soft_wrap=True, markup=False)
    for each in rows:
        if each.floor_ns is not None:
            text = f"{each.phase} {each.slot}, {each.bound}: {each.basis}. {each.held_up}"
            screen.print(text, soft_wrap=True, markup=False)


def _floor_row(each: Floor) -> list[str]:
    attained = None if each.floor_ns is None else each.floor_ns / each.time.value
    return [
        each.phase,
        each.slot,
        each.variant,
        _us(each.time.value),
        f"{_us(each.time.low)}–{_us(each.time.high)}",
        _us(each.floor_ns),
        each.bound or "—",
        _us(each.gap_ns),
        percent(attained),
        each.time.provenance.label,
    ]


EXECUTION = {"decode": "step", "prefill": "prompt", "host": "token"}


def _phase_line(each: PhaseFloor) -> str:
    whole = f"{each.phase}: {_us(each.time.value)} us a {EXECUTION.get(each.phase, 'launch')}"
    if each.floor_ns is None:
        return f"{whole}, {each.time.provenance.label}, of no kernel"
    return (
        f"{whole}; kernels {_us(each.bounded_ns)}, their floors {_us(each.floor_ns)}, "
        f"gap {_us(each.gap_ns)}; the rest is estimated"
    )


def _us(ns: float | None) -> str:
    return number(None if ns is None else ns / 1e3)


def tables(store: Store, run: Run) -> dict[str, dict[str, pa.Table]]:
    """Rows of every profile of a run, as rules read them; through one connection."""
    with store.reading() as opened:
        return {
            profile_id: {name: read.table(opened, profile_id, name) for name in TABLES}
            for profile_id in run.profiles
        }


def _row(place: int, each: Opportunity) -> list[str]:
    return [
        f"{place}.",
        each.phase,
        each.slot,
        each.variant if each.is_kernel else "not a kernel",
        number(each.total_ns / 1e6),
        percent(each.share),
        _range(each.gain_ns, 1e6),
        _range(each.gain_points, 1.0),
    ]


def _range(of: Range | None, unit: float) -> str:
    return "—" if of is None else "–".join(number(value / unit) for value in (of.low, of.expected, of.high))
