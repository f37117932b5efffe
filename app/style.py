"""The one look of the dashboard: colours, the shape of every figure, and the style sheet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from collectors.records import ENGINE_NAMES

# One colour an engine, on every chart. Chosen apart from blue and orange, which mean better and worse, and
# legible on white and on near-black alike.
ENGINE_COLOURS: Mapping[str, str] = dict(
    zip(ENGINE_NAMES, ("#8467d7", "#1f9d78", "#c79a1b", "#cf6ba9", "#8893a2", "#2f9fc0"), strict=True)
)
UNKNOWN_ENGINE = "#8893a2"

BETTER, WORSE, UNSURE = "#3b7ddd", "#e07b1f", "#8b95a1"
# The same as text with a contrast of 4.5 or more, for cells that no style sheet reaches.
TEXT_TONES = {
    "light": {"better": "#1d5fbf", "worse": "#a8500a", "unsure": "#5b6570"},
    "dark": {"better": "#7db2ff", "worse": "#ffa95c", "unsure": "#a3adb9"},
}
WORDS = {"faster": "better", "better": "better", "slower": "worse", "worse": "worse"}
TOTAL = "#76808d"
GRID = "rgba(128, 138, 150, 0.22)"
FAINT = "rgba(128, 138, 150, 0.16)"

# Axes are fixed: a drag that zooms into bars loses people, and the timeline zooms by asking the database.
AXIS = {"automargin": True, "gridcolor": GRID, "zeroline": False, "fixedrange": True}
LEGEND = {
    "orientation": "h",
    "yanchor": "bottom",
    "y": 1.0,
    "xanchor": "left",
    "x": 0,
    "title": None,
    "itemsizing": "constant",
}

PLOT_CONFIG = {"displaylogo": False, "displayModeBar": False, "scrollZoom": False}

SHEET_FILE = Path(__file__).with_name("style.css")


def sheet() -> None:
    """Put the style sheet on the page."""
    st.html(SHEET_FILE)


def engine_colour(engine: str) -> str:
    """The colour of an engine or of a DMA queue."""
    return ENGINE_COLOURS.get(engine, UNKNOWN_ENGINE)


def faded(colour: str, opacity: float) -> str:
    """A "#rrggbb" colour with an opacity, for the background to show through."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def figure(
    height: int,
    *,
    x: Mapping[str, object] | None = None,
    y: Mapping[str, object] | None = None,
    **layout: object,
) -> go.Figure:
    """An empty figure in the house style, with options of its axes and its layout.

    Text and paper follow the page's light or dark theme.
    """
    house = {
        "height": height,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8, "pad": 4},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 13},
        "hoverlabel": {"align": "left"},
        "legend": LEGEND,
        "bargap": 0.28,
        "xaxis": {**AXIS, **(x or {})},
        "yaxis": {**AXIS, **(y or {})},
    }
    return go.Figure(layout=house | layout)


def draw(drawn: go.Figure, alt: str, key: str) -> None:
    """Put a figure on the page with a name for those who cannot see it."""
    st.plotly_chart(drawn, config=PLOT_CONFIG, alt=alt, key=key)


def verdict_colour(verdict: object) -> str:
    """CSS for a verdict as `words.verdict` prints it, for cells of a data frame."""
    tones = TEXT_TONES["dark" if st.context.theme.type == "dark" else "light"]
    tone = next((tone for word, tone in WORDS.items() if str(verdict).endswith(word)), "unsure")
    return f"color: {tones[tone]}"
