"""Did it help, where, and am I sure?"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analysis import source_diff
from analysis.comparability import Severity, Unlikeness
from analysis.compare import Comparison, Row, waterfall
from analysis.padding import padded, padding
from analysis.stages import Stage
from analysis.totals import Totals
from app import moves, pieces, query, selection, style, words
from app.charts.engines import utilization
from app.charts.waterfall import waterfall as drawn_waterfall
from app.selection import View
from collectors.records import Run

PHASES = {"decode": "decode, per token", "prefill": "prefill", "host": "host", "kernel": "kernel"}
PER = {"decode": "per token", "kernel": "per launch"}
GRAVE: dict[Severity, str] = {"blocks": "✕ not comparable", "warns": "! may explain a move"}


def unlike(differences: Sequence[Unlikeness]) -> None:
    """What makes the two runs not alike, gravest first; mere information stands at the foot of the page."""
    grave = [each for each in differences if each.severity in GRAVE]
    if not grave:
        pieces.show(pieces.soft("Same workload, machine and tools: comparable."))
        return
    chips = [f'<span class="chip worse">{GRAVE[each.severity]}</span>' for each in grave]
    pieces.show(
        pieces.notes(
            f"{chip} {pieces.tip(each.sentence, each.name)}" for chip, each in zip(chips, grave, strict=True)
        )
    )


def verdict(comparison: Comparison, base: Run, run: Run) -> None:
    """The answer in a line."""
    judged = comparison.verdict
    said = f"end to end: {judged.reason}. A is the baseline; B − A, so minus is less."
    a, b = (f"<b>{pieces.tip(each.label, each.run_id)}</b>" for each in (base, run))
    chip = pieces.chip(judged.verdict, judged.reason)
    pieces.show(pieces.lead(f"{chip} {b} against {a} {pieces.soft(said)}"))


def end_to_end(view: View, base: Run) -> None:
    """Context encoding + steps × decode + host of both runs, a line each."""
    both = [(name, query.stages_of(view.path, run)) for name, run in (("A", base), ("B", view.run))]
    if all(found for _, found in both):
        pieces.show(pieces.notes(f"<b>{name}</b> {_sum(found)}" for name, found in both))


def batches(view: View, base: Run) -> None:
    """What a batch buys and wastes, where either run has several sequences."""
    both = [
        (name, run, query.total_of(view.path, view.version, run))
        for name, run in (("A", base), ("B", view.run))
    ]
    if any(run.batch > 1 for _, run, _ in both):
        pieces.show(pieces.notes(f"<b>{name}</b> {_batch(run, found)}" for name, run, found in both))


def _batch(run: Run, found: Totals) -> str:
    rate, share = found.decode_per_s, padded(padding(run), "decode")
    told = pieces.tip(words.number(rate.value), rate.basis) if rate else words.MISSING
    wasted = f"padding {words.percent(share)} of what experts multiply"
    return f"batch {run.batch}: {told} tokens/s in decode on the device, {wasted}"


def _sum(found: Sequence[Stage]) -> str:
    terms = [
        f"{each.name} {f'{each.count:,} × ' if each.count > 1 else ''}"
        f"{pieces.tip(words.time(each.each.value), f'{each.share:.0%} of the whole; {each.each.basis}')}"
        for each in found
    ]
    return f"{' + '.join(terms)} = {words.time(sum(each.total_ns for each in found))}"


def moved(comparison: Comparison, view: View, base: Run) -> None:
    """Where the time moved, in one phase: the waterfall, the rows, one row's detail."""
    found = {row.phase for row in comparison.rows}
    phase = st.segmented_control(
        "Where the time moved",
        [name for name in PHASES if name in found],
        default=next(name for name in PHASES if name in found),
        format_func=PHASES.__getitem__,
        required=True,
        key="phase",
        bind="query-params",
        label_visibility="collapsed",
    )
    rows = [row for row in comparison.rows if row.phase == phase]
    changed = [row for row in rows if row.status != "unchanged"]
    steps = waterfall(comparison, phase)
    unit, per = words.time_unit(steps[0].moved_ns), PER.get(phase or "", "per request")
    if changed:
        drawn = drawn_waterfall(steps, unit, (base.label, view.run.label), per)
        style.draw(drawn, alt=f"Time {per} from A to B by kernel, {phase}", key="waterfall")
        details(table(changed, unit, per), view, base)
    else:
        st.caption(f"Nothing moved in {phase}: every launch is the same execution in both runs.")
    unchanged = [row for row in rows if row.status == "unchanged"]
    if unchanged:
        with st.expander(f"{len(unchanged)} unchanged"):
            st.dataframe(
                moves.frame(unchanged, unit),
                column_config=moves.columns(f"{unit} {per}"),
                hide_index=True,
                alt="Unchanged rows",
            )


def table(rows: Sequence[Row], unit: words.TimeUnit, per: str) -> Row:
    """Rows that moved, largest first; returns the one ticked or named in the URL, else the first."""
    picked = st.dataframe(
        moves.frame(rows, unit).style.map(style.verdict_colour, subset=["verdict"]),
        column_config=moves.columns(f"{unit} {per}"),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        placeholder=words.MISSING,
        key="moved",
        alt="Rows that moved, largest first",
    )
    if picked.selection.rows:
        st.query_params["row"] = rows[min(picked.selection.rows[0], len(rows) - 1)].label
    wanted = st.query_params.get("row")
    return next((row for row in rows if row.label == wanted), rows[0])


def details(row: Row, view: View, base: Run) -> None:
    """Engines and bytes of both sides of a row, and what changed in its source."""
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(f"##### Engines of {row.label}, A hatched, B solid")
        a, b = (side.engines if side else None for side in (row.base, row.candidate))
        if any(active is not None for side in (a, b) for active in (side or {}).values()):
            alt = f"Active time of each engine in A and B, {row.label}"
            style.draw(utilization(a, b), alt=alt, key="engines")
        else:
            st.caption("No profile says what the engines did: only the time of the whole is measured.")
        pieces.show(moves.both_sides(row))
        if row.candidate and row.candidate.profile_ids:
            kernel = f"{row.phase}/{row.slots[0]}/{row.candidate.variants[0]}"
            st.page_link(
                "app_pages/kernel.py",
                label=f"Why {row.label} takes its time in B",
                icon=":material/memory:",
                query_params=selection.address(view, kernel=kernel),
            )
    with right:
        st.markdown("##### Source, A to B")
        changed = source_diff.diffs(row, base, view.run)
        for text in changed:
            st.code(text, language="diff", height=400)
        if not changed:
            st.caption(source_diff.no_diff(row, base, view.run))


def other_pair(view: View) -> Run:
    """The baseline to compare with; stops the page with a way out where there is none."""
    if view.base is None:
        st.info("Pick a run as A, or mark one with `collectors baseline RUN`.", icon=":material/flag:")
        st.stop()
    if view.base.run_id == view.run.run_id:
        st.info("A and B are the same run. Pick another one as B.", icon=":material/compare_arrows:")
        st.stop()
    return view.base


view = selection.pick()
base = other_pair(view)
comparison = query.compared(view.path, base, view.run, (base.run_id, view.run.run_id))
first, others = moves.headlines(comparison)
unlike(comparison.differences)
verdict(comparison, base, view.run)
pieces.show(pieces.cards(moves.card(each) for each in first))
end_to_end(view, base)
batches(view, base)
moved(comparison, view, base)
with st.expander("More numbers, and what else differs"):
    pieces.show(pieces.cards(moves.card(each) for each in others))
    information = [each for each in comparison.differences if each.severity not in GRAVE]
    pieces.show(pieces.notes(pieces.tip(each.sentence, each.name) for each in information))
