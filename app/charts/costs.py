"""What each resource costs a launch."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from analysis.ideal import ResourceCost
from app import style, words


def costs_chart(found: Sequence[ResourceCost]) -> go.Figure:
    """A bar a resource (at least one), longest first: the share of the launch it would save were it ideal."""
    made = style.figure(
        40 + 26 * len(found),
        x={"range": [0, 1.3 * found[0].share], "visible": False},
        y={"autorange": "reversed", "showgrid": False},
        bargap=0.22,
        showlegend=False,
    )
    made.add_trace(
        go.Bar(
            y=[each.meaning for each in found],
            x=[each.share for each in found],
            orientation="h",
            marker={"color": [_colour(each.resource) for each in found]},
            text=[f"−{words.time(each.saved_ns)}, {words.percent(each.share)}" for each in found],
            textposition="outside",
            textfont={"size": 11},
            cliponaxis=False,
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    return made


def _colour(resource: str) -> str:
    return style.engine_colour(resource.partition("_")[0])
