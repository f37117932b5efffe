"""Small pieces of HTML in the house style. Every value is escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import streamlit as st

from analysis.statistics import Verdict
from app import words


def show(*pieces: str) -> None:
    """Put pieces on the page in the house style."""
    st.html(f'<div class="nd">{"".join(pieces)}</div>')


def tip(text: str, how: str, kind: str = "") -> str:
    """A text whose tooltip says how it was computed."""
    return f'<span class="{escape(kind)}" title="{escape(how)}">{escape(text)}</span>'


def word(text: str) -> str:
    """The small word of provenance beside a number."""
    return f'<span class="word">{escape(text)}</span>'


def soft(text: str) -> str:
    """Secondary text."""
    return f'<span class="soft">{escape(text)}</span>'


def figure(value: str, unit: str, how: str) -> str:
    """A headline number with its unit."""
    return f'{tip(value, how, "big")} <span class="unit">{escape(unit)}</span>'


def chip(verdict: Verdict, how: str, unit: str = "") -> str:
    """A verdict: mark, word and colour, and its reason as tooltip."""
    return tip(words.verdict(verdict, unit), how, f"chip {words.TONES[verdict]}")


def lead(inside: str) -> str:
    """The answer of a page, in a line."""
    return f'<div class="lead">{inside}</div>'


def block(*inside: str) -> str:
    """Pieces on a line of their own."""
    return f'<div class="block">{" ".join(inside)}</div>'


def row(left: str, right: str) -> str:
    """Two pieces at the two ends of a line."""
    return f'<div class="row"><span>{left}</span><span>{right}</span></div>'


def card(*lines: str) -> str:
    """A bordered card; each line is already HTML."""
    return f'<div class="card">{"".join(f"<div>{line}</div>" for line in lines)}</div>'


def cards(each: Iterable[str]) -> str:
    """Cards side by side, as many as fit."""
    return f'<div class="cards">{"".join(each)}</div>'


def notes(each: Iterable[str]) -> str:
    """Short notes side by side."""
    return f'<ul class="notes">{"".join(f"<li>{note}</li>" for note in each)}</ul>'


def span_bar(low: float, expected: float, high: float, whole: float, how: str) -> str:
    """A gain from low to high with a mark at the expected value, on a bar of `whole`."""
    if whole <= 0:
        return ""
    ends = [min(max(100 * value / whole, 0.0), 100.0) for value in (low, expected, high)]
    spread = f'<i class="spread" style="left:{ends[0]:.2f}%;width:{ends[2] - ends[0]:.2f}%"></i>'
    mark = f'<i style="left:calc({ends[1]:.2f}% - 2px);width:4px"></i>'
    return f'<div class="bar" title="{escape(how)}">{spread}{mark}</div>'


def table(
    head: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], left: int = 1, kind: str = ""
) -> str:
    """A table; `head` is (title, how it was computed), the first `left` columns are text, cells are HTML."""
    sides = ["left" if at < left else "" for at in range(len(head))]
    titles = "".join(
        f'<th class="{side}" title="{escape(how)}">{escape(title)}</th>'
        for side, (title, how) in zip(sides, head, strict=True)
    )
    body = "".join(f"<tr>{_cells(sides, cells)}</tr>" for cells in rows)
    return f'<table class="{escape(kind)}"><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>'


def _cells(sides: Sequence[str], cells: Sequence[str]) -> str:
    return "".join(f'<td class="{side}">{cell}</td>' for side, cell in zip(sides, cells, strict=True))


def plain(text: object) -> str:
    """Text for a cell."""
    return escape(str(text))
