"""`collectors fidelity`: predicted times beside measured ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collectors.commands.options import Database, Json, open_store
from collectors.commands.screen import number, output, percent, print_json, progress, say, table
from collectors.errors import UsageError

if TYPE_CHECKING:
    from analysis.fidelity import Family, Scores
    from analysis.measured import Pair, Row
    from analysis.reach import Reach
    from collectors.simulated.fidelity import Report
    from simulator.fidelity.fit.refit import Derived

CHARTS = (".svg", ".html")
ROWS = (
    "family",
    "kernel",
    "problem",
    "measured by",
    "kind",
    "measured µs",
    "list µs",
    "as written µs",
    "list %",
    "as written %",
    "interval µs",
    "inside",
)
FAMILIES = (
    "family",
    "rows",
    "MAPE %",
    "worst %",
    "as written MAPE %",
    "Kendall",
    "Kendall of variants",
    "scaled MAPE %",
    "left out MAPE %",
    "inside interval %",
    "active, points",
)
REACHES = ("bound", "kernels", "families", "90 % within ±%", "left-out families inside %")
CONSTANTS = (
    "constant",
    "table",
    "derived",
    "unit",
    "statistic",
    "samples",
    "p10–p90",
    "agrees",
    "measured of",
)
DETAILS = ("kernel", "problem", "active %", "HBM bytes", "DMA packets by class")
"""Each figure as predicted/measured."""
GROUPS = {
    "source": "all kernels predicted from source",
    "validation": "of them, no constant was fitted to",
    "fitted": "of them, constants were fitted to",
    "held out": "kernels on which neither constants nor intervals rest",
    "stream": "instruction streams replayed in the compiler's order (fitted)",
}


def fidelity(
    calibration: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Further measured rows: kernel, shapes, dtype, method, latency_us."),
    ] = None,
    kernels_from: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Clones of the repositories those rows name, for their source."),
    ] = None,
    profiles: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="JSON profiles of trn2 whose instruction streams are replayed."),
    ] = None,
    only: Annotated[
        str, typer.Option(metavar="TEXT", help="Only rows whose family, kernel or problem contains TEXT.")
    ] = "",
    chart: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw predicted against measured to FILE.svg or FILE.html."),
    ] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--refit",
            help="Derive the fitted constants again, from --profiles and --calibration, and predict each "
            "family by constants derived without it.",
        ),
    ] = False,
    db: Database = None,
    json: Json = False,
) -> None:
    """Predict kernels with a public measured time, and show the errors; the dashboard keeps the last result.

    Without options: the matmul ladder, whose kernels are part of the project.

    Example: collectors fidelity --calibration measured.csv --kernels-from ../clones
    """
    from analysis.asjson import as_json
    from collectors.simulated.fidelity import collect_fidelity
    from collectors.store.fidelity import save_fidelity

    _check(kernels_from, chart)
    if again and profiles is None:
        raise UsageError("--refit has nothing to derive constants from", "give --profiles FOLDER too")
    with progress("predicting") as shown:
        task = shown.task_ids[0]
        report = collect_fidelity(
            calibration=calibration,
            kernels=kernels_from,
            profiles=profiles,
            only=only,
            again=again,
            progress=lambda at, total, name: shown.update(
                task, completed=at, total=total, description=f"predicting {name}"
            ),
        )
    save_fidelity(open_store(db), report.created_at, as_json(report))
    if chart is not None:
        _draw(report, chart)
    if json:
        print_json(report)
    else:
        show(report)


def _check(kernels_from: Path | None, chart: Path | None) -> None:
    if kernels_from is not None and not kernels_from.is_dir():
        raise UsageError(f"there is no folder {kernels_from}", "give a folder that holds the clones")
    if chart is not None and chart.suffix not in CHARTS:
        raise UsageError(f"{chart} is not a chart this verb draws", "name it FILE.svg or FILE.html")


def _draw(report: Report, path: Path) -> None:
    from collectors.commands.fidelity_chart import html, svg

    drawn = svg(report.result.rows)
    path.write_text(drawn if path.suffix == ".svg" else html(drawn), "utf-8")
    say(f"Drew {path}")


def show(report: Report) -> None:
    """The report as tables, then what it was computed by."""
    screen, result = output(), report.result
    if result.rows:
        screen.print(table(ROWS, [_row(row) for row in result.rows], left=5))
        screen.print()
        screen.print(table(FAMILIES, [_family(each) for each in result.families]))
        screen.print()
    if result.reaches:
        screen.print(table(REACHES, [_reach(each) for each in result.reaches]))
        screen.print()
    if details := [_detail(row) for row in result.rows if row.active or row.hbm_bytes or row.packets]:
        screen.print("Predicted/measured:")
        screen.print(table(DETAILS, details, left=5))
        screen.print()
    for name, text in GROUPS.items():
        if name in result.overall:
            screen.print(_overall(text, result.overall[name]), soft_wrap=True)
    if result.held_out_mape is not None:
        screen.print(
            f"Leave one family out, scaled: MAPE {percent(result.held_out_mape)} % after scaling each family "
            "by what the others missed; the machine's constants are not derived again.",
            soft_wrap=True,
        )
    if result.refitted_mape is not None:
        screen.print(
            f"Leave one family out: MAPE {percent(result.refitted_mape)} %, each family predicted by "
            "constants derived without it.",
            soft_wrap=True,
        )
    if report.refit:
        screen.print()
        screen.print(table(CONSTANTS, [_constant(each) for each in report.refit], left=1))
        screen.print()
    for line in _provenance(report):
        screen.print(line, soft_wrap=True, markup=False)
    for skipped in result.skipped:
        screen.print(
            f"Skipped {skipped.name}, {skipped.problem}: {skipped.reason}", soft_wrap=True, markup=False
        )


def _overall(text: str, of: Scores) -> str:
    return f"MAPE {percent(of.mape)} %, worst {percent(of.worst)} %: {text} ({of.count})"


def _row(row: Row) -> list[str]:
    interval = "—" if row.low_ns is None else f"{_micro(row.low_ns)}–{_micro(row.high_ns)}"
    return [
        row.family,
        row.name,
        row.problem,
        row.method,
        row.role,
        _micro(row.measured_ns),
        _micro(row.list_ns),
        _micro(row.as_written_ns),
        _signed(row.list_error),
        _signed(row.as_written_error),
        interval,
        "—" if row.inside is None else "yes" if row.inside else "no",
    ]


def _family(of: Family) -> list[str]:
    scores = of.scores
    variants = "—" if of.variants_kendall is None else f"{of.variants_kendall:.2f} of {of.variant_pairs}"
    return [
        of.name,
        str(scores.count),
        percent(scores.mape),
        percent(scores.worst),
        percent(scores.as_written_mape),
        "—" if of.kendall is None else f"{of.kendall:.2f}",
        variants,
        percent(of.held_out_mape),
        percent(of.refitted_mape),
        percent(scores.inside),
        number(scores.active_points),
    ]


def _reach(of: Reach) -> list[str]:
    kinds = f"all ({of.count} of the kind)" if of.pooled else str(of.count)
    return [of.bound, kinds, str(of.families), percent(of.share), percent(of.covered)]


def _constant(of: Derived) -> list[str]:
    return [
        of.constant,
        number(of.table, 4),
        number(of.value, 4),
        of.unit,
        of.statistic,
        str(of.count),
        f"{number(of.low, 4)}–{number(of.high, 4)}",
        "yes" if of.agrees else "no",
        of.family,
    ]


def _detail(row: Row) -> list[str]:
    active = _pairs(row.active, lambda value: f"{100 * value:.0f}")
    return [row.name, row.problem, active, *(_pairs(each, _whole) for each in (row.hbm_bytes, row.packets))]


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _pairs(pairs: Mapping[str, Pair], text: Callable[[float], str]) -> str:
    return ", ".join(f"{name} {text(p.predicted)}/{text(p.measured)}" for name, p in pairs.items()) or "—"


def _provenance(report: Report) -> list[str]:
    lines = [
        f"Times measured by {method} contain {number(each['ns'] / 1e3)} µs beside each kernel "
        f"({each['kind']}: {each['source']})"
        for method, each in report.around.items()
    ]
    for target, facts in report.machines.items():
        kinds = ", ".join(f"{len(names)} {kind}" for kind, names in facts["constants"].items())
        lines.append(f"Machine table {target} {facts['sha256'][:12]}: {kinds} constants")
    return [*lines, f"{report.created_at:%Y-%m-%d %H:%M} UTC, simulator {report.simulator[7:19]}"]


def _micro(ns: float | None) -> str:
    return number(None if ns is None else ns / 1e3, 4)


def _signed(error: float | None) -> str:
    return "—" if error is None else f"{100 * error:+.1f}"
