"""Every slot beside its floor, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from analysis.floors import Floor, PhaseFloor
from app import words

STEP = "Of one decode step, one prompt of prefill, or one generated token of the host."
FLOOR = "Distinct bytes over HBM's bandwidth or matmuls over the tensor engines' peak, whichever is more."
UNIT = {"decode": "a decode step", "prefill": "a prompt", "host": "a token"}


def frame(found: Sequence[Floor]) -> pd.DataFrame:
    """Every slot in the order of execution."""
    return pd.DataFrame([_row(each) for each in found])


def _row(each: Floor) -> dict[str, Any]:
    return {
        "phase": each.phase,
        "slot": each.slot,
        "variant": each.variant,
        "time": _us(each.time.value),
        "low": _us(each.time.low),
        "high": _us(each.time.high),
        "floor": _us(each.floor_ns),
        "bound": each.bound or None,
        "gap": _us(each.gap_ns),
        "provenance": each.time.provenance.label,
        "held up by": each.held_up.removeprefix("Held up by ") or None,
        "how": each.basis,
    }


def _us(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e3


def columns() -> dict[str, Any]:
    """Titles with units, and how each number is computed."""
    helps = {"time": STEP, "low": STEP, "high": STEP, "floor": FLOOR, "gap": "The time less the floor."}
    return {
        "slot": st.column_config.TextColumn("slot", pinned=True),
        **{
            name: st.column_config.NumberColumn(f"{name}, µs", format="%.3g", help=text)
            for name, text in helps.items()
        },
        "how": st.column_config.TextColumn("how floor or time was made", width="large"),
    }


def sentence(each: PhaseFloor) -> str:
    """A phase in one line: its time, its kernels', their floors, and the gap."""
    whole = f"{each.phase}, {UNIT.get(each.phase, 'a launch')}: {words.time(each.time.value)}"
    if each.floor_ns is None:
        return f"{whole}, no kernel's."
    return (
        f"{whole}; its kernels {words.time(each.bounded_ns)}, their floors {words.time(each.floor_ns)}, "
        f"the gap {words.time(each.gap_ns)}."
    )
