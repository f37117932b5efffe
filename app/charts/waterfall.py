"""From the baseline's time to the candidate's, one bar a kernel that moved."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from analysis.compare import Step
from app import style, words

# When all moves together are a smaller part of the totals than this, the axis is cut to show them.
CUT_UNDER = 0.5
LONG_NAME = 10


def waterfall(
    steps: Sequence[Step], unit: words.TimeUnit, names: tuple[str, str], per: str, height: int = 330
) -> go.Figure:
    """Steps of `analysis.compare.waterfall` from the first name's total to the second's, in `unit`."""
    total, moves = steps[0], steps[1:]
    ends = [total.moved_ns, *(step.start_ns + step.moved_ns for step in moves)]
    scaled = [words.in_unit(step.moved_ns, unit) for step in moves]
    floor, top = (words.in_unit(end, unit) for end in _range(ends))
    cut = f" (axis starts at {words.number(floor)})" if floor else ""
    made = style.figure(
        height,
        x={"showgrid": False, "tickangle": 0},
        y={"title": f"{unit} {per}{cut}", "range": [floor, top]},
        showlegend=False,
    )
    made.add_trace(
        go.Waterfall(
            x=[f"<b>A</b> {names[0]}", *(_broken(step.label) for step in moves), f"<b>B</b> {names[1]}"],
            y=[words.in_unit(ends[0], unit), *scaled, words.in_unit(ends[-1], unit)],
            measure=["absolute", *["relative"] * len(moves), "total"],
            text=[
                words.number(words.in_unit(ends[0], unit)),
                *(words.signed(value) for value in scaled),
                words.number(words.in_unit(ends[-1], unit)),
            ],
            textposition="outside",
            cliponaxis=False,
            decreasing={"marker": {"color": style.BETTER}},
            increasing={"marker": {"color": style.WORSE}},
            totals={"marker": {"color": style.TOTAL}},
            connector={"line": {"color": style.GRID, "width": 1}},
            hovertemplate="%{x}: %{text} " + unit + "<extra></extra>",
        )
    )
    return made


def _range(ends: Sequence[float]) -> tuple[float, float]:
    low, high = min(ends), max(ends)
    spread = high - low
    if not high or spread >= CUT_UNDER * high:
        return 0.0, high * 1.12
    return max(0.0, low - spread), high + 0.25 * spread


def _broken(label: str) -> str:
    """Long names on two lines: at the joint of a fused row, else at the first underscore."""
    if " + " in label:
        return label.replace(" + ", "<br>+ ")
    return label.replace("_", "_<br>", 1) if len(label) > LONG_NAME else label
