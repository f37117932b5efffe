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

    from analysis.rank import Opportunity, Range

COLUMNS = ("", "phase", "slot", "variant", "total ms", "share %", "gain ms, low–expected–high", "gain points")
TABLES = ("Instruction", "DmaPacketAggregated", "DmaPacket", "Flow")


def rank(
    run: RunName = "latest",
    limit: Annotated[int, typer.Option(min=1, help="At most this many rows.")] = 10,
    db: Database = None,
    json: Json = False,
) -> None:
    """Rank kernels by what a rewrite could win, with the bound that limits each and the rule that says so.

    Example: collectors rank latest
    """
    from analysis.ideal import told
    from analysis.rank import rank as ranked
    from collectors.commands.machine import facts

    store = open_store(db)
    found = store.load(store.resolve(run))
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
