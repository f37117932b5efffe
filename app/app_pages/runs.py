"""What have I tried, and what won?"""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from analysis.score import FORMULAS, NO_TTFT, Formula
from app import history, pieces, query, selection, style, words
from app.charts.staircase import Trial, best, staircase
from app.selection import View

OFFICIAL = 1.0  # points of the official baseline's own times with no NKI FLOPs, by either formula


def columns(formula: Formula) -> dict[str, Any]:
    """The table's columns: title with unit, and how each number is computed."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    return {
        "run_id": None,
        "label": text("label ⚑", help="The run's label; ⚑ marks a baseline.", pinned=True),
        "when": st.column_config.DatetimeColumn("when", format="D MMM HH:mm", timezone=st.context.timezone),
        "commit": text("commit", help="Commit of the work tree the run was made from."),
        "target": text("target"),
        "provenance": text("provenance", help="Where the end-to-end time comes from, by share of it."),
        "work": text("prompt"),
        "ms/token": number(
            "ms/token", format="%.3g", help="Decode device time over decode steps (new tokens less one)."
        ),
        "TTFT": number(
            "TTFT, ms", format="%.3g", help="Prefill on the device and one execution of each host row."
        ),
        "tokens/s": number(
            "tokens/s",
            format="%.3g",
            help="Sequence length × batch over end-to-end time, as the challenge counts.",
        ),
        "kernel": number(
            "kernel, µs", format="%.3g", help="Time of one launch, of a run of a single kernel."
        ),
        "accuracy": text(
            "accuracy",
            help="Kernels against their torch references, and the small model against transformers.",
        ),
        "points": number("points", format="%.3g", help=f"{formula} formula: {FORMULAS[formula]}"),
        "difference": number(
            "Δ baseline",
            format="percent",
            help="Difference of ms/token (or kernel time) to A, or to the baseline marked "
            "for the run's own work; negative is less time.",
        ),
        "interval": text(
            "interval of Δ",
            alignment="right",
            help="What the difference lies between; how it was made stands in Compare.",
        ),
        "verdict": text("verdict"),
    }


def answer(view: View, trials: list[Trial], formula: Formula) -> None:
    """The best run so far, its points and what they are a product of."""
    higher = view.run.prompt is not None
    won = best(trials, higher_is_better=higher)
    what = selection.workload(view.run)
    if won is None:
        reason = next((trial.note for trial in trials if trial.note), "no run has been scored")
        pieces.show(
            pieces.soft(f"{what} on {view.run.target}"),
            "<br>",
            pieces.tip("No points yet", reason, "big"),
            "<br>",
            pieces.soft(reason),
        )
        return
    run = next(each for each in view.runs if each.run_id == won.run_id)
    about = pieces.soft(f"best so far · {what} on {run.target}") + " " + pieces.word(run.provenance)
    if not higher:
        how = "time of one launch: " + words.between(won.low, won.high)
        pieces.show(
            about, "<br>", pieces.figure(words.number(won.value), "µs", how), "<br>", pieces.soft(won.label)
        )
        return
    score = history.scored(view, run, formula)
    interval = words.between(won.low, won.high)
    terms = [
        ("accuracy", words.number(score.accuracy), "1 when every check passed, else 0"),
        ("latency ratio", words.number(score.latency_ratio), "official latency over the run's"),
        ("throughput ratio", words.number(score.throughput_ratio), "the run's tokens/s over the official"),
        ("1 + NKI share", f"1 + {words.number(score.nki_flops_share)}", score.basis),
    ]
    product = " × ".join(f"{pieces.tip(value, how)} {pieces.soft(name)}" for name, value, how in terms)
    pieces.show(
        about,
        "<br>",
        pieces.figure(words.number(won.value), "points", score.basis),
        f" {pieces.soft(f'({interval})') if interval else ''}",
        f"<div><b>{pieces.tip(won.label, won.run_id)}</b> {pieces.soft(won.when)}</div>",
        f'<div style="margin-top:.6rem">= {product}</div>',
        f'<div style="margin-top:.6rem">{pieces.soft(f"{formula} formula: {FORMULAS[formula]}")}</div>',
        f"<div>{pieces.soft(NO_TTFT)}</div>" if formula == "first" else "",
    )


def actions(chosen: list[str], view: View) -> None:
    """What can be done with the picked rows."""
    order = {run.run_id: run.created_at for run in view.runs}
    older_first = sorted(chosen, key=lambda run_id: order[run_id])
    if len(older_first) == 2:
        if st.button("Compare the two", icon=":material/compare_arrows:", type="primary"):
            query_params = {"base": older_first[0], "run": older_first[1]}
            st.switch_page("app_pages/compare.py", query_params=query_params)
        st.caption("The older one becomes A.")
        return
    if len(older_first) == 1:
        st.button("Show as B", on_click=selection.choose, kwargs={"run": older_first[0]})
        st.button("Compare with it (A)", on_click=selection.choose, kwargs={"base": older_first[0]})
        return
    st.caption("Tick two runs to compare them." if not older_first else "Tick two runs, not more.")


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
    rows = history.rows(view, runs, formula)
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(columns(formula)))
    dropped = [
        name for name in ("kernel", "ms/token", "TTFT", "tokens/s", "points") if frame[name].isna().all()
    ]
    picked = st.dataframe(
        frame.drop(columns=dropped).style.map(style.verdict_colour, subset=["verdict"]),
        column_config=columns(formula),
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        key="runs_table",
        alt="Runs, newest first",
    )
    with bar:
        actions([runs[at].run_id for at in picked.selection.rows if at < len(runs)], view)


view = selection.pick()
formula: Formula = st.session_state.get("formula") or "final"
trials = history.trials(view, formula)
left, right = st.columns([4, 7], gap="medium")
with left:
    answer(view, trials, formula)
    st.segmented_control(
        "Points by",
        list(FORMULAS),
        default="final",
        required=True,
        key="formula",
        bind="query-params",
        help="; ".join(f"{name}: {said}" for name, said in FORMULAS.items()),
    )
with right:
    is_prompt = view.run.prompt is not None
    shown = [run.run_id for run in (view.run, view.base) if run]
    style.draw(
        staircase(
            trials,
            title="points" if is_prompt else "µs",
            higher_is_better=is_prompt,
            reference=(OFFICIAL, "official baseline, no NKI") if is_prompt else None,
            shown=shown,
        ),
        alt=f"Points of {len(trials)} runs of {selection.workload(view.run)}, and the best so far",
        key="staircase",
    )
table(view, formula)
