"""Engines: how busy they were in two runs, and where one launch's time goes on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from analysis.stalls import EngineTime
from app import style, words
from collectors.records import ENGINE_NAMES


def utilization(
    base: Mapping[str, float | None] | None, candidate: Mapping[str, float | None] | None, height: int = 290
) -> go.Figure:
    """Active time over duration by engine, A hatched above B solid."""
    made = style.figure(
        height,
        x={"range": [0, 1.15], "tickformat": ".0%", "title": "active time / duration"},
        y={"autorange": "reversed", "showgrid": False},
        barmode="group",
        showlegend=False,
    )
    for name, pattern, engines in (("B", "", candidate), ("A", "/", base)):
        known = engines or {}
        made.add_trace(
            go.Bar(
                y=list(ENGINE_NAMES),
                x=[known.get(engine) for engine in ENGINE_NAMES],
                name=name,
                orientation="h",
                marker={
                    "color": [style.engine_colour(engine) for engine in ENGINE_NAMES],
                    "pattern": {"shape": pattern, "fillmode": "replace", "solidity": 0.4},
                    "line": {"width": 1, "color": [style.engine_colour(engine) for engine in ENGINE_NAMES]},
                },
                text=[f"{name} {words.percent(known.get(engine))}" for engine in ENGINE_NAMES],
                textposition="outside",
                textfont={"size": 11},
                constraintext="none",
                cliponaxis=False,
                hovertemplate="%{y} %{text}<extra></extra>",
            )
        )
    return made


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of time: its name, the attribute of `EngineTime`, and how its part of a bar is drawn.

    Without a colour it takes the engine's own. A wait for data has the colour of what is waited for.
    """

    name: str
    attribute: str
    pattern: str
    opacity: float
    colour: str | None = None


KINDS = (
    Kind("working", "working_ns", "", 1.0),
    Kind("issuing", "issuing_ns", "", 0.45),
    Kind("waiting for data", "waiting_data_ns", "/", 0.9, style.ENGINE_COLOURS["dma"]),
    Kind("waiting for an engine", "waiting_engine_ns", "x", 0.9, style.TOTAL),
    Kind("idle", "idle_ns", "", 0.16, style.TOTAL),
)


def where_time_goes(times: Sequence[EngineTime], duration_ns: int, height: int | None = None) -> go.Figure:
    """One bar per core and engine, cut into working, issuing, both kinds of waiting, and idle."""
    made = style.figure(
        height or 70 + 26 * len(times),
        x={"range": [0, 1.03], "tickformat": ".0%"},
        y={"autorange": "reversed", "showgrid": False},
        barmode="stack",
        bargap=0.22,
        legend={**style.LEGEND, "traceorder": "normal", "itemclick": False},
    )
    rows = [f"{each.engine} · core {each.core}" for each in times]
    for kind in KINDS:
        spent = [getattr(each, kind.attribute) for each in times]
        colours = [
            style.faded(kind.colour or style.engine_colour(each.engine), kind.opacity) for each in times
        ]
        made.add_trace(
            go.Bar(
                y=rows,
                x=[ns / duration_ns if duration_ns else 0.0 for ns in spent],
                name=kind.name,
                orientation="h",
                marker={
                    "color": colours,
                    "pattern": {"shape": kind.pattern, "fillmode": "replace", "size": 6, "solidity": 0.35},
                    "line": {"width": 0},
                },
                customdata=[[words.time(ns)] for ns in spent],
                hovertemplate="%{y}: " + kind.name + " %{x:.1%}, %{customdata[0]}<extra></extra>",
            )
        )
    return made
