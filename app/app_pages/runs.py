"""What have I tried, and what won?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from analysis.score import FORMULAS, NO_TTFT, Formula, Points
from analysis.whatif import Scenario, prompts_of, scenarios
from app import details, history, pieces, query, selection, style, words
from app.charts.staircase import Trial, best, staircase
from app.measures import POINTS, measure_of
from app.selection import View
from collectors.records import Run


def answer(view: View, trials: Sequence[Trial], formula: Formula) -> None:
    """The best run so far, and what its points are a product of."""
    measure = measure_of(view.run)
    won = best(trials, higher_is_better=measure.higher_is_better)
    if won is None:
        reason = next((trial.note for trial in reversed(trials)), "no run has been scored")
        pieces.show(pieces.soft(_about(view.run)), pieces.block(pieces.tip("No points yet", reason, "big")))
        pieces.show(pieces.soft(reason))
        return
    run = next(each for each in view.runs if each.run_id == won.run_id)
    whole = query.total_of(view.path, view.version, run)
    found = measure.estimate(whole) if measure.estimate else whole.e2e_ns
    how = found.basis if measure.estimate and found else history.scored(view, run, formula).basis
    interval, kind = words.between(won.low, won.high), found.provenance.label if found else run.provenance
    pieces.show(
        f"{pieces.soft(f'Best so far, {_about(run)}')} {pieces.word(kind)}",
        pieces.block(
            pieces.figure(words.number(won.value), measure.unit, how),
            pieces.soft(f"({interval})" if interval else ""),
        ),
        pieces.block(f"<b>{pieces.tip(won.label, won.run_id)}</b>", pieces.soft(won.when)),
        *(_product(view, run, formula) if measure is POINTS else []),
    )


def _about(run: Run) -> str:
    return f"{selection.workload(run)} on {run.target}"


def _product(view: View, run: Run, formula: Formula) -> list[str]:
    score = history.scored(view, run, formula)
    terms = (
        (words.number(score.accuracy), "accuracy", "1 when every check passed, else 0"),
        (words.number(score.latency_ratio), "latency", "official latency over the run's"),
        (words.number(score.throughput_ratio), "throughput", "the run's tokens/s over the official"),
        (f"(1 + {words.number(score.nki_flops_share)})", "NKI share", score.basis),
    )
    product = " × ".join(f"{pieces.tip(value, how)} {pieces.soft(name)}" for value, name, how in terms)
    told = [
        pieces.block(f"= {product}"),
        pieces.block(pieces.soft(f"{formula} formula: {FORMULAS[formula]}")),
    ]
    return [*told, pieces.block(pieces.soft(NO_TTFT))] if formula == "first" else told


def stairs(view: View, trials: Sequence[Trial]) -> None:
    """The best so far over the runs like the one shown."""
    measure = measure_of(view.run)
    drawn = staircase(
        trials,
        title=measure.title,
        higher_is_better=measure.higher_is_better,
        reference=measure.reference,
        shown=[run.run_id for run in (view.run, view.base) if run],
    )
    style.draw(drawn, alt=f"{len(trials)} runs of {_about(view.run)} and the best so far", key="staircase")


def table(view: View, formula: Formula) -> None:
    """Every run, newest first, filtered; two of them can be picked."""
    bar = st.container(horizontal=True, vertical_alignment="center")
    text = bar.text_input(
        "Filter",
        type="search",
        placeholder="Filter by label, commit, target, prompt or SLOT=VARIANT",
        label_visibility="collapsed",
        key="filter",
        bind="query-params",
        width=420,
    )
    runs = [run for run in view.runs if history.matches(run, text or "")]
    if not runs:
        bar.caption("No run matches.")
        return
    frame = pd.DataFrame(history.rows(view, runs, formula))
    empty = [name for name in history.NUMBERS if frame[name].isna().all()]
    if all(run.batch == 1 for run in runs):
        empty += history.OF_BATCHES
    picked = st.dataframe(
        frame.drop(columns=empty).style.map(style.verdict_colour, subset=["verdict"]),
        column_config=columns(formula),
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        placeholder=words.MISSING,
        key="runs_table",
        alt="Runs, newest first",
    )
    with bar:
        actions([runs[at] for at in picked.selection.rows if at < len(runs)])


def actions(chosen: Sequence[Run]) -> None:
    """What can be done with the ticked rows."""
    older_first = sorted(chosen, key=lambda run: run.created_at)
    if len(older_first) == 2:
        a, b = older_first
        if st.button(
            f"Compare {a.label} (A) with {b.label} (B)", icon=":material/compare_arrows:", type="primary"
        ):
            st.switch_page("app_pages/compare.py", query_params={"base": a.run_id, "run": b.run_id})
    elif len(older_first) == 1:
        only = older_first[0].run_id
        st.button("Make it B", on_click=selection.choose, kwargs={"run": only})
        st.button("Make it A", on_click=selection.choose, kwargs={"base": only})
    else:
        st.caption("Tick two runs to compare them.")


def columns(formula: Formula) -> dict[str, Any]:
    """The table's columns: title with unit, and how each number is computed."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn

    def three(title: str, how: str) -> Any:
        return number(title, format="%.3g", help=how)

    return {
        "run_id": None,
        "label": text("label", help="The run's label; ⚑ marks a baseline.", pinned=True),
        "when": st.column_config.DatetimeColumn("when", format="D MMM HH:mm", timezone=st.context.timezone),
        "commit": text("commit", help="Commit of the work tree the run was made from."),
        "provenance": text("provenance", help="Where the end-to-end time comes from, by share of it."),
        "work": text("prompt"),
        "ms/token": three(
            "ms/token", "Decode device time of a step, which gives every sequence of a batch its token."
        ),
        "TTFT": three("TTFT, ms", "Prefill on the device and one execution of each host row."),
        "tokens/s": three(
            "tokens/s", "Sequence length × batch over end-to-end time, as the challenge counts."
        ),
        "decode tokens/s": three("decode tokens/s", "Batch over the device time of a decode step."),
        "padding": three(
            "padding, %",
            "Share of what experts multiply in decode that no token's choice needed; what both cores repeat "
            "counts too.",
        ),
        "kernel": three("kernel, µs", "Time of one launch, of a run of a single kernel."),
        "accuracy": text(
            "accuracy", help="Kernels against their references, and the small model against transformers."
        ),
        "points": three("points", f"{formula} formula: {FORMULAS[formula]}"),
        "difference": number(
            "Δ baseline, %",
            format="%+.3g",
            help="Of ms/token (or kernel time) against A, or against the baseline marked for the run's own "
            "work. Minus is less time.",
        ),
        "interval": text("interval of Δ", alignment="right", help="Compare says how it was made."),
        "verdict": text("verdict"),
    }


def what_if(view: View) -> None:
    """Points of every prompt of the command by both formulas, as run, with the least host, and without it."""
    together = [(run, scenarios(run)) for run in prompts_of(view.runs, view.run)]
    head = [
        ("prompt", "Prompts that one command ran"),
        ("host", "What is taken for the host's part"),
        ("host, %", "The host's share of the end-to-end time"),
        ("end to end, ms", "Prefill, decode steps and host"),
        ("tokens/s", "Sequence length × batch over end-to-end time"),
        *((f"points, {formula}", text) for formula, text in FORMULAS.items()),
    ]
    rows = [_scenario(run, one) for run, made in together for one in made]
    pieces.show(pieces.table(head, rows, left=2))
    st.caption("  \n".join(dict.fromkeys(f"{one.name}: {one.basis}" for _, made in together for one in made)))


def _scenario(run: Run, one: Scenario) -> list[str]:
    host, whole = one.host_ns, one.e2e_ns
    share = host.value / whole.value if host and whole and whole.value else None
    return [
        pieces.plain(run.prompt),
        pieces.tip(one.name, one.basis),
        words.percent(share),
        words.number(words.in_unit(whole.value, "ms") if whole else None),
        words.number(one.tokens_per_s.value if one.tokens_per_s else None),
        *(_points(one.points[formula]) for formula in FORMULAS),
    ]


def _points(found: Points) -> str:
    between = words.between(found.low, found.high)
    spread = f" {pieces.soft(f'({between})')}" if between else ""
    return f"{pieces.tip(words.number(found.value), found.reason or found.basis)}{spread}"


view = selection.pick()
left, right = st.columns([4, 7], gap="medium")
# The choice stands under the answer but is read before it.
first = left.container()
with left:
    formula = selection.formula()
trials = history.trials(view, formula)
with first:
    answer(view, trials, formula)
with right:
    stairs(view, trials)
table(view, formula)
if view.run.prompt is not None:
    with st.expander(f"Points of {view.run.label} (B) on every prompt, and without the host's part"):
        what_if(view)
with st.expander(f"What {view.run.label} (B) was made of"):
    pieces.show(details.shown(view.run))
