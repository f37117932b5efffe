"""Bytes by size of their descriptors, against what the hardware does well with."""

from __future__ import annotations

import plotly.graph_objects as go
import pyarrow as pa

from analysis.machine_facts import MachineFacts
from analysis.rules.thresholds import GOOD_DESCRIPTOR_BYTES, TINY_DESCRIPTOR_BYTES
from app import style, words

POWERS = range(1, 19)


def transfer_sizes(sizes: pa.Table, machine: MachineFacts | None, height: int = 300) -> go.Figure:
    """`query.transfer_sizes` as bars; with a machine, the share of DMA peak each size reaches."""
    rows = sizes.to_pylist()
    made = style.figure(height, bargap=0.08)
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
    for edge, label in ((TINY_DESCRIPTOR_BYTES, "small"), (GOOD_DESCRIPTOR_BYTES, "good")):
        made.add_vline(
            x=edge.bit_length() - 1.5,
            line={"color": style.GRID, "width": 1.5},
            annotation={
                "text": f"{label} {'<' if label == 'small' else '≥'} {words.size(edge)}",
                "font": {"size": 11},
            },
        )
    shown = [row["power"] for row in rows] or [9]
    made.update_xaxes(
        tickvals=list(POWERS),
        ticktext=[words.size(2**power) for power in POWERS],
        range=[min(*shown, 8) - 0.6, max(*shown, 13) + 0.6],
        title="bytes per descriptor",
        showgrid=False,
    )
    made.update_layout(
        yaxis={"title": "bytes moved", "tickformat": "~s"},
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "range": [0, 1.02],
            "tickformat": ".0%",
            "showgrid": False,
            "fixedrange": True,
        },
    )
    return made
