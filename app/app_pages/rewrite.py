"""Which kernel do I rewrite next?"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analysis.estimate import part
from analysis.floors import by_phase, floors
from analysis.rank import Opportunity, Ranking
from analysis.roofline import bounds, roofline_point
from analysis.score import FORMULAS
from app import floors as floor_table
from app import opportunities, pieces, query, selection, style, words
from app.charts.roofline import Bubble, roofline
from app.selection import View

FIRST = 3


def answer(ranking: Ranking, view: View) -> None:
    """The first three kernels, or why there are none; and what is larger than any kernel."""
    kernels = [each for each in ranking.opportunities if each.is_kernel][:FIRST]
    if not kernels:
        reason = ranking.reason or "no kernel could win half a percent of the run"
        st.info(reason, icon=":material/info:")
        return
    pieces.show(pieces.cards(opportunities.card(place, each) for place, each in enumerate(kernels, 1)))
    with st.container(horizontal=True, vertical_alignment="center"):
        for each in kernels:
            st.page_link(
                "app_pages/kernel.py",
                label=f"Why {each.slot} is slow",
                icon=":material/memory:",
                query_params=selection.address(view, kernel=f"{each.phase}/{each.slot}/{each.variant}"),
            )
        pieces.show(larger(ranking.opportunities, kernels[0]))


def larger(found: Sequence[Opportunity], kernel: Opportunity) -> str:
    """What stands before the first kernel in the ranking and is no kernel: host time, say."""
    before = [each for each in found[: found.index(kernel)] if not each.is_kernel]
    said = ", ".join(f"{each.slot} ({words.time(each.gain_ns.expected)} expected)" for each in before)
    return pieces.soft(f"Not kernels, but more to win: {said}." if said else "")


def whole(ranking: Ranking) -> None:
    """The whole ranking."""
    st.markdown("##### The whole ranking")
    st.dataframe(
        opportunities.frame(ranking.opportunities),
        column_config=opportunities.columns(),
        hide_index=True,
        placeholder=words.MISSING,
        key="ranking",
        alt="Kernels by expected gain",
    )
    dropped = f"{ranking.dropped} more could win less than half a percent of the run each. "
    st.caption(f"{dropped if ranking.dropped else ''}{ranking.reason}")
    silent = [(each.slot, one) for each in ranking.opportunities for one in each.cannot_tell]
    if silent:
        with st.expander(f"{len(silent)} times a rule could not tell"):
            rows = [[pieces.plain(text) for text in (slot, one.rule, one.reason)] for slot, one in silent]
            pieces.show(pieces.table([("slot", ""), ("rule", ""), ("why not", "")], rows, left=3))


def against_floors(view: View) -> None:
    """Every slot beside its floor, also those too small to rank."""
    rows = floors(view.run, query.facts(view.run.target))
    with st.expander("Every slot beside its floor"):
        st.dataframe(
            floor_table.frame(rows),
            column_config=floor_table.columns(),
            hide_index=True,
            placeholder=words.MISSING,
            key="floors",
            alt="Time, floor and gap of every slot",
        )
        st.caption(" ".join(floor_table.sentence(each) for each in by_phase(view.run, rows)))


def bubbles(view: View) -> list[Bubble]:
    """Every profiled launch of the run on the roofline."""
    machine = query.facts(view.run.target)
    if machine is None:
        return []
    whole = query.total_of(view.path, view.version, view.run)
    time = whole.e2e_ns or whole.kernel_ns
    found: list[Bubble] = []
    for launch in view.run.launches:
        profile = view.run.profiles.get(launch.profile_id or "")
        point = roofline_point(profile, machine) if profile else None
        if profile and point:
            attained = bounds(profile, machine).attained
            share = part(launch).value / time.value if time and time.value else 0.0
            name = f"{launch.slot} {launch.bucket}" if launch.bucket else launch.slot
            found.append(Bubble(name, launch.phase, share, point, attained))
    return found


def ceilings(view: View) -> None:
    """The roofline."""
    st.markdown("##### Roofline")
    drawn = bubbles(view)
    if not drawn:
        st.caption(
            "No launch says its MACs, its HBM bytes and its time on a machine whose constants are known."
        )
        return
    style.draw(roofline(drawn), alt="Kernels under the memory and the tensor ceiling", key="roofline")
    st.caption(
        "Size is the share of the run's time. Ceilings are bfloat16 and HBM of the cores a launch uses."
    )


view = selection.pick()
# The choice of formula stands last but is read first.
first, then, last = st.container(), st.container(), st.container()
with last:
    formula = selection.formula()
    st.caption(FORMULAS[formula])
ranking = query.ranked(view.path, view.version, view.run.run_id, formula)
with first:
    answer(ranking, view)
left, right = then.columns([3, 2], gap="medium")
with left:
    whole(ranking)
    against_floors(view)
with right:
    ceilings(view)
