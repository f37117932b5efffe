"""Kernels under the machine's ceilings: multiply-accumulates per byte against multiply-accumulates per ns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from analysis.roofline import RooflinePoint
from app import style, words

PHASE_COLOURS = {"prefill": "#8467d7", "decode": "#1f9d78", "kernel": "#c79a1b", "host": style.TOTAL}
# A name takes about this many decades of either axis; what would cover another's says its name when hovered.
NAME_WIDTH, NAME_HEIGHT = 1.4, 0.35
LARGEST_PIXELS = 46


@dataclass(frozen=True, slots=True)
class Bubble:
    """One kernel: where it lies, its share of the run's time, and what to call it."""

    name: str
    phase: str
    share: float
    point: RooflinePoint
    attained: float | None


def roofline(bubbles: Sequence[Bubble], height: int = 420) -> go.Figure:
    """A bubble per kernel (at least one), sized by share of time, under the memory and the tensor ceiling."""
    point = bubbles[0].point
    reach = [point.ridge, *(bubble.point.intensity for bubble in bubbles)]
    rates = [point.tensor_ceiling, *(bubble.point.macs_per_ns for bubble in bubbles)]
    left, right = min(reach) / 4, max(reach) * 4
    made = style.figure(
        height,
        x=_log("MAC per HBM byte", left, right),
        y=_log("MAC per ns", min(rates) / 4, max(rates) * 4),
    )
    made.add_trace(
        go.Scatter(
            x=[left, point.ridge, right],
            y=[left * point.memory_ceiling, point.tensor_ceiling, point.tensor_ceiling],
            mode="lines",
            line={"color": style.TOTAL, "width": 2},
            hoverinfo="skip",
            showlegend=False,
        )
    )
    largest = sorted(bubbles, key=lambda bubble: bubble.share, reverse=True)
    biggest, named = largest[0].share or 1.0, _legible(largest)
    for phase in dict.fromkeys(bubble.phase for bubble in bubbles):
        mine = [bubble for bubble in bubbles if bubble.phase == phase]
        made.add_trace(_bubbles(mine, phase, named, biggest))
    middle = math.sqrt(left * point.ridge)
    memory, tensor = words.number(point.memory_ceiling), words.number(point.tensor_ceiling)
    made.add_annotation(_note(middle, middle * point.memory_ceiling, f"HBM {memory} GB/s", "right"))
    made.add_annotation(_note(right, point.tensor_ceiling, f"tensor {tensor} MAC/ns", "right"))
    return made


def _legible(bubbles: Sequence[Bubble]) -> list[Bubble]:
    """Bubbles whose names cover no name before them."""
    named: list[Bubble] = []
    for bubble in bubbles:
        if all(_apart(bubble.point, other.point) for other in named):
            named.append(bubble)
    return named


def _apart(a: RooflinePoint, b: RooflinePoint) -> bool:
    return (
        abs(math.log10(a.intensity / b.intensity)) > NAME_WIDTH
        or abs(math.log10(a.macs_per_ns / b.macs_per_ns)) > NAME_HEIGHT
    )


def _bubbles(bubbles: Sequence[Bubble], phase: str, named: Sequence[Bubble], biggest: float) -> go.Scatter:
    colour = PHASE_COLOURS.get(phase, style.TOTAL)
    return go.Scatter(
        x=[bubble.point.intensity for bubble in bubbles],
        y=[bubble.point.macs_per_ns for bubble in bubbles],
        mode="markers+text",
        name=phase,
        text=[bubble.name if bubble in named else "" for bubble in bubbles],
        textposition=[
            "middle left" if bubble.point.intensity > bubble.point.ridge / 4 else "middle right"
            for bubble in bubbles
        ],
        textfont={"size": 11},
        marker={
            "size": [bubble.share for bubble in bubbles],
            "sizemode": "area",
            "sizeref": 2 * biggest / LARGEST_PIXELS**2,
            "sizemin": 4,
            "color": style.faded(colour, 0.55),
            "line": {"color": colour, "width": 1.5},
            "symbol": "circle" if phase != "prefill" else "diamond",
        },
        customdata=[
            [bubble.name, words.percent(bubble.share), words.percent(bubble.attained)] for bubble in bubbles
        ],
        hovertemplate="<b>%{customdata[0]}</b>, " + phase + "<br>%{x:.3g} MAC/byte, %{y:.3g} MAC/ns"
        "<br>%{customdata[1]} of the run's time<br>%{customdata[2]} of its floor attained<extra></extra>",
    )


def _log(title: str, low: float, high: float) -> dict[str, object]:
    return {"type": "log", "dtick": 1, "title": title, "range": [math.log10(low), math.log10(high)]}


def _note(x: float, y: float, text: str, anchor: str) -> dict[str, object]:
    return {
        "x": math.log10(x),
        "y": math.log10(y),
        "text": text,
        "showarrow": False,
        "yshift": 12,
        "xanchor": anchor,
        "font": {"size": 11, "color": style.TOTAL},
    }
