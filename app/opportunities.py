"""What a rewrite could win: opportunities as cards and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from analysis.ideal import told
from analysis.rank import Opportunity, Range
from app import pieces, words

GAIN = "From low to high what the rules and the roofline let a rewrite save; the mark is expected."
HELD = "What a launch would save were each to take no time, as the simulator schedules it again."
POINTS = "Points at the run's time less the gain, less its points now."
TOKEN = "The gain over the run, over its decode steps."  # noqa: S105 (a token of text)


def card(place: int, each: Opportunity) -> str:
    """One opportunity: what it is, what it could win, what limits it, what says so."""
    unit = words.time_unit(each.gain_ns.high)
    expected = words.number(words.in_unit(each.gain_ns.expected, unit))
    whole = f"{GAIN} The bar is all of its time over the run, {words.time(each.total_ns)}."
    gain = each.gain_ns
    return pieces.card(
        pieces.row(
            f"{pieces.soft(f'{place}')} <b>{pieces.tip(each.slot, 'fills ' + ' + '.join(each.covers))}</b>",
            pieces.soft(f"{each.phase} · {each.variant}"),
        ),
        pieces.row(
            " ".join(
                (
                    pieces.figure(words.MINUS + expected, f"{unit} of the run", GAIN),
                    pieces.word(each.provenance),
                )
            ),
            pieces.soft(_spread(gain, unit)),
        ),
        pieces.span_bar(gain.low, gain.expected, gain.high, each.total_ns, whole),
        pieces.soft(f"of {words.time(each.total_ns)}, {words.percent(each.share)} of the run"),
        *_lines(each),
        pieces.block(pieces.tip(words.micro(f"{each.why}."), words.micro(_because(each)))),
        pieces.block(pieces.tip(f"{held}.", HELD, "soft")) if (held := told(each.costs)) else "",
        pieces.block(pieces.soft(f"Bound, {each.bound}." if each.bound else "No bound is known.")),
        pieces.block(pieces.soft(each.advice)) if each.advice else "",
    )


def _lines(each: Opportunity) -> list[str]:
    found = []
    if each.gain_ns_per_token:
        token = words.number(words.in_unit(each.gain_ns_per_token.expected, "ms"))
        said = pieces.tip(f"{words.MINUS}{token} ms/token", TOKEN)
        found.append(pieces.row(said, pieces.soft(_ends(each.gain_ns_per_token))))
    if each.gain_points:
        said = pieces.tip(f"{words.signed(each.gain_points.expected)} points", POINTS)
        spread = words.between(each.gain_points.low, each.gain_points.high)
        found.append(pieces.row(said, pieces.soft(spread)))
    return found


def _ends(gain: Range) -> str:
    return words.between(words.in_unit(gain.low, "ms"), words.in_unit(gain.high, "ms"))


def _spread(gain: Range, unit: words.TimeUnit) -> str:
    low, expected, high = (
        words.number(words.in_unit(end, unit)) for end in (gain.low, gain.expected, gain.high)
    )
    return f"low {low} · expected {expected} · high {high}"


def _because(each: Opportunity) -> str:
    said = [f"{finding.title}: {finding.evidence}" for finding in each.findings]
    return "; ".join(said) or "no rule fired"


def frame(found: Sequence[Opportunity]) -> pd.DataFrame:
    """The whole ranking, largest expected gain first."""
    return pd.DataFrame([_row(place, each) for place, each in enumerate(found, 1)])


def _row(place: int, each: Opportunity) -> dict[str, Any]:
    token, points = each.gain_ns_per_token, each.gain_points
    return {
        "place": place,
        "slot": each.slot,
        "phase": each.phase,
        "variant": each.variant if each.is_kernel else "not a kernel",
        "time": words.in_unit(each.total_ns, "ms"),
        "share": words.hundred(each.share),
        "low": words.in_unit(each.gain_ns.low, "ms"),
        "expected": words.in_unit(each.gain_ns.expected, "ms"),
        "high": words.in_unit(each.gain_ns.high, "ms"),
        "ms/token": words.in_unit(token.expected, "ms") if token else None,
        "points": points.expected if points else None,
        "bound": each.bound.partition(":")[0] or None,
        "evidence": words.micro(each.why),
        "provenance": each.provenance,
    }


def columns() -> dict[str, Any]:
    """Titles with units, and how each number is computed."""
    text = st.column_config.TextColumn

    def three(title: str, how: str) -> Any:
        return st.column_config.NumberColumn(title, format="%.3g", help=how)

    return {
        "place": st.column_config.NumberColumn("", pinned=True, width=40),
        "slot": text("slot", pinned=True),
        "time": three("time, ms", "Σ count × time of the launches, over the run."),
        "share": three("share, %", "Of the end-to-end time."),
        **{name: three(f"{name}, ms", GAIN) for name in ("low", "expected", "high")},
        "ms/token": three("ms/token", f"Expected. {TOKEN}"),
        "points": three("points", f"Expected. {POINTS}"),
        "evidence": text("evidence", width="large"),
    }
