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

# Each lane has a unit interval of the colour scale; activity starts at FLOOR so that a sliver stays visible.
FLOOR, TOP = 0.15, 0.99

Lane = tuple[str, int, str]
Array = np.ndarray[Any, Any]


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
    busy, told = _cells(rows, lanes, start_ns, (end_ns - start_ns) / pixels, pixels)
    unit = words.time_unit(end_ns)
    middle = (start_ns + (np.arange(pixels) + 0.5) * (end_ns - start_ns) / pixels) / words.NS_PER[unit]
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


def _handle(middle: Array, names: Sequence[str]) -> go.Scatter:
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


def _cells(
    rows: pa.Table, lanes: Sequence[Lane], start_ns: float, width: float, pixels: int
) -> tuple[Array, Array]:
    """Per lane and pixel: how busy on the lane's stretch of the colour scale, and what the tooltip says."""
    busy = np.full((len(lanes), pixels), np.nan)
    told = np.full((len(lanes), pixels), "", dtype=object)
    place = {lane: at for at, lane in enumerate(lanes)}
    names = zip(*(rows.column(name).to_pylist() for name in ("kind", "pcore_idx", "lane")), strict=True)
    row = np.array([place.get(name, -1) for name in names], dtype=np.int64)
    known = row >= 0
    starts, share = (rows.column(name).to_numpy() for name in ("start_ns", "busy"))
    pixel = np.clip(np.rint((starts - start_ns) / width).astype(np.int64), 0, pixels - 1)
    busy[row[known], pixel[known]] = (row + FLOOR + (TOP - FLOOR) * share)[known]
    told[row[known], pixel[known]] = _told(rows)[known]
    return busy, told


def _told(rows: pa.Table) -> Array:
    columns = (
        rows.column(name).to_pylist() for name in ("kind", "busy", "count", "top", "top_source", "bytes")
    )
    return np.array([_tooltip(*row) for row in zip(*columns, strict=True)], dtype=object)


def _tooltip(
    kind: str, busy: float, count: int, top: str | None, source: str | None, moved: float | None
) -> str:
    # Written for thousands of cells a zoom.
    what = "instructions" if kind == "engine" else "transfers"
    where = f"<br>{source}" if source else ""
    size = f"<br>{moved / 1024:,.3g} KiB" if moved else ""
    return f"{busy:.0%} busy, {count} {what}<br>{top or ''}{where}{size}"


def _scale(lanes: Sequence[Lane]) -> list[tuple[float, str]]:
    """One stretch of the colour scale a lane: from nothing to the full colour of its engine."""
    stops: list[tuple[float, str]] = []
    whole = max(len(lanes), 1)
    for at, (kind, _, name) in enumerate(lanes):
        colour = style.engine_colour(name if kind == "engine" else "dma")
        stops += [(at / whole, style.faded(colour, 0.08)), ((at + 0.999) / whole, style.faded(colour, 1.0))]
    return [*stops[:-1], (1.0, stops[-1][1])] if stops else [(0.0, style.FAINT), (1.0, style.FAINT)]
