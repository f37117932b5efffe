"""Predicted against measured times, both axes logarithmic, with the diagonal and ±25 % around it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from app import style, words

Row = Mapping[str, Any]
BAND = 0.25
MARGIN = 1.6
COLOURS = tuple(style.ENGINE_COLOURS.values())


def fidelity(rows: Sequence[Row], height: int = 460) -> go.Figure:
    """A point for each of at least one row of a stored report; hollow where constants were fitted to it."""
    times = [row[name] / 1e3 for row in rows for name in ("measured_ns", "predicted_ns")]
    low, high = min(times) / MARGIN, max(times) * MARGIN
    reach = [math.log10(low), math.log10(high)]
    made = style.figure(
        height,
        x={"type": "log", "dtick": 1, "title": "measured, µs", "range": reach},
        y={"type": "log", "dtick": 1, "title": "predicted, µs", "range": reach},
    )
    _line(made, low, high, 1 - BAND)
    _line(made, low, high, 1 + BAND, fill="tonexty")
    _line(made, low, high, 1.0, line={"color": style.TOTAL, "width": 1.5})
    for at, family in enumerate(dict.fromkeys(row["family"] for row in rows)):
        mine = [row for row in rows if row["family"] == family]
        made.add_trace(_points(family, mine, COLOURS[at % len(COLOURS)]))
    return made


def _line(made: go.Figure, low: float, high: float, factor: float, **look: Any) -> None:
    options = {"line": {"width": 0}, "fillcolor": style.FAINT} | look
    made.add_trace(
        go.Scatter(
            x=[low, high],
            y=[low * factor, high * factor],
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            **options,
        )
    )


def _points(family: str, rows: Sequence[Row], colour: str) -> go.Scatter:
    return go.Scatter(
        x=[row["measured_ns"] / 1e3 for row in rows],
        y=[row["predicted_ns"] / 1e3 for row in rows],
        mode="markers",
        name=family,
        marker={
            "size": 10,
            "color": colour,
            "symbol": ["circle-open" if row["role"] == "fitted" else "circle" for row in rows],
            "line": {"width": 2},
        },
        customdata=[
            [row["name"], row["problem"], words.percent(row["error"], sign=True), row["role"]] for row in rows
        ],
        hovertemplate="<b>%{customdata[0]}</b>, %{customdata[1]}<br>measured %{x:,.4~g} µs, predicted "
        "%{y:,.4~g} µs: %{customdata[2]}<br>%{customdata[3]}<extra></extra>",
    )
