"""The one look of the dashboard: colours, the shape of every figure, and the style sheet."""

from __future__ import annotations

from collections.abc import Mapping

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
TOTAL = "#76808d"
GRID = "rgba(128, 138, 150, 0.22)"
FAINT = "rgba(128, 138, 150, 0.16)"

PLOT_CONFIG = {"displaylogo": False, "displayModeBar": False, "scrollZoom": False}

SHEET = """
<style>
:root { --nd-line: color-mix(in srgb, currentColor 16%, transparent); }
.nd { font-variant-numeric: tabular-nums; line-height: 1.35;
      --better: light-dark(#1d5fbf, #7db2ff); --worse: light-dark(#a8500a, #ffa95c);
      --unsure: light-dark(#5b6570, #a3adb9); --soft: light-dark(#5b6570, #a3adb9); }
.nd [title] { cursor: help; }
.nd .soft { color: var(--soft); font-size: 0.86em; }
.nd .word { color: var(--soft); font-size: 0.78em; font-weight: 400; letter-spacing: 0.01em; }
.nd .better { color: var(--better); } .nd .worse { color: var(--worse); } .nd .unsure { color: var(--unsure); }
.nd .chip { border: 1px solid currentColor; border-radius: 999px; padding: 0 0.55em; font-size: 0.82em;
            font-weight: 600; white-space: nowrap; }
.nd .big { font-size: 1.85rem; font-weight: 650; letter-spacing: -0.01em; }
.nd .unit { font-size: 0.86em; color: var(--soft); font-weight: 400; }
.nd .cards { display: grid; gap: 0.75rem; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); }
.nd .card { border: 1px solid var(--nd-line); border-radius: 0.5rem; padding: 0.7rem 0.9rem; }
.nd .row { display: flex; justify-content: space-between; align-items: baseline; gap: 0.75rem; }
.nd .notes { margin: 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: 0.35rem 1.1rem;
             font-size: 0.88em; }
.nd .notes b { font-weight: 600; }
.nd table { border-collapse: collapse; width: 100%; }
.nd th { font-weight: 500; font-size: 0.82em; color: var(--soft); text-align: right; padding: 0.2rem 0.7rem;
         border-bottom: 1px solid var(--nd-line); white-space: nowrap; }
.nd td { text-align: right; padding: 0.22rem 0.7rem; border-bottom: 1px solid var(--nd-line); }
.nd th.left, .nd td.left { text-align: left; }
.nd .scroll { max-height: 34rem; overflow: auto; border: 1px solid var(--nd-line); border-radius: 0.5rem; }
.nd .code { font-size: 0.8rem; } .nd .code td { border: 0; padding: 0 0.6rem; }
.nd .code th { position: sticky; top: 0; background: light-dark(#f4f5f7, #1b2129); }
.nd .code td.src { text-align: left; white-space: pre; width: 100%;
                   font-family: "Source Code Pro", ui-monospace, monospace; }
.nd .code td.line { color: var(--soft); user-select: none; }
.nd .bar { position: relative; height: 0.5rem; border-radius: 0.25rem; background: var(--nd-line); margin: 0.35rem 0; }
.nd .bar i { position: absolute; top: 0; bottom: 0; border-radius: 0.25rem; }
.nd .dot { display: inline-block; width: 0.7em; height: 0.7em; border-radius: 0.2em; margin-right: 0.35em; }
</style>
"""


def sheet() -> None:
    """Put the style sheet on the page."""
    st.html(SHEET)


def engine_colour(engine: str) -> str:
    """The colour of an engine or of a DMA queue."""
    return ENGINE_COLOURS.get(engine, UNKNOWN_ENGINE)


def faded(colour: str, opacity: float) -> str:
    """A "#rrggbb" colour with an opacity, for the background to show through."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"


def figure(height: int, **layout: object) -> go.Figure:
    """An empty figure in the house style; text and paper follow the page's light or dark theme."""
    made = go.Figure()
    made.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8, "pad": 4},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": 13},
        hoverlabel={"align": "left"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "xanchor": "left", "x": 0, "title": None},
        bargap=0.28,
    )
    made.update_xaxes(
        automargin=True, gridcolor=GRID, zeroline=False, title_font={"size": 12}, fixedrange=True
    )
    made.update_yaxes(
        automargin=True, gridcolor=GRID, zeroline=False, title_font={"size": 12}, fixedrange=True
    )
    made.update_layout(**layout)
    return made


def draw(drawn: go.Figure, alt: str, key: str) -> None:
    """Put a figure on the page with a name for those who cannot see it."""
    st.plotly_chart(drawn, config=PLOT_CONFIG, alt=alt, key=key)


def verdict_colour(verdict: object) -> str:
    """CSS for a verdict as `words.verdict` prints it, for cells of a data frame."""
    tones = {"faster": BETTER, "better": BETTER, "slower": WORSE, "worse": WORSE}
    return next(
        (f"color: {colour}" for word, colour in tones.items() if str(verdict).endswith(word)),
        f"color: {UNSURE}",
    )
