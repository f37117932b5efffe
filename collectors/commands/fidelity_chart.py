"""Predicted against measured times as SVG: both axes logarithmic, the diagonal, and ±25 % around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from analysis.measured import Row

WIDTH, HEIGHT = 640, 520
LEFT, RIGHT, BOTTOM = 72, 16, 52
KEYS, KEY_HEIGHT = 3, 20
"""Families beside each other in the key, and the height of one line of them."""
BAND = 0.25
STEPS = (1, 2, 5)
COLOURS = (
    "#8467d7",
    "#1f9d78",
    "#c79a1b",
    "#cf6ba9",
    "#2f9fc0",
    "#8893a2",
    "#b5542d",
    "#3c6e71",
    "#4a5fc1",
    "#7a5c3e",
)
MARGIN = 1.6
"""How far the axes reach beyond the smallest and the largest time, as a factor."""


def svg(rows: Sequence[Row]) -> str:
    """A point a row, coloured by family; filled where no constant was fitted to the kernel."""
    times = [time / 1e3 for row in rows for time in (row.measured_ns, row.predicted_ns)] or [1.0, 1e3]
    low, high = math.log10(min(times) / MARGIN), math.log10(max(times) * MARGIN)
    families = list(dict.fromkeys(row.family for row in rows))
    top = KEY_HEIGHT * (1 + math.ceil(len(families) / KEYS))

    def x(us: float) -> float:
        return round(LEFT + (math.log10(us) - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(us: float) -> float:
        return round(HEIGHT - BOTTOM - (math.log10(us) - low) / (high - low) * (HEIGHT - top - BOTTOM), 1)

    ends = (10**low, 10**high)
    corners = [(end, end * side) for side in (1 - BAND, 1 + BAND) for end in ends]
    band = " ".join(f"{x(corners[at][0])},{y(corners[at][1])}" for at in (0, 1, 3, 2))
    decades = range(math.floor(low), math.ceil(high) + 1)
    ticks = [
        step * 10.0**power for power in decades for step in STEPS if low <= math.log10(step) + power <= high
    ]
    colour = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(families)}
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" font-family="system-ui, sans-serif" font-size="12" role="img" '
        'aria-label="Predicted against measured times">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<clipPath id="plot"><rect x="{LEFT}" y="{top}" width="{right - LEFT}" height="{bottom - top}"/>'
        "</clipPath>",
        *(_tick(x(tick), y(tick), (top, bottom), right, tick) for tick in ticks),
        f'<g clip-path="url(#plot)"><polygon points="{band}" fill="#808a96" fill-opacity="0.16"/>',
        f'<line x1="{x(ends[0])}" y1="{y(ends[0])}" x2="{x(ends[1])}" y2="{y(ends[1])}" stroke="#76808d"/>'
        "</g>",
        *(_point(x(row.measured_ns / 1e3), y(row.predicted_ns / 1e3), row, colour) for row in rows),
        *(_key(at, name, colour[name]) for at, name in enumerate(families)),
        _text((LEFT + right) / 2, HEIGHT - 12, "measured, µs (filled: no constant was fitted to it)"),
        f'<g transform="rotate(-90 18 {(top + bottom) / 2})">'
        + _text(18, (top + bottom) / 2, f"predicted, µs (band: ±{BAND:.0%})")
        + "</g>",
        "</svg>\n",
    ]
    return "\n".join(parts)


def html(drawn: str) -> str:
    """A page with the drawing; a point's name and numbers show under the pointer."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Fidelity of simulated times'
        f"</title></head><body>\n{drawn}</body></html>\n"
    )


def _tick(x: float, y: float, span: tuple[float, float], right: float, us: float) -> str:
    top, bottom = span
    lines = f'<path d="M{x} {top}V{bottom}M{LEFT} {y}H{right}" stroke="#808a96" stroke-opacity="0.25"/>'
    label = f"{us:,.0f}" if us >= 1 else f"{us:g}"
    return lines + _text(x, bottom + 18, label) + _text(LEFT - 8, y + 4, label, "end")


def _point(x: float, y: float, row: Row, colour: dict[str, str]) -> str:
    fill = colour[row.family] if row.role != "fitted" else "#ffffff"
    title = escape(
        f"{row.name}, {row.problem} ({row.role}): measured {row.measured_ns / 1e3:,.1f} µs, "
        f"predicted {row.predicted_ns / 1e3:,.1f} µs, {row.error:+.1%}"
    )
    return (
        f'<circle cx="{x}" cy="{y}" r="5" fill="{fill}" stroke="{colour[row.family]}" stroke-width="1.8">'
        f"<title>{title}</title></circle>"
    )


def _key(at: int, name: str, colour: str) -> str:
    x, y = LEFT + at % KEYS * 190, KEY_HEIGHT * (1 + at // KEYS)
    return f'<circle cx="{x + 6}" cy="{y}" r="5" fill="{colour}"/>' + _text(x + 16, y + 4, name, "start")


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="#3a424c">{escape(text)}</text>'
