"""Runs in order of time, and the best so far as a staircase."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import plotly.graph_objects as go

from app import style, words

LABELS = 9


@dataclass(frozen=True, slots=True)
class Trial:
    """One run on the staircase. `value` is None where the run has none; `counts` is False where accuracy
    failed or was not checked.
    """

    run_id: str
    label: str
    when: str
    value: float | None
    low: float | None
    high: float | None
    counts: bool
    note: str


def best(trials: Sequence[Trial], *, higher_is_better: bool) -> Trial | None:
    """The best trial that counts, the earliest of equals."""
    counted = [trial for trial in trials if trial.counts and trial.value is not None]
    pick = max if higher_is_better else min
    return pick(counted, key=lambda trial: trial.value or 0.0, default=None)


def staircase(
    trials: Sequence[Trial],
    *,
    title: str,
    higher_is_better: bool,
    reference: tuple[float, str] | None = None,
    shown: Sequence[str] = (),
    height: int = 250,
) -> go.Figure:
    """Every trial as a point with its interval, oldest first, and the best so far as steps.

    `reference` is a level with its name; runs in `shown` are ringed.
    """
    every = math.ceil(len(trials) / LABELS) or 1
    made = style.figure(
        height,
        x={
            "tickvals": list(range(0, len(trials), every)),
            "ticktext": [trial.label for trial in trials][::every],
            "tickangle": 0,
            "showgrid": False,
            "range": [-0.5, max(len(trials) - 0.5, 1.5)],
        },
        y={"title": title, "range": [0, _top(trials, reference)]},
        showlegend=False,
    )
    made.add_traces([_steps(trials, higher_is_better), _points(trials, set(shown))])
    if reference:
        made.add_hline(
            y=reference[0],
            line={"dash": "dot", "width": 1.5, "color": style.TOTAL},
            annotation={"text": reference[1], "font": {"size": 12, "color": style.TOTAL}},
            annotation_position="top left",
        )
    return made


def _top(trials: Sequence[Trial], reference: tuple[float, str] | None) -> float:
    """Where the axis ends: an interval that reaches beyond, as the host's may, would flatten the runs."""
    values = [trial.value for trial in trials if trial.value is not None]
    return 1.4 * max([*values, *([reference[0]] if reference else [])], default=1.0)


def _steps(trials: Sequence[Trial], higher_is_better: bool) -> go.Scatter:
    better = max if higher_is_better else min
    counted = [
        (at, trial.value) for at, trial in enumerate(trials) if trial.counts and trial.value is not None
    ]
    levels = list(accumulate((value for _, value in counted), better))
    places: list[float] = [at for at, _ in counted]
    if places:
        places, levels = [*places, len(trials) - 0.5], [*levels, levels[-1]]
    return go.Scatter(
        x=places,
        y=levels,
        mode="lines",
        line={"shape": "hv", "width": 2.5, "color": style.BETTER},
        fill="tozeroy" if higher_is_better else None,
        fillcolor=style.faded(style.BETTER, 0.08),
        hoverinfo="skip",
    )


def _points(trials: Sequence[Trial], shown: set[str]) -> go.Scatter:
    known = [(at, trial) for at, trial in enumerate(trials) if trial.value is not None]
    values = [trial.value or 0.0 for _, trial in known]
    up = [max((trial.high or value) - value, 0.0) for (_, trial), value in zip(known, values, strict=True)]
    down = [max(value - (trial.low or value), 0.0) for (_, trial), value in zip(known, values, strict=True)]
    return go.Scatter(
        x=[at for at, _ in known],
        y=values,
        mode="markers",
        error_y={
            "type": "data",
            "symmetric": False,
            "array": up,
            "arrayminus": down,
            "width": 0,
            "thickness": 1.2,
            "color": style.faded(style.TOTAL, 0.45),
        },
        marker={
            "size": [12 if trial.run_id in shown else 8 for _, trial in known],
            "symbol": ["circle" if trial.counts else "x-thin" for _, trial in known],
            "color": [style.BETTER if trial.counts else style.WORSE for _, trial in known],
            "line": {
                "width": [3 if trial.run_id in shown or not trial.counts else 0 for _, trial in known],
                "color": [style.faded(style.BETTER, 0.35) if t.counts else style.WORSE for _, t in known],
            },
        },
        customdata=[
            [
                trial.label,
                words.number(trial.value),
                words.between(trial.low, trial.high),
                trial.when,
                trial.note,
            ]
            for _, trial in known
        ],
        hovertemplate="<b>%{customdata[0]}</b>  %{customdata[1]}<br>%{customdata[2]}<br>%{customdata[3]}"
        "<br>%{customdata[4]}<extra></extra>",
    )
