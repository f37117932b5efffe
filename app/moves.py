"""Headlines as cards, and rows of a comparison as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from analysis.compare import Comparison, Row
from analysis.headlines import Headline
from app import pieces, words

# The four headlines shown first are the first of these that the runs have.
ORDER = ("decode", "ttft", "kernel", "tokens_per_s", "points_final", "points_first", "e2e", "prefill")
SHOWN = 4


def headlines(comparison: Comparison) -> tuple[list[Headline], list[Headline]]:
    """The four numbers that say most of a pair of runs, and the others that have a value."""
    known = {
        each.key: each for each in comparison.headlines if each.base is not None or each.candidate is not None
    }
    first = [known.pop(key) for key in [key for key in ORDER if key in known][:SHOWN]]
    return first, list(known.values())


def card(each: Headline) -> str:
    """One number from A to B, its difference with interval, its verdict and provenance."""
    verdict = pieces.chip(each.judgement.verdict, each.judgement.reason, each.unit)
    unit = each.unit.replace("us", "µs")
    before = pieces.tip(words.number(each.base), f"A: {each.basis}", "unit")
    return pieces.card(
        pieces.row(pieces.soft(each.name), verdict),
        f"{before} → {pieces.figure(words.number(each.candidate), unit, f'B: {each.basis}')}",
        _change(each),
        _provenance(each),
    )


def _change(each: Headline) -> str:
    change = each.difference
    if change is None:
        return pieces.soft(each.judgement.reason)
    said = f"{words.signed(change.value)} ({words.percent(change.relative, sign=True)})"
    spread = words.between(change.low, change.high, sign=True)
    return f"{pieces.tip(said, change.basis)} {pieces.soft(spread or 'no interval')}"


def _provenance(each: Headline) -> str:
    a, b = each.provenance
    both = f"A: {a}; B: {b}"
    return pieces.tip(b if _kinds(a) == _kinds(b) else f"{a} → {b}", both, "word")


def _kinds(label: str) -> set[str]:
    return {part.split()[0] for part in label.split(", ") if part}


def frame(rows: Sequence[Row], unit: words.TimeUnit) -> pd.DataFrame:
    """Rows of one phase, times in `unit` per token (decode) or per request."""
    return pd.DataFrame([_row(row, unit) for row in rows])


def _row(row: Row, unit: words.TimeUnit) -> dict[str, Any]:
    change = row.difference
    low, high = (words.in_unit(end, unit) for end in (change.low, change.high))
    sides = [side for side in (row.base, row.candidate) if side]
    return {
        "slot": row.label,
        "A": words.in_unit(row.base.time_ns, unit) if row.base else None,
        "B": words.in_unit(row.candidate.time_ns, unit) if row.candidate else None,
        "moved": words.in_unit(change.value, unit),
        "interval": words.between(low, high, sign=True),
        "relative": words.hundred(change.relative),
        "verdict": words.verdict(row.judgement.verdict),
        "A variant": " + ".join(row.base.variants) if row.base else None,
        "B variant": " + ".join(row.candidate.variants) if row.candidate else None,
        "provenance": ", ".join(dict.fromkeys(side.provenance.label for side in sides)),
        "source": ", ".join(change.file for change in row.sources),
        "reason": row.judgement.reason,
    }


def columns(unit: str) -> dict[str, Any]:
    """Titles with units, and how each number is computed. `unit` is "µs per token", say."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    total = "Σ count × time of the slot's launches, per token (decode) or request."
    interval = (
        "From the launches' own bounds; what the simulator errs by is common to both sides and cancels."
    )
    return {
        "slot": text("slot", pinned=True),
        "A": number(f"A, {unit}", format="%.3g", help=total),
        "B": number(f"B, {unit}", format="%.3g", help=total),
        "moved": number("B − A", format="%+.3g", help=f"In {unit}; minus is less time."),
        "interval": text("interval of B − A", alignment="right", help=interval),
        "relative": number("B − A, %", format="%+.3g", help="The difference over A."),
        "source": text("changed source", help="Kernel files of the row whose text differs."),
        "reason": text("because", help="Why this verdict."),
    }


def both_sides(row: Row) -> str:
    """Bytes and executions of a row's two sides."""
    per = "per token" if row.phase == "decode" else "per request"
    how = "Σ count × bytes of the profiles"
    sides = (row.base, row.candidate)
    amounts = [
        [pieces.soft(name), *(words.size(getattr(side, key)) if side else words.MISSING for side in sides)]
        for name, key in (("bytes by DMA", "dma_bytes"), ("HBM bytes", "hbm_bytes"))
    ]
    counts = [f"{side.executions:,}" if side else words.MISSING for side in sides]
    head = [("", ""), (f"A, {per}", how), (f"B, {per}", how)]
    return pieces.table(head, [*amounts, [pieces.soft("launches in the run"), *counts]])
