"""Which settings make this kernel fastest?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import streamlit as st

from analysis.estimate import Estimate
from analysis.tuning import AXES, Point, Proposal, Tuning, command
from app import pieces, query, selection, style, words
from app.charts.frontier import trials
from collectors.errors import CollectorError
from collectors.records import Study

STUDY, AXIS = "study", "axis"
COMMAND = "collectors tune lm_head --budget 20"
NUMBERS = {
    "µs a launch": "Mean of one launch over the executions of the prompt, simulated.",
    "low, µs": "The simulator's interval of that time.",
    "high, µs": "The simulator's interval of that time.",
    "measured, µs": "On a device, by `--confirm`: the launch the prompt runs most.",
    "SBUF, MiB": "The most a core holds at once.",
    "HBM, MB": "Bytes read from and written to HBM by a mean launch.",
    "transfers": "DMA transfers of a mean launch.",
    "descriptors": "Descriptors of those transfers.",
}


def every_study(path: Path, version: query.Version) -> tuple[Study, ...]:
    """The studies; stops the page with a way out where there are none."""
    try:
        found = query.studies(path, version)
    except CollectorError as error:
        st.error(query.explain(error), icon=":material/database_off:")
        st.stop()
    if not found:
        st.markdown(
            "#### No search yet\nA search tries a variant's settings on the simulator and keeps every trial:"
        )
        st.code(f"{COMMAND}\ncollectors tune  # what can be varied", language="bash")
        st.stop()
    return found


def picked(every: tuple[Study, ...]) -> Study:
    """The study the URL names, or the start of whose name it names, else the newest."""
    named = {study.study: study for study in every}
    asked = selection.asked(STUDY) or ""
    chosen = next((name for name in named if name == asked), None) or next(
        (name for name in named if asked and name.startswith(asked)), every[0].study
    )
    labels = {name: label(study) for name, study in named.items()}
    selection.choice(STUDY, "Study", labels, chosen)
    selection.remember(**{STUDY: chosen})
    return named[chosen]


def label(study: Study) -> str:
    """A study in the picker."""
    where = f"{study.target} LNC{study.lnc}"
    when = f"{study.created_at:%d %b %H:%M}"
    return f"{study.slot}={study.variant} · {study.phase} of prompt {study.prompt} · {where} · {when}"


def answer(found: Tuning, reason: str) -> None:
    """The proposal with its verdict and reason; why there is none otherwise."""
    best = found.proposal
    if best is None:
        pieces.show(pieces.lead("Nothing to propose: the defaults did not run correctly, or not yet."))
        return
    verdict = best.judgement
    unchanged = best.best.number == best.default.number
    chip = "" if unchanged else pieces.chip(verdict.verdict, verdict.reason)
    said = best.sentence.removeprefix(f"{verdict.verdict}: ")
    pieces.show(pieces.lead(f"{chip} {pieces.plain(said)}"))
    pieces.show(pieces.cards(cards(best, reason)))
    if text := command(found):
        st.code(text, language="bash")


def cards(best: Proposal, reason: str) -> list[str]:
    """The lowest, the defaults, and why they differ."""
    made = [card("lowest", best.best), card("defaults", best.default)]
    if reason:
        made.append(pieces.card("<b>What moved</b>", pieces.soft(reason)))
    if best.as_good:
        told = ", ".join(map(str, best.as_good))
        how = "The interval of the difference includes zero, or is within what two equal runs differ by."
        made.append(
            pieces.card(
                pieces.tip("Cannot be told from the lowest", how),
                pieces.soft(f"trials {told}" if len(best.as_good) < 13 else f"{len(best.as_good)} trials"),
            )
        )
    return made


def card(title: str, point: Point) -> str:
    """One trial's time."""
    time = point.time_ns
    measured = point.measured_ns
    lines = [
        f"<b>{pieces.plain(title)}</b> {pieces.soft(f'trial {point.number}: {point.name}')}",
        pieces.figure(us(time), "µs a launch", time.basis if time else ""),
        f"{pieces.soft(interval(time))} {pieces.word(time.provenance.label if time else '')}",
    ]
    if measured:
        lines.append(f"{us(measured)} µs {pieces.word('measured')}")
    return pieces.card(*lines)


def us(time: Estimate | None) -> str:
    """A time in µs."""
    return words.number(time.value / 1e3 if time else None)


def interval(time: Estimate | None) -> str:
    """Its bounds in µs."""
    return (
        ""
        if time is None or time.low is None or time.high is None
        else words.between(time.low / 1e3, time.high / 1e3)
    )


def scatter(found: Tuning) -> None:
    """Trials by time and what it is traded for; a click opens the trial's timeline."""
    asked = selection.asked(AXIS)
    axis = asked if asked in AXES else "sbuf"
    st.session_state[f"pick_{AXIS}"] = axis
    picked = st.segmented_control(
        "Traded against",
        list(AXES),
        format_func=lambda key: AXES[key][0].partition(",")[0],
        required=True,
        key=f"pick_{AXIS}",
        label_visibility="collapsed",
    )
    chosen = str(picked or axis)
    if chosen != axis or AXIS in st.query_params:
        selection.remember(**{AXIS: chosen})
    clicked = st.plotly_chart(
        trials(found, chosen),
        config=style.PLOT_CONFIG,
        key="trials",
        on_select="rerun",
        selection_mode="points",
        alt=f"{len(found.points)} trials by time and {AXES[chosen][0]}",
    )
    numbers = [each["customdata"][0] for each in clicked.selection.points if each.get("customdata")]
    if numbers:
        open_timeline(found, int(numbers[0]))
    refused = Counter(point.reason.partition(":")[0] for point in found.points if point.state == "refused")
    told = ", ".join(f"{count} by {rule}" for rule, count in refused.most_common())
    st.caption(f"Click a point for its timeline.{f' Refused by the machine: {told}.' if told else ''}")


def open_timeline(found: Tuning, number: int) -> None:
    """The Kernel page of one trial, with the defaults as A."""
    point = next(each for each in found.points if each.number == number)
    if point.run_id is None:
        st.info(f"Trial {number} has no timeline: {point.reason}.", icon=":material/block:")
        return
    base = found.proposal.default.run_id if found.proposal else None
    address = {"run": point.run_id, "kernel": f"kernel/{found.study.slot}/{point.name}"}
    st.switch_page("app_pages/kernel.py", query_params=address | ({"base": base} if base else {}))


def table(found: Tuning) -> None:
    """Every trial, fastest first; a tick opens its timeline."""
    ordered = sorted(found.points, key=place)
    chosen = st.dataframe(
        pd.DataFrame([row(found, point) for point in ordered]),
        column_config={
            name: st.column_config.NumberColumn(name, format="%.4g" if "µs" in name else "%.3g", help=how)
            for name, how in NUMBERS.items()
        },
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        placeholder=words.MISSING,
        height=470,
        key="trials_table",
        alt="Trials, fastest first",
    )
    if chosen.selection.rows:
        open_timeline(found, ordered[chosen.selection.rows[0]].number)


def place(point: Point) -> tuple[bool, float, int]:
    """Correct trials by time, then the others."""
    ran = point.time_ns is not None and point.state == "correct"
    return not ran, point.time_ns.value if point.time_ns and ran else 0.0, point.number


def row(found: Tuning, point: Point) -> dict[str, object]:
    """A trial in the table: its settings, outcome and costs."""
    time, measured = point.time_ns, point.measured_ns
    ends = (time.low, time.high) if time else (None, None)
    return {
        "trial": str(point.number),
        **{each.name: str(point.settings[each.name]) for each in found.study.parameters},
        "µs a launch": words.in_unit(time.value if time else None, "µs"),
        "low, µs": words.in_unit(ends[0], "µs"),
        "high, µs": words.in_unit(ends[1], "µs"),
        **({"measured, µs": measured.value / 1e3} if measured else {}),
        "outcome": "defaults" if point.is_default and point.state == "correct" else outcome(point),
        "SBUF, MiB": None if point.sbuf_peak_bytes is None else point.sbuf_peak_bytes / 2**20,
        "HBM, MB": None if point.hbm_bytes is None else point.hbm_bytes / 1e6,
        "transfers": point.dma_transfers,
        "descriptors": point.dma_descriptors,
    }


def outcome(point: Point) -> str:
    """State and reason."""
    return f"{point.state}: {point.reason}" if point.reason else point.state


style.sheet()
try:
    path = query.database()
except CollectorError as error:
    st.error(query.explain(error), icon=":material/database_off:")
    st.stop()
version = query.version(path)
study = picked(every_study(path, version))
found, reason = query.tuned(path, version, study)
answer(found, reason)
left, right = st.columns([1, 1], gap="medium")
with left:
    scatter(found)
with right:
    table(found)
st.caption(
    f"{study.study}: simulated with data of seed {study.seed}; proposals by Optuna's TPE sampler. "
    "Repeat the command to add trials."
)
