"""`collectors kernel`: why one launch of a run takes its time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collectors.commands import kernel_shown
from collectors.commands.options import Database, Json, open_store
from collectors.commands.screen import number, output, percent, print_json, table
from collectors.errors import CollectorError
from collectors.records import Launch, Profile, Run
from collectors.store import read, timeline

if TYPE_CHECKING:
    from rich.table import Table

    from analysis.ideal import ResourceCost
    from analysis.lines import Line, Lines
    from analysis.roofline import Bounds
    from analysis.stalls import EngineTime

TABLES = ("Instruction", "DmaPacketAggregated", "DmaPacket", "Flow")
LISTED = 12
ENGINE_COLUMNS = ("engine", "core", "working %", "issuing %", "waiting data %", "waiting engine %", "idle %")
LINE_COLUMNS = ("line", "time %", "stall us", "bytes", "instructions")


def kernel(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[PHASE/SLOT]",
            help="Which launch, as decode/experts_decode or with its variant [default: the longest].",
            show_default=False,
        ),
    ] = None,
    run: Annotated[str, typer.Option("--run", help="Its run, as `collectors show` takes it.")] = "latest",
    db: Database = None,
    json: Json = False,
) -> None:
    """Show why one launch takes its time: bounds, engines, what holds it up, lines, transfers, variants.

    Example: collectors kernel decode/experts_decode
    """
    from analysis.ideal import costs
    from analysis.lines import lines
    from analysis.roofline import bounds
    from analysis.stalls import stalls
    from analysis.transfer_sizes import sizes
    from analysis.variants import fastest, variants
    from collectors.commands.machine import facts

    store = open_store(db)
    found = store.load(store.resolve(run))
    launch, profile = _picked(found, name)
    with store.reading() as opened:
        tables = {each: read.table(opened, profile.profile_id, each) for each in TABLES}
        moved = timeline.transfer_sizes(opened, profile.profile_id).to_pylist()
        every = read.runs(opened)
    machine = facts(found.target)
    limits = bounds(profile, machine) if machine else None
    moves = sizes(moved, machine)
    known = {each.run_id: each for each in (found, *every)}
    others, _ = fastest(variants(known.values(), launch, found.target), profile.profile_id)
    times, source = stalls(profile.duration_ns, tables), lines(profile.duration_ns, tables)
    held = costs(profile)
    if json:
        print_json(
            {
                "run_id": found.run_id,
                "launch": launch,
                "profile": _summary(profile),
                "bounds": limits,
                "engine_times": times,
                "costs": held,
                "lines": source,
                "transfer_sizes": moves,
                "variants": [
                    {"runs": each.labels, "launch": each.launch, "profile": _summary(each.profile)}
                    for each in others
                ],
            }
        )
        return
    screen = output()
    for text in _lead(launch, profile, limits):
        screen.print(text, soft_wrap=True, markup=False)
    for part in (
        _engines(times, profile),
        _costs(held),
        _lines(source, found),
        kernel_shown.sizes_table(moves),
        kernel_shown.variants_table(others, profile.profile_id),
    ):
        if part is not None:
            screen.print()
            screen.print(part)


_SAID = tuple(
    name
    for name in Profile.__dataclass_fields__
    if name not in {"raw", "tables", "scans", "as_written_ns", "list_scheduled_ns"}
)


def _summary(profile: Profile) -> dict[str, Any]:
    return {each: getattr(profile, each) for each in _SAID}


def _picked(run: Run, name: str | None) -> tuple[Launch, Profile]:
    from analysis.launches import like, profiled

    named = profiled(run)
    if not named:
        raise CollectorError(
            f"no launch of {run.label} was profiled: its times are estimates",
            "name another run with --run, see `collectors runs`",
        )
    chosen = next(iter(named)) if name is None else like(name, named)
    if chosen is None:
        raise CollectorError(f"{run.label} has no launch {name}", f"it has {', '.join(named)}")
    launch = named[chosen]
    return launch, run.profiles[launch.profile_id or ""]


def _lead(launch: Launch, profile: Profile, limits: Bounds | None) -> Iterable[str]:
    from analysis.spills import spilled

    interval = (
        ""
        if launch.low_ns is None or launch.high_ns is None
        else f" [{_us(launch.low_ns)}–{_us(launch.high_ns)}]"
    )
    yield (
        f"{launch.phase}/{launch.slot}/{launch.variant}  {profile.kernel}  {launch.count:,} times "
        f"{_us(launch.time_ns)}{interval} us  {profile.provenance}"
    )
    if limits and limits.floor_ns is not None:
        attained = f"{percent(limits.attained)} % attained"
        yield f"floor {_us(limits.floor_ns)} us ({attained}), {limits.bound}: {limits.basis}"
    if profile.interval_basis:
        yield f"interval: {profile.interval_basis}"
    if (moved := spilled(profile)) is not None:
        yield f"spilled: {moved[0]:,} bytes saved to HBM, {moved[1]:,} bytes loaded again"


def _engines(times: Sequence[EngineTime], profile: Profile) -> Table | None:
    if not times or not profile.duration_ns:
        return None
    rows = []
    for each in times:
        spent = (
            each.working_ns,
            each.issuing_ns,
            each.waiting_data_ns,
            each.waiting_engine_ns,
            each.idle_ns,
        )
        rows.append([each.engine, str(each.core), *(percent(ns / profile.duration_ns) for ns in spent)])
    return table(ENGINE_COLUMNS, rows, left=2)


def _costs(found: Sequence[ResourceCost]) -> Table | None:
    if not found:
        return None
    rows = [[each.meaning, _us(each.saved_ns), percent(each.share)] for each in found]
    return table(("what holds it up", "saved us, were it to take no time", "%"), rows)


def _lines(source: Lines | None, run: Run) -> Table | None:
    if source is None:
        return None
    return table(LINE_COLUMNS, [_line(each, run) for each in source.lines[:LISTED]])


def _line(each: Line, run: Run) -> list[str]:
    from analysis.source_files import short

    return [
        f"{short(run, each.file)}:{each.line}",
        percent(each.share),
        _us(each.stall_ns),
        f"{each.dma_bytes:,}",
        f"{each.instructions:,}",
    ]


def _us(ns: float) -> str:
    return number(ns / 1e3)
