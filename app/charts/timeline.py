"""Engines and DMA queues over time: one row a lane, one column a pixel, as dark as the lane is busy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa

from app import style, words
from collectors.records import ENGINE_NAMES

PIXELS = 700
ROW_HEIGHT = 22

Lane = tuple[str, int, str]


def lanes_in(rows: pa.Table) -> list[Lane]:
    """The lanes of a table in the order they are drawn: by core, engines before queues."""
    found = set(zip(*(rows.column(name).to_pylist() for name in ("kind", "pcore_idx", "lane")), strict=True))
    order = {name: at for at, name in enumerate(ENGINE_NAMES)}
    return sorted(
        found, key=lambda lane: (lane[1] or 0, lane[0] != "engine", order.get(lane[2], 99), lane[2])
    )


def timeline(
    rows: pa.Table, lanes: Sequence[Lane], start_ns: float, end_ns: float, pixels: int = PIXELS
) -> go.Figure:
    """`query.lanes` between two times as one heat map, a row for each of `lanes`."""
    place = {lane: at for at, lane in enumerate(lanes)}
    busy = np.full((len(lanes), pixels), np.nan)
    told = np.full((len(lanes), pixels), "", dtype=object)
    width = (end_ns - start_ns) / pixels
    for row in rows.to_pylist():
        at = place.get((row["kind"], row["pcore_idx"], row["lane"]))
        if at is None:
            continue
        pixel = min(int((row["start_ns"] - start_ns) / width + 0.5), pixels - 1)
        # Each lane has its own unit interval of the colour scale; a sliver of activity stays visible.
        busy[at, pixel] = at + 0.15 + 0.84 * row["busy"]
        told[at, pixel] = _told(row)
    unit = words.time_unit(end_ns)
    middle = (start_ns + (np.arange(pixels) + 0.5) * width) / words.NS_PER[unit]
    names = [_name(lane) for lane in lanes]
    made = style.figure(
        60 + ROW_HEIGHT * len(lanes),
        x={"title": unit, "range": [start_ns / words.NS_PER[unit], end_ns / words.NS_PER[unit]]},
        y={"autorange": "reversed", "showgrid": False},
        dragmode="select",
        selectdirection="h",
        showlegend=False,
    )
    made.add_trace(
        go.Heatmap(
            x=middle,
            y=names,
            z=busy,
            zmin=0,
            zmax=max(len(lanes), 1),
            colorscale=_scale(lanes),
            showscale=False,
            customdata=told,
            ygap=3,
            hoverongaps=False,
            hovertemplate="%{y} at %{x:.4~g} " + unit + "<br>%{customdata}<extra></extra>",
        )
    )
    made.add_trace(_handle(middle, names))
    return made


def _handle(middle: np.ndarray[Any, Any], names: Sequence[str]) -> go.Scatter:
    """Invisible points: a heat map alone cannot be selected, and a selection is how a person zooms."""
    return go.Scatter(
        x=middle[:: max(1, len(middle) // 100)],
        y=[names[0]] * len(middle[:: max(1, len(middle) // 100)]) if names else [],
        mode="markers",
        marker={"opacity": 0, "size": 1},
        hoverinfo="skip",
    )


def _name(lane: Lane) -> str:
    _, core, name = lane
    return f"{name} · core {core}" if core is not None else name


def _told(row: dict[str, object]) -> str:
    busy, what, source = row["busy"], row["top"] or "", row["top_source"] or ""
    assert isinstance(busy, float)
    counted = "instructions" if row["kind"] == "engine" else "transfers"
    lines = [f"{words.percent(busy)} busy, {row['count']} {counted}"]
    lines += [str(what)] if what else []
    lines += [str(source)] if source else []
    if isinstance(row["bytes"], float) and row["bytes"]:
        lines.append(words.size(row["bytes"]))
    return "<br>".join(lines)


def _scale(lanes: Sequence[Lane]) -> list[tuple[float, str]]:
    """One stretch of the colour scale a lane: from nothing to the full colour of its engine."""
    stops: list[tuple[float, str]] = []
    whole = max(len(lanes), 1)
    for at, (kind, _, name) in enumerate(lanes):
        colour = style.engine_colour(name if kind == "engine" else "dma")
        stops += [(at / whole, style.faded(colour, 0.08)), ((at + 0.999) / whole, style.faded(colour, 1.0))]
    return [*stops[:-1], (1.0, stops[-1][1])] if stops else [(0.0, style.FAINT), (1.0, style.FAINT)]
