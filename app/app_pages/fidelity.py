"""How true are the simulated times?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import streamlit as st

from app import pieces, query, style, words
from app.charts.fidelity import fidelity
from collectors.errors import CollectorError
from collectors.store.door import Store
from collectors.store.fidelity import latest_fidelity

Report = Mapping[str, Any]
COMMAND = "collectors fidelity"
GROUPS = (
    ("held out", "predicted, held out", "Kernels on which neither constants nor intervals rest."),
    ("validation", "predicted, no constant fitted to them", "Kernels whose times the model never saw."),
    ("fitted", "predicted, fitted to them", "The quality of a fit, not of a prediction."),
    ("stream", "streams replayed, fitted", "The compiler's own order, so only costs and waiting are judged."),
)
LEFT_OUT = (
    (
        "refitted_mape",
        "leave one family out",
        "Each family predicted by constants derived without its measurements.",
    ),
    (
        "held_out_mape",
        "leave one family out, scaled",
        "Each family scaled by what the others missed on average; constants are not derived again.",
    ),
)
SIMULATED = "estimated: mean absolute relative error of simulated against published measured times"


def report() -> Report:
    """The last stored report; stops the page with a way out where there is none."""
    try:
        found = latest_fidelity(Store(query.database()))
    except CollectorError as error:
        st.error(query.explain(error), icon=":material/database_off:")
        st.stop()
    if found is None:
        st.markdown(f"#### No fidelity report yet\n`{COMMAND}` predicts kernels whose times were measured:")
        st.code(COMMAND, language="bash")
        st.stop()
    return found


def answer(result: Report) -> None:
    """Mean errors, of what the model never saw first."""
    overall = result["overall"]
    cards = [_card(overall[name], title, how) for name, title, how in GROUPS if name in overall]
    for name, title, how in [each for each in LEFT_OUT if result.get(each[0]) is not None][:1]:
        figure = pieces.figure(words.percent(result[name]), "mean error", how)
        cards.append(pieces.card(figure, pieces.soft(title)))
    pieces.show(pieces.cards(cards))


def _card(scores: Report, title: str, how: str) -> str:
    inside = scores["inside"]
    told = "" if inside is None else f", {words.percent(inside)} of measured times in their interval"
    return pieces.card(
        pieces.figure(words.percent(scores["mape"]), "mean error", f"{SIMULATED}. {how}"),
        pieces.soft(f"{scores['count']} {title}"),
        pieces.soft(f"worst {words.percent(scores['worst'])}{told}"),
    )


def kernels(rows: Sequence[Report]) -> pd.DataFrame:
    """A row a measured kernel, times in µs and errors in percent."""
    return pd.DataFrame(
        {
            "family": row["family"],
            "kernel": row["name"],
            "problem": row["problem"],
            "measured by": row["method"],
            "kind": row["role"],
            "measured, µs": row["measured_ns"] / 1e3,
            "list, µs": words.in_unit(row["list_ns"], "µs"),
            "as written, µs": row["as_written_ns"] / 1e3,
            "list error, %": words.hundred(row["list_error"]),
            "as written error, %": words.hundred(row["as_written_error"]),
            "low, µs": words.in_unit(row["low_ns"], "µs"),
            "high, µs": words.in_unit(row["high_ns"], "µs"),
            "inside": {None: None, True: "yes", False: "no"}[row["inside"]],
        }
        for row in rows
    )


def details(rows: Sequence[Report]) -> pd.DataFrame:
    """A row a figure besides the time: active fractions in percent, HBM bytes, DMA packets by class."""
    kinds = (("active", "active, %", 100), ("hbm_bytes", "HBM bytes", 1), ("packets", "DMA packets", 1))
    return pd.DataFrame(
        {
            "kernel": row["name"],
            "problem": row["problem"],
            "figure": title,
            "of": name,
            "predicted": scale * pair["predicted"],
            "measured": scale * pair["measured"],
        }
        for row in rows
        for key, title, scale in kinds
        for name, pair in row.get(key, {}).items()
    )


def families(each: Sequence[Report]) -> pd.DataFrame:
    """A row a family; Kendall's tau of 1 means the fastest variant is also predicted fastest, and so on."""
    return pd.DataFrame(
        {
            "family": of["name"],
            "rows": of["scores"]["count"],
            "MAPE, %": words.hundred(of["scores"]["mape"]),
            "worst, %": words.hundred(of["scores"]["worst"]),
            "Kendall": of["kendall"],
            "Kendall of variants": of["variants_kendall"],
            "scaled MAPE, %": words.hundred(of["held_out_mape"]),
            "left out MAPE, %": words.hundred(of.get("refitted_mape")),
            "active fractions, points": of["scores"]["active_points"],
        }
        for of in each
    )


def reaches(each: Sequence[Report]) -> pd.DataFrame:
    """A row a kind of kernel: how far measured times lie from predicted ones."""
    return pd.DataFrame(
        {
            "bound by": of["bound"],
            "kernels of the kind": of["count"],
            "families": of["families"],
            "90 % within ±, %": words.hundred(of["share"]),
            "left-out families inside, %": words.hundred(of["covered"]),
            "taken from": "all kernels" if of["pooled"] else "its kind",
        }
        for of in each
    )


def constants(each: Sequence[Report]) -> pd.DataFrame:
    """A row a fitted constant: the machine table's figure beside what its measurements give again."""
    return pd.DataFrame(
        {
            "constant": of["constant"],
            "unit": of["unit"],
            "table": of["table"],
            "derived": of["value"],
            "statistic": of["statistic"],
            "samples": of["count"],
            "p10": of["low"],
            "p90": of["high"],
            "agrees": "yes" if of["agrees"] else "no",
            "measured of": of["family"],
            "how": of["how"],
        }
        for of in each
    )


def table(frame: pd.DataFrame, key: str) -> None:
    """A table whose numbers have three significant digits."""
    numbers = {
        name: st.column_config.NumberColumn(name, format="%.4g" if "µs" in name else "%.3g")
        for name in frame.select_dtypes("number")
    }
    st.dataframe(frame, column_config=numbers, hide_index=True, placeholder=words.MISSING, key=key)


def provenance(found: Report) -> None:
    """When, with which machine table, and what of it was fitted."""
    when = datetime.fromisoformat(found["created_at"])
    lines = [f"{when:%d %b %Y %H:%M} UTC, simulator `{found['simulator'][7:19]}`"]
    for target, facts in found["machines"].items():
        kinds = ", ".join(f"{len(names)} {kind}" for kind, names in facts["constants"].items())
        lines.append(f"machine table {target} `{facts['sha256'][:12]}`: {kinds} constants")
    for method, each in found["around"].items():
        lines.append(f"times by {method} contain {each['ns'] / 1e3:g} µs beside a kernel ({each['kind']})")
    st.caption("  \n".join(lines))
    fitted = {name for facts in found["machines"].values() for name in facts["constants"].get("fitted", ())}
    if fitted:
        with st.expander(f"The {len(fitted)} fitted constants"):
            st.text(", ".join(sorted(fitted)))


style.sheet()
shown = report()
outcome = shown["result"]
if outcome["rows"]:
    answer(outcome)
    style.draw(fidelity(outcome["rows"]), "Predicted against measured times", "fidelity_chart")
    st.caption("Hollow points: constants of the machine were fitted to this kernel. Band: ±25 %.")
    table(kernels(outcome["rows"]), "fidelity_rows")
    table(families(outcome["families"]), "fidelity_families")
    if outcome.get("reaches"):
        st.caption("What an interval is made of: the half-width each kind of kernel has earned.")
        table(reaches(outcome["reaches"]), "fidelity_reaches")
    if not (figures := details(outcome["rows"])).empty:
        with st.expander("Active fractions, HBM bytes and DMA packets, predicted beside measured"):
            table(figures, "fidelity_details")
if shown.get("refit"):
    with st.expander("The fitted constants, derived again"):
        table(constants(shown["refit"]), "fidelity_refit")
if outcome["skipped"]:
    with st.expander(f"{len(outcome['skipped'])} measured rows were skipped"):
        columns = ["family", "name", "problem", "reason"]
        st.dataframe(pd.DataFrame(outcome["skipped"])[columns], hide_index=True, key="fidelity_skipped")
provenance(shown)
