"""Which kernel do I rewrite next?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from analysis.rank import Opportunity, Range, Ranking
from analysis.roofline import bounds, roofline_point
from analysis.score import FORMULAS, Formula
from app import pieces, query, selection, style, words
from app.charts.roofline import Bubble, roofline
from app.selection import View

GAIN = "Low to high of what the rules and the roofline allow a rewrite to save; the mark is expected."


def card(place: int, each: Opportunity) -> str:
    """One opportunity: what it is, what it could win, what limits it, what says so."""
    unit = words.time_unit(each.gain_ns.high)
    covers = (
        f" (with {', '.join(slot for slot in each.covers if slot != each.slot)})"
        if len(each.covers) > 1
        else ""
    )
    return pieces.card(
        pieces.row(
            f"{pieces.soft(f'{place}.')} <b>{pieces.tip(each.slot, ' + '.join(each.covers))}</b>{pieces.soft(covers)}",
            pieces.soft(f"{each.phase} · {each.variant}"),
        ),
        f"{pieces.figure(words.number(words.in_unit(each.gain_ns.expected, unit)), f'{unit} over the run', GAIN)} {pieces.word(each.provenance)}",
        pieces.span_bar(
            each.gain_ns.low,
            each.gain_ns.expected,
            each.gain_ns.high,
            each.total_ns,
            f"{GAIN} The bar is all of this kernel's time, {words.time(each.total_ns)}.",
        ),
        pieces.row(
            pieces.soft(f"{_range(each.gain_ns, unit)} {unit}"),
            pieces.soft(f"of {words.time(each.total_ns)}, {words.percent(each.share)} of the run"),
        ),
        *_per_token(each),
        *_points(each),
        f'<div style="margin-top:.45rem">{pieces.tip(_sentence(each.why), _because(each))}</div>',
        pieces.soft(f"Bound: {each.bound}" if each.bound else "No bound is known."),
        f"<div>{pieces.soft(_sentence(each.advice))}</div>" if each.advice else "",
    )


def _per_token(each: Opportunity) -> list[str]:
    gain = each.gain_ns_per_token
    if gain is None:
        return []
    return [
        pieces.row(
            pieces.tip(
                f"{words.number(words.in_unit(gain.expected, 'ms'))} ms/token",
                "The gain over the run over its decode steps.",
            ),
            pieces.soft(_range(gain, "ms")),
        )
    ]


def _points(each: Opportunity) -> list[str]:
    gain = each.gain_points
    if gain is None:
        return []
    how = "Points at the run's time less the gain, less its points now."
    return [
        pieces.row(
            pieces.tip(f"{words.signed(gain.expected)} points", how),
            pieces.soft(words.between(gain.low, gain.high, sign=True)),
        )
    ]


def _range(gain: Range, unit: words.TimeUnit) -> str:
    return words.between(words.in_unit(gain.low, unit), words.in_unit(gain.high, unit))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') or not text else '.'}"


def _because(each: Opportunity) -> str:
    return "; ".join(f"{finding.title}: {finding.evidence}" for finding in each.findings) or "no rule fired"


def ranking_frame(found: Sequence[Opportunity]) -> pd.DataFrame:
    """The whole ranking, largest expected gain first."""
    return pd.DataFrame([_row(place, each) for place, each in enumerate(found, 1)])


def _row(place: int, each: Opportunity) -> dict[str, Any]:
    ends = {
        f"gain {name}": words.in_unit(getattr(each.gain_ns, name), "ms")
        for name in ("low", "expected", "high")
    }
    token = each.gain_ns_per_token
    return {
        "#": place,
        "slot": each.slot,
        "phase": each.phase,
        "variant": each.variant if each.is_kernel else "not a kernel",
        "time": words.in_unit(each.total_ns, "ms"),
        "share": each.share,
        **ends,
        "per token": words.in_unit(token.expected, "ms") if token else None,
        "points": each.gain_points.expected if each.gain_points else None,
        "bound": each.bound.partition(":")[0],
        "why": each.why,
        "provenance": each.provenance,
    }


def ranking_columns() -> dict[str, Any]:
    """Titles with units, and how each number is computed."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    return {
        "slot": text("slot", pinned=True),
        "time": number("time, ms/run", format="%.3g", help="Σ count × time of the launches."),
        "share": number("share", format="percent", help="Of the end-to-end time."),
        "gain low": number("low, ms", format="%.3g", help=GAIN),
        "gain expected": number("expected, ms", format="%.3g", help=GAIN),
        "gain high": number("high, ms", format="%.3g", help=GAIN),
        "per token": number("ms/token", format="%.3g", help="Expected gain over the decode steps."),
        "points": number("points", format="%.3g", help="Expected gain in points."),
        "why": text("evidence", width="large"),
    }


def bubbles(view: View) -> list[Bubble]:
    """Every profiled launch of the run on the roofline."""
    machine = query.facts(view.run.target)
    if machine is None:
        return []
    whole = query.summed(view.path, view.run, view.run.run_id)
    shares = {(part.phase, part.slot): part.share for part in whole.waterfall}
    found: list[Bubble] = []
    for launch in view.run.launches:
        profile = view.run.profiles.get(launch.profile_id or "")
        point = roofline_point(profile, machine) if profile else None
        if profile and point:
            share = shares.get((launch.phase, launch.slot), 0.0)
            found.append(Bubble(launch.slot, launch.phase, share, point, bounds(profile, machine).attained))
    return found


def answer(ranking: Ranking) -> None:
    """The first three kernels, or why there are none."""
    kernels = [each for each in ranking.opportunities if each.is_kernel][:3]
    if not kernels:
        st.info(
            _sentence(ranking.reason or "no kernel has a gain worth half a percent of the run"),
            icon=":material/info:",
        )
        return
    pieces.show(pieces.cards(card(place, each) for place, each in enumerate(kernels, 1)))
    with st.container(horizontal=True):
        for each in kernels:
            where = {"run": view.run.run_id, "kernel": f"{each.phase}/{each.slot}/{each.variant}"}
            if view.base:
                where["base"] = view.base.run_id
            st.page_link(
                "app_pages/kernel.py",
                label=f"Why {each.slot} is slow",
                icon=":material/memory:",
                query_params=where,
            )


def whole(ranking: Ranking) -> None:
    """The whole ranking and the roofline."""
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.markdown("##### The whole ranking")
        st.dataframe(
            ranking_frame(ranking.opportunities),
            column_config=ranking_columns(),
            hide_index=True,
            alt="Kernels by expected gain",
        )
        st.caption(
            f"{ranking.dropped} more could win less than half a percent of the run each. {_sentence(ranking.reason)}"
        )
        silent = [(each.slot, one) for each in ranking.opportunities for one in each.cannot_tell]
        if silent:
            with st.expander(f"{len(silent)} times a rule could not tell"):
                pieces.show(
                    pieces.table(
                        [("slot", ""), ("rule", ""), ("why not", "")],
                        [
                            [pieces.plain(text) for text in (slot, one.rule, one.reason)]
                            for slot, one in silent
                        ],
                        left=3,
                    )
                )
    with right:
        st.markdown("##### Roofline")
        drawn = bubbles(view)
        if drawn:
            style.draw(roofline(drawn), alt="Kernels under the memory and tensor ceilings", key="roofline")
            st.caption(
                "Size is the share of the run's time. Peaks are bfloat16 and HBM of the cores a launch uses."
            )
        else:
            st.caption(
                "No launch says its MACs, its HBM bytes and its time on a machine with a table of constants."
            )


view = selection.pick()
formula: Formula = st.session_state.get("formula") or "final"
ranking = query.ranked(view.path, view.version, view.run.run_id, formula)
answer(ranking)
whole(ranking)
st.segmented_control(
    "Points by", list(FORMULAS), default="final", required=True, key="formula", bind="query-params"
)
st.caption(FORMULAS[formula])
