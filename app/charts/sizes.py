"""Bytes by size of their descriptors, against what the hardware does well with."""

from __future__ import annotations

import plotly.graph_objects as go
import pyarrow as pa

from analysis.machine_facts import MachineFacts
from analysis.rules.thresholds import GOOD_DESCRIPTOR_BYTES, TINY_DESCRIPTOR_BYTES
from app import style, words

POWERS = range(2, 21)


def transfer_sizes(sizes: pa.Table, machine: MachineFacts | None, height: int = 300) -> go.Figure:
    """`query.transfer_sizes` (at least one row) as bars; with a machine, the share of DMA peak by size."""
    rows = sizes.to_pylist()
    shown = [row["power"] for row in rows]
    small, good = (_edge(size) for size in (TINY_DESCRIPTOR_BYTES, GOOD_DESCRIPTOR_BYTES))
    zones = [
        _zone(POWERS[0] - 1, small, f"under {words.size(TINY_DESCRIPTOR_BYTES)}: mostly overhead"),
        _zone(good, POWERS[-1] + 1, f"{words.size(GOOD_DESCRIPTOR_BYTES)} and over: good"),
    ]
    made = style.figure(
        height,
        x={
            "tickvals": list(POWERS),
            "ticktext": [words.size(2**power) for power in POWERS],
            "range": [min(*shown, 8) - 0.6, max(*shown, 13) + 0.6],
            "title": "bytes per descriptor",
            "showgrid": False,
        },
        y={
            "title": "bytes moved",
            "tickformat": "~s",
            "range": [0, 1.25 * max(row["bytes"] for row in rows)],
        },
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "range": [0, 1.1],
            "dtick": 0.25,
            "tickformat": ".0%",
            "showgrid": False,
            "fixedrange": True,
        },
        bargap=0.08,
        shapes=zones,
    )
    made.add_trace(
        go.Bar(
            x=[row["power"] for row in rows],
            y=[row["bytes"] for row in rows],
            name="bytes moved",
            marker={"color": style.ENGINE_COLOURS["dma"]},
            customdata=[
                [
                    words.size(2 ** row["power"]),
                    words.size(2 ** (row["power"] + 1)),
                    words.size(row["bytes"]),
                    row["transfers"],
                    row["descriptors"],
                ]
                for row in rows
            ],
            hovertemplate="descriptors of %{customdata[0]} to %{customdata[1]}<br>%{customdata[2]} in "
            "%{customdata[3]} transfers, %{customdata[4]} descriptors<extra></extra>",
        )
    )
    if machine:
        made.add_trace(
            go.Scatter(
                x=list(POWERS),
                y=[machine.descriptor_efficiency(2**power) for power in POWERS],
                yaxis="y2",
                name="share of DMA peak at that size",
                mode="lines",
                line={"color": style.TOTAL, "dash": "dot", "width": 2},
                hovertemplate="%{y:.0%} of DMA peak<extra></extra>",
            )
        )
    return made


def _edge(size: int) -> float:
    """Where descriptors of a power of two begin on the axis, whose bars are centred on whole powers."""
    return size.bit_length() - 1.5


def _zone(left: float, right: float, label: str) -> dict[str, object]:
    return {
        "type": "rect",
        "xref": "x",
        "yref": "paper",
        "x0": left,
        "x1": right,
        "y0": 0,
        "y1": 1,
        "fillcolor": style.FAINT,
        "line": {"width": 0},
        "layer": "below",
        "label": {
            "text": label,
            "textposition": "top right" if left < POWERS[0] else "top left",
            "font": {"size": 11, "color": style.TOTAL},
        },
    }
