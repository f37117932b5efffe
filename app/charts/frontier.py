"""Trials of a search: time against what it is traded for, with the frontier none of them beats."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from analysis.tuning import AXES, Point, Tuning, frontier
from app import style, words

ON_FRONTIER, OTHER = "#8467d7", "#8b95a1"


def trials(tuning: Tuning, axis: str, height: int = 430) -> go.Figure:
    """A point per trial that ran: x is `axis` of `AXES`, y the time of a mean launch in µs.

    The default and the lowest are named; a step joins the frontier. `customdata[0]` is a trial's number.
    """
    title, read = AXES[axis]
    kept = set(frontier(tuning.points, axis))
    drawn = [point for point in tuning.points if point.time_ns and read(point) is not None]
    y = {"title": "µs a launch", "rangemode": "normal"}
    made = style.figure(height, x={"title": title}, y=y)
    edge = sorted((point for point in drawn if point.number in kept), key=lambda point: read(point) or 0.0)
    made.add_trace(
        go.Scatter(
            x=[read(point) for point in edge],
            y=[_us(point) for point in edge],
            mode="lines",
            line={"color": style.faded(ON_FRONTIER, 0.6), "width": 2, "shape": "hv"},
            name="frontier",
            hoverinfo="skip",
        )
    )
    groups = (
        ("correct", [p for p in drawn if p.state == "correct" and p.number not in kept], OTHER, "circle"),
        ("on the frontier", edge, ON_FRONTIER, "circle"),
        ("incorrect", [p for p in drawn if p.state == "incorrect"], style.WORSE, "x"),
    )
    for name, points, colour, symbol in groups:
        if points:
            made.add_trace(_dots(points, [read(point) for point in points], name, colour, symbol))
    for text, point in _named(tuning):
        if point.time_ns and read(point) is not None:
            made.add_annotation(_note(text, read(point), _us(point), -14 if text == "lowest" else 14))
    return made


def _named(tuning: Tuning) -> list[tuple[str, Point]]:
    found = tuning.proposal
    if found is None:
        return []
    if found.best.number == found.default.number:
        return [("defaults, lowest", found.default)]
    return [("lowest", found.best), ("defaults", found.default)]


def _dots(
    points: Sequence[Point], across: Sequence[float | None], name: str, colour: str, symbol: str
) -> go.Scatter:
    return go.Scatter(
        x=list(across),
        y=[_us(point) for point in points],
        mode="markers",
        name=name,
        marker={"size": 11, "color": style.faded(colour, 0.75), "symbol": symbol},
        customdata=[[point.number, point.name, _interval(point), point.state] for point in points],
        hovertemplate="<b>trial %{customdata[0]}</b>, %{customdata[3]}<br>%{customdata[1]}"
        "<br>%{y:.4g} µs %{customdata[2]}<br>click for its timeline<extra></extra>",
    )


def _note(text: str, x: float | None, y: float, shift: int) -> dict[str, object]:
    return {"x": x, "y": y, "text": text, "showarrow": False, "yshift": shift, "font": {"size": 12}}


def _us(point: Point) -> float:
    assert point.time_ns is not None
    return point.time_ns.value / 1e3


def _interval(point: Point) -> str:
    time = point.time_ns
    if time is None or time.low is None or time.high is None:
        return ""
    return f"({words.between(time.low / 1e3, time.high / 1e3)})"
