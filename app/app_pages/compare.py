"""Did it help, where, and am I sure?"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from analysis.comparability import SourceChange, Unlikeness
from analysis.compare import Comparison, Row, waterfall
from analysis.headlines import Headline
from app import pieces, query, selection, style, words
from app.charts.engines import utilization
from app.charts.waterfall import waterfall as draw_waterfall
from app.selection import View
from collectors.records import Run

HEADLINES = ("decode", "ttft", "kernel", "tokens_per_s", "points_final", "points_first", "e2e")
PHASES = {"decode": "decode, per token", "prefill": "prefill", "host": "host", "kernel": "kernel"}
SEVERITY = {
    "blocks": ("worse", "✕ not comparable"),
    "warns": ("worse", "! may explain a move"),
    "info": ("unsure", "i"),
}


def verdict_line(comparison: Comparison, base: Run, run: Run) -> None:
    """The answer in one sentence."""
    judgement = comparison.verdict
    pieces.show(
        f'<div style="font-size:1.15rem">{pieces.chip(judgement.verdict, judgement.reason)} '
        f"<b>{pieces.tip(run.label, run.run_id)}</b> against <b>{pieces.tip(base.label, base.run_id)}</b> "
        f"{pieces.soft('end to end: ' + judgement.reason + '. A is the baseline; B less A, so minus is less.')}</div>"
    )


def unlike(differences: Sequence[Unlikeness]) -> None:
    """What makes the two runs not alike; gravest first, mere information folded away."""
    grave = [each for each in differences if each.severity != "info"]
    if not grave:
        pieces.show(pieces.soft("Alike in workload, machine and tools: the numbers below are comparable."))
    items = "".join(f"<li>{_severity(each)} {pieces.tip(each.sentence, each.name)}</li>" for each in grave)
    pieces.show(f'<ul class="notes">{items}</ul>')


def _severity(each: Unlikeness) -> str:
    tone, said = SEVERITY[each.severity]
    return f'<span class="chip {tone}">{said}</span>'


def headline(each: Headline) -> str:
    """One number A → B with its difference, interval and verdict."""
    unit, change = each.unit.replace("us", "µs"), each.difference
    labels = dict.fromkeys(each.provenance)
    moved = ""
    if change:
        spread = words.between(change.low, change.high, sign=True)
        moved = pieces.tip(
            f"{words.signed(change.value)} ({words.percent(change.relative, sign=True)})", change.basis
        )
        moved += f" {pieces.soft(spread or 'no interval')}"
    return pieces.card(
        pieces.row(
            pieces.soft(each.name), pieces.chip(each.judgement.verdict, each.judgement.reason, each.unit)
        ),
        f"{pieces.tip(words.number(each.base), each.basis, 'unit')} → {pieces.figure(words.number(each.candidate), unit, each.basis)}",
        moved or pieces.soft(each.judgement.reason),
        pieces.word(" → ".join(labels)),
    )


def four(comparison: Comparison) -> list[Headline]:
    """The four numbers that say most of a pair of runs."""
    known = {each.key: each for each in comparison.headlines}
    return [known[key] for key in HEADLINES if key in known and _has_value(known[key])][:4]


def _has_value(each: Headline) -> bool:
    return each.base is not None or each.candidate is not None


def rows_frame(rows: Sequence[Row], unit: words.TimeUnit) -> pd.DataFrame:
    """Rows of one phase, in `unit` per token (decode) or per request."""
    return pd.DataFrame([_row(row, unit) for row in rows])


def _row(row: Row, unit: words.TimeUnit) -> dict[str, Any]:
    change = row.difference
    sides = [side for side in (row.base, row.candidate) if side]
    return {
        "slot": row.label,
        "status": row.status,
        "A variant": " + ".join(row.base.variants) if row.base else words.MISSING,
        "B variant": " + ".join(row.candidate.variants) if row.candidate else words.MISSING,
        "A": words.in_unit(row.base.time_ns, unit) if row.base else None,
        "B": words.in_unit(row.candidate.time_ns, unit) if row.candidate else None,
        "moved": words.in_unit(change.value, unit),
        "interval": words.between(
            words.in_unit(change.low, unit), words.in_unit(change.high, unit), sign=True
        ),
        "relative": change.relative,
        "verdict": words.verdict(row.judgement.verdict),
        "reason": row.judgement.reason,
        "provenance": ", ".join(dict.fromkeys(side.provenance.label for side in sides)),
        "source": ", ".join(change.file for change in row.sources),
    }


def rows_columns(unit: str, per: str) -> dict[str, Any]:
    """Titles with units, and how each number is computed."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    return {
        "slot": text("slot", pinned=True),
        "A": number(
            f"A, {unit} {per}",
            format="%.3g",
            help="Σ count × time of the slot's launches, per token or request.",
        ),
        "B": number(f"B, {unit} {per}", format="%.3g", help="Likewise for the run."),
        "moved": number(f"B − A, {unit}", format="%.3g", help="Negative is less time."),
        "interval": text(
            "interval of B − A",
            alignment="right",
            help="From the launches' own bounds; the simulator's error is common to both sides.",
        ),
        "relative": number("B − A, %", format="percent", help="The difference over A."),
        "reason": text("because"),
        "source": text("changed source"),
    }


def details(row: Row, view: View, base: Run) -> None:
    """Engines and bytes of both sides of a row, and what changed in the source."""
    left, right = st.columns([1, 1], gap="medium")
    with left:
        st.markdown(f"##### Engines of {row.label}")
        a, b = (side.engines if side else None for side in (row.base, row.candidate))
        style.draw(
            utilization(a, b), alt=f"Active time of each engine in A and B, {row.label}", key="engines"
        )
        per = "per token" if row.phase == "decode" else "per request"
        pieces.show(_bytes(row, per))
    with right:
        st.markdown("##### Source, A to B")
        source_diff(row.sources, base, view.run)


def _bytes(row: Row, per: str) -> str:
    head = [
        ("", ""),
        (f"A, {per}", "Σ count × bytes of the profiles"),
        (f"B, {per}", "Σ count × bytes of the profiles"),
    ]
    kinds = (("bytes by DMA", "dma_bytes"), ("HBM bytes", "hbm_bytes"))
    rows = [
        [
            pieces.soft(name),
            *(
                words.size(getattr(side, key)) if side else words.MISSING
                for side in (row.base, row.candidate)
            ),
        ]
        for name, key in kinds
    ]
    counts = [f"{side.executions:,}" if side else words.MISSING for side in (row.base, row.candidate)]
    return pieces.table(head, [*rows, [pieces.soft("launches in the run"), *counts]])


def source_diff(changes: Sequence[SourceChange], base: Run, run: Run) -> None:
    """Unified diffs of the kernel files that changed."""
    if not changes:
        st.caption("The source of these kernels is the same in both runs.")
    for change in changes:
        before, after = (
            texts.get(digest or "", "").splitlines(keepends=True)
            for texts, digest in ((base.sources, change.base), (run.sources, change.candidate))
        )
        text = "".join(difflib.unified_diff(before, after, f"A/{change.file}", f"B/{change.file}"))
        st.code(text or f"{change.file} differs, but its text was not kept", language="diff", height=360)


def phase_section(comparison: Comparison, view: View, base: Run) -> None:
    """Where the time moved, in one phase: the waterfall, the rows, one row's detail."""
    phases = list(dict.fromkeys(row.phase for row in comparison.rows))
    options = [name for name in PHASES if name in phases]
    phase = st.segmented_control(
        "Where the time moved",
        options,
        default=options[0],
        format_func=PHASES.__getitem__,
        required=True,
        key="phase",
        bind="query-params",
    )
    rows = [row for row in comparison.rows if row.phase == phase]
    steps = waterfall(comparison, phase)
    unit = words.time_unit(steps[0].moved_ns)
    per = "per token" if phase == "decode" else "per launch" if phase == "kernel" else "per request"
    moved = [row for row in rows if row.status != "unchanged"]
    if len(steps) > 1:
        style.draw(
            draw_waterfall(steps, unit, (base.label, view.run.label), per),
            alt=f"Time {per} from A to B by kernel, {phase}",
            key="waterfall",
        )
    else:
        st.caption(f"Nothing moved in {phase}: every launch is the same execution in both runs.")
    if moved:
        picked = st.dataframe(
            rows_frame(moved, unit).style.map(style.verdict_colour, subset=["verdict"]),
            column_config=rows_columns(unit, per),
            hide_index=True,
            on_select="rerun",
            selection_mode="single-row",
            key="rows_table",
            alt="Rows that moved, largest first",
        )
        at = next(iter(picked.selection.rows), 0)
        details(moved[min(at, len(moved) - 1)], view, base)
    unchanged = [row for row in rows if row.status == "unchanged"]
    if unchanged:
        with st.expander(f"{len(unchanged)} unchanged"):
            st.dataframe(
                rows_frame(unchanged, unit),
                column_config=rows_columns(unit, per),
                hide_index=True,
                alt="Unchanged rows",
            )


view = selection.pick()
if view.base is None:
    st.info(
        "Pick the run to compare with as A, or mark one: `collectors baseline RUN`.", icon=":material/flag:"
    )
    st.stop()
if view.base.run_id == view.run.run_id:
    st.info("A and B are the same run. Pick another one as B.", icon=":material/compare_arrows:")
    st.stop()
comparison = query.compared(view.path, view.base, view.run, (view.base.run_id, view.run.run_id))
unlike(comparison.differences)
verdict_line(comparison, view.base, view.run)
pieces.show(pieces.cards(headline(each) for each in four(comparison)))
phase_section(comparison, view, view.base)
others = [each for each in comparison.headlines if each not in four(comparison) and _has_value(each)]
information = [each for each in comparison.differences if each.severity == "info"]
with st.expander("More numbers and differences"):
    pieces.show(pieces.cards(headline(each) for each in others))
    items = "".join(f"<li>{pieces.tip(each.sentence, each.name)}</li>" for each in information)
    pieces.show(f'<ul class="notes">{items}</ul>')
