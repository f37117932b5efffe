"""Numbers and verdicts as people read them: three significant digits, units apart, missing is a dash."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

from analysis.statistics import Verdict

MISSING = "–"
MINUS = "−"

TimeUnit = Literal["ns", "µs", "ms", "s"]
NS_PER: Mapping[TimeUnit, float] = {"ns": 1.0, "µs": 1e3, "ms": 1e6, "s": 1e9}

# A verdict is never told by colour alone: each has its mark and its word.
MARKS: Mapping[Verdict, str] = {"faster": "▲", "slower": "▼", "no change": "=", "cannot tell": "?"}
TONES: Mapping[Verdict, str] = {
    "faster": "better",
    "slower": "worse",
    "no change": "unsure",
    "cannot tell": "unsure",
}


def number(value: float | None) -> str:
    """Three significant digits with thousands separators; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    decimals = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}".replace("-", MINUS)


def signed(value: float | None) -> str:
    """The number with its sign always printed, zero without one."""
    text = number(value)
    return f"+{text}" if value is not None and value > 0 and text != MISSING else text


def percent(fraction: float | None, *, sign: bool = False) -> str:
    """A fraction as a percentage of three significant digits at most, no decimals from 10 % on."""
    if fraction is None or math.isnan(fraction):
        return MISSING
    hundred = 100 * fraction
    text = f"{hundred:+.0f}" if abs(hundred) >= 9.95 else f"{hundred:+.1f}"
    text = text if sign else text.lstrip("+")
    return f"{text.replace('-', MINUS)} %"


def hundred(fraction: float | None) -> float | None:
    """A fraction as a number of percent, for columns whose unit is %."""
    return None if fraction is None else 100 * fraction


def between(low: float | None, high: float | None, *, sign: bool = False) -> str:
    """An interval, or nothing where nobody earned one."""
    if low is None or high is None:
        return ""
    show = signed if sign else number
    return f"{show(low)} … {show(high)}"


def in_unit(ns: float | None, unit: TimeUnit) -> float | None:
    """Nanoseconds in another unit of time."""
    return None if ns is None else ns / NS_PER[unit]


def time_unit(ns: float) -> TimeUnit:
    """The unit in which a time has one to three digits before the point."""
    return next((unit for unit in ("s", "ms", "µs") if abs(ns) >= NS_PER[unit]), "ns")


def time(ns: float | None) -> str:
    """A time with its own unit, "12.3 µs"; a dash for None."""
    if ns is None or math.isnan(ns):
        return MISSING
    unit = time_unit(ns)
    return f"{number(ns / NS_PER[unit])} {unit}"


def size(count: float | None) -> str:
    """Bytes with a binary unit, "1.50 MiB"."""
    if count is None:
        return MISSING
    step = min(int(math.log2(count) // 10), 4) if count >= 1 else 0
    return f"{number(count / 1024**step)} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[step]}"


def micro(text: str) -> str:
    """A sentence of `analysis` with its microseconds as this dashboard writes them."""
    return re.sub(r"(?<=\d) us\b", " µs", text)


def verdict(of: Verdict, unit: str = "") -> str:
    """A verdict with its mark. Points and rates are not "faster" but better."""
    word: str = of
    if unit == "points":
        word = {"faster": "better", "slower": "worse"}.get(of, of)
    return f"{MARKS[of]} {word}"
