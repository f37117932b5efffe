"""`collectors compare`: did it help, where, and is that sure?"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collectors.commands.options import Database, Json, RunName, open_store
from collectors.commands.screen import markdown, number, output, percent, print_json, table
from collectors.records import Run

if TYPE_CHECKING:
    from analysis.compare import Comparison, Row
    from analysis.headlines import Headline
    from analysis.side import Side
    from analysis.statistics import Difference

EXIT_CODES = {"faster": 0, "no change": 0, "slower": 1, "cannot tell": 2}
HEADLINES = ("", "A", "B", "B − A", "interval", "%", "verdict")
ROWS = ("phase", "slot", "A µs", "B µs", "B − A µs", "interval", "%", "moved ms", "verdict")
SIGN = (
    "A is the baseline; negative is faster for times. "
    "Rows are µs per token in decode, per request elsewhere; moved is over the run."
)


class Layout(StrEnum):
    """How the comparison is printed."""

    table = "table"
    json = "json"
    markdown = "markdown"


class Failing(StrEnum):
    """What makes the exit code nonzero."""

    slower = "slower"


def compare(
    base: RunName,
    candidate: RunName,
    format: Annotated[Layout, typer.Option(help="table, json or markdown.")] = Layout.table,
    fail_on: Annotated[
        Failing | None,
        typer.Option(
            "--fail-on",
            help="Exit 0 when no slower, 1 when slower, 2 when nobody can tell.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        bool, typer.Option("--source", help="Also print what changed in the source of each row that moved.")
    ] = False,
    db: Database = None,
    json: Json = False,
) -> None:
    """Compare a run with its baseline: what makes them unlike, headline numbers, every slot by time moved.

    Example: collectors compare baseline latest --fail-on slower
    """
    from analysis.compare import compare as compared

    store = open_store(db)
    candidate_id = store.resolve(candidate)
    base_run = store.load(store.resolve(base, like=candidate_id))
    candidate_run = store.load(candidate_id)
    found = compared(base_run, candidate_run)
    if json or format is Layout.json:
        print_json(as_object(found, base_run, candidate_run, source=source))
    elif format is Layout.markdown:
        sys.stdout.write(as_markdown(found, base_run, candidate_run))
    else:
        _print(found, base_run, candidate_run)
        if source:
            _print_source(found, base_run, candidate_run)
    if fail_on:
        raise typer.Exit(EXIT_CODES[found.verdict.verdict])


def as_object(found: Comparison, base: Run, candidate: Run, *, source: bool = False) -> dict[str, Any]:
    """The comparison as plain values; times in ns per token (decode) or request, shares 0 to 1.

    With `source` each row has its `source_diff`, unified diffs from A to B.
    """
    from analysis.source_diff import diffs
    from analysis.stages import stages
    from analysis.totals import totals

    return {
        "base": _run(base),
        "candidate": _run(candidate),
        "comparability": list(found.differences),
        "headlines": list(found.headlines),
        "stages": {
            name: stages(totals(run), run.new_tokens)
            for name, run in (("base", base), ("candidate", candidate))
        },
        "rows": [
            {**_row_object(row), **({"source_diff": diffs(row, base, candidate)} if source else {})}
            for row in found.rows
        ],
        "sources": list(found.sources),
        "verdict": found.verdict.verdict,
        "reason": found.verdict.reason,
    }


def as_markdown(found: Comparison, base: Run, candidate: Run) -> str:
    """The comparison for a pull request."""
    parts = [
        f"### {candidate.label} against {base.label}: {found.verdict.verdict}",
        *(f"- {line}" for line in _about(found, base, candidate)),
        markdown(HEADLINES, [_headline(each) for each in found.headlines]),
        markdown(ROWS, [_row(row) for row in _moved(found)], left=2),
        _folded(found),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _print(found: Comparison, base: Run, candidate: Run) -> None:
    screen = output()
    for line in _about(found, base, candidate):
        screen.print(line, soft_wrap=True, markup=False)
    screen.print(table(HEADLINES, [_headline(each) for each in found.headlines]))
    screen.print()
    screen.print(table(ROWS, [_row(row) for row in _moved(found)], left=2))
    if folded := _folded(found):
        screen.print(folded, markup=False)
    screen.print(
        f"{found.verdict.verdict}: {found.verdict.reason}", style="bold", soft_wrap=True, markup=False
    )


def _print_source(found: Comparison, base: Run, candidate: Run) -> None:
    from rich.syntax import Syntax

    from analysis.source_diff import diffs, no_diff

    screen = output()
    for row in _moved(found):
        screen.print(f"\n{row.phase}  {row.label}", style="bold", soft_wrap=True, markup=False)
        for text in diffs(row, base, candidate) or (no_diff(row, base, candidate),):
            shown = Syntax(text, "diff", background_color="default") if screen.is_terminal else text
            screen.print(shown, soft_wrap=True, markup=False)


def _about(found: Comparison, base: Run, candidate: Run) -> list[str]:
    from collectors.commands.summary import throughput

    unlike = [f"{each.severity}: {each.sentence}" for each in found.differences]
    named = [
        "; ".join(filter(None, (_named(name, run), throughput(run))))
        for name, run in (("A", base), ("B", candidate))
    ]
    return [*unlike, *named, SIGN]


def _named(name: str, run: Run) -> str:
    return f"{name}: {run.label} ({run.run_id}), {run.provenance} on {run.target}"


def _run(run: Run) -> dict[str, Any]:
    from analysis.padding import padding
    from analysis.totals import totals

    rate = totals(run).decode_per_s
    return {
        "run_id": run.run_id,
        "label": run.label,
        "created_at": run.created_at.isoformat(),
        "provenance": run.provenance,
        "target": run.target,
        "prompt": run.prompt,
        "batch": run.batch,
        "decode_tokens_per_s": rate.value if rate else None,
        "padding": {each.phase: each.share for each in padding(run)},
        "accuracy": run.accuracy,
    }


def _row_object(row: Row) -> dict[str, Any]:
    return {
        "phase": row.phase,
        "slot": row.label,
        "slots": list(row.slots),
        "status": row.status,
        "base_ns": row.base.time_ns if row.base else None,
        "candidate_ns": row.candidate.time_ns if row.candidate else None,
        "base": row.base,
        "candidate": row.candidate,
        "difference": row.difference,
        "moved_ns": row.moved_ns,
        "verdict": row.judgement.verdict,
        "reason": row.judgement.reason,
    }


def _moved(found: Comparison) -> list[Row]:
    return [row for row in found.rows if row.status != "unchanged"]


def _folded(found: Comparison) -> str:
    same = [row.label for row in found.rows if row.status == "unchanged"]
    return f"{len(same)} rows unchanged: {', '.join(dict.fromkeys(same))}" if same else ""


def _headline(each: Headline) -> list[str]:
    found = each.difference
    return [
        f"{each.name}, {each.unit}",
        number(each.base),
        number(each.candidate),
        number(found.value) if found else "—",
        _interval(found, 1.0),
        _relative(found),
        each.judgement.verdict,
    ]


def _row(row: Row) -> list[str]:
    return [
        row.phase,
        row.label,
        _side(row.base),
        _side(row.candidate),
        number(row.difference.value / 1e3),
        _interval(row.difference, 1e3),
        _relative(row.difference),
        number(row.moved_ns / 1e6),
        row.judgement.verdict if row.status == "changed" else row.status,
    ]


def _side(of: Side | None) -> str:
    if of is None:
        return "—"
    return f"{number(of.time_ns / 1e3)}{_range(of.low_ns, of.high_ns, 1e3)}"


def _range(low: float | None, high: float | None, unit: float) -> str:
    return "" if low is None or high is None else f" [{number(low / unit)}–{number(high / unit)}]"


def _interval(found: Difference | None, unit: float) -> str:
    if found is None or found.low is None or found.high is None:
        return "—"
    return f"{number(found.low / unit)} to {number(found.high / unit)}"


def _relative(found: Difference | None) -> str:
    return percent(found.relative) if found else "—"
