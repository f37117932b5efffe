"""The window of time a timeline shows, and the controls that move it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import words
from app.query import Span

# Nothing happens in less than a nanosecond.
SHORTEST_NS = 10.0
PARAMETER = "window"


@dataclass(frozen=True, slots=True)
class Window:
    """What is shown (`range`, ns) of what there is (`whole`). `key` names it among the page's widgets."""

    key: str
    range: Span
    whole: Span

    @property
    def chart(self) -> str:
        """The chart's key: a new one for each window, so that an old selection does not linger."""
        return f"{self.key}_{self.range[0]:.0f}_{self.range[1]:.0f}"

    def zoom(self) -> None:
        """Take the stretch selected on the chart as the new window."""
        selected: Any = st.session_state[self.chart]
        boxes = selected.selection.box
        if boxes:
            scale = words.NS_PER[words.time_unit(self.range[1])]
            start, end = sorted(float(edge) * scale for edge in boxes[0]["x"])
            show(fitted(start, max(end - start, SHORTEST_NS), self.whole))


def show(window: Span | None) -> None:
    """Put a window in the URL; None shows everything."""
    if window is None:
        st.query_params.pop(PARAMETER, None)
    else:
        st.query_params[PARAMETER] = f"{window[0]:.0f}-{window[1]:.0f}"


def asked(whole: Span) -> Span:
    """The window the URL asks for, inside the whole; the whole where it asks for none or for nonsense."""
    start, _, end = st.query_params.get(PARAMETER, "").partition("-")
    if not (start.isdigit() and end.isdigit()) or int(end) <= int(start):
        return whole
    return fitted(float(start), max(float(end) - float(start), SHORTEST_NS), whole)


def fitted(start: float, length: float, whole: Span) -> Span:
    """A window of that length near that start, inside the whole."""
    wide = min(length, whole[1] - whole[0])
    begin = min(max(start, whole[0]), whole[1] - wide)
    return begin, begin + wide


def controls(key: str, whole: Span, note: str = "") -> Window:
    """A title line with a note and buttons that move the window; returns the window to draw."""
    shown = asked(whole)
    start, length = shown[0], shown[1] - shown[0]
    moves = (
        ("Earlier", ":material/arrow_back:", fitted(start - length / 2, length, whole)),
        ("Later", ":material/arrow_forward:", fitted(start + length / 2, length, whole)),
        ("Zoom out", ":material/zoom_out:", fitted(start - length / 2, 2 * length, whole)),
        ("All", ":material/fit_width:", whole),
    )
    bar = st.container(horizontal=True, vertical_alignment="center", gap="small")
    bar.markdown("##### Timeline", width="content")
    for name, icon, window in moves:
        bar.button(
            icon,
            help=name,
            type="tertiary",
            key=f"{key}_{name}",
            disabled=window == shown,
            on_click=show,
            args=(None if window == whole else window,),
        )
    bar.caption(
        f"{words.time(length)} of {words.time(whole[1] - whole[0])}{note}. Drag over the chart to zoom."
    )
    return Window(key, shown, whole)
