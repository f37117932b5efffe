"""The run and its baseline: picked once at the top of every page, and kept in the URL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from analysis.score import FORMULAS, Formula
from app import query, style
from collectors.errors import CollectorError, RunNotFound
from collectors.records import Run

RUN, BASE, FORMULA = "run", "base", "formula"
DEFAULT_FORMULA: Formula = "final"
PARTS = ("window", "row")
REFRESH_S = 2.0

EMPTY = """
#### No runs yet
This page reads `{path}`. Fill it by profiling a prompt; without a Neuron device the kernels are simulated:
"""
FIRST_COMMANDS = """\
collectors profile --prompt 3 --kernels baseline --label baseline{db}
collectors baseline latest{db}
collectors profile --prompt 3 --kernels tuned --label tuned{db}
"""


@dataclass(frozen=True, slots=True)
class View:
    """What a page shows: the database as it is now, the run (B) and the run it is compared with (A)."""

    path: Path
    version: query.Version
    runs: tuple[Run, ...]
    run: Run
    base: Run | None
    baselines: frozenset[str]


def pick() -> View:
    """Draw the pickers and return what they pick; stops the page with a way out where there is nothing."""
    style.sheet()
    try:
        return _pick()
    except CollectorError as error:
        st.error(query.explain(error), icon=":material/database_off:")
        st.stop()


def choose(run: str | None = None, base: str | None = None) -> None:
    """Pick other runs from code; takes effect on the next run of the page."""
    for key, chosen in ((RUN, run), (BASE, base)):
        if chosen is not None:
            st.query_params[key] = chosen
    _forget()


def address(view: View, **more: str) -> dict[str, str]:
    """Query parameters for a link to another page that keeps the pick."""
    return {RUN: view.run.run_id} | ({BASE: view.base.run_id} if view.base else {}) | more


def name(run: Run, baselines: frozenset[str] = frozenset()) -> str:
    """A run in a picker: label, what it ran, where, when."""
    mark = " ⚑" if run.run_id in baselines else ""
    return f"{run.label}{mark} · {workload(run)} · {run.target} · {run.created_at:%d %b %H:%M}"


def workload(run: Run) -> str:
    """What a run executed: a prompt, with how many sequences if several, or the kernels it named."""
    if run.prompt is None:
        return " + ".join(run.kernels) or "imported"
    return f"prompt {run.prompt}" if run.batch == 1 else f"prompt {run.prompt} × {run.batch}"


def _pick() -> View:
    path = query.database()
    version = query.version(path)
    _watch(path, version)
    every = query.runs(path, version)
    known = {run.run_id: run for run in every}
    by_id = known | _trials_asked_for(path, known)
    if not by_id:
        _empty(path)
    baselines = query.baselines(path, version)
    run = by_id[_wanted(path, RUN, by_id) or next(iter(by_id))]
    _announce(every, run)
    base = _base(path, by_id, run, baselines)
    _pickers(tuple(by_id.values()), run, base, baselines)
    remember(**{BASE: base.run_id if base else None, RUN: run.run_id})
    return View(path, version, every, run, base, baselines)


def _trials_asked_for(path: Path, known: Mapping[str, Run]) -> dict[str, Run]:
    """Runs the URL names that lists leave out: trials of a search."""
    named = [found for key in (RUN, BASE) if (found := _wanted(path, key, known, quiet=True))]
    return {run_id: query.unlisted(path, run_id) for run_id in named if run_id not in known}


def _base(path: Path, by_id: Mapping[str, Run], run: Run, baselines: frozenset[str]) -> Run | None:
    """The baseline picked, else the one marked for the run's work.

    Where only the run was picked anew and it did other work than the baseline, its own baseline takes over.
    """
    own = query.baseline_of(run, by_id.values(), baselines)
    picked = by_id.get(_wanted(path, BASE, by_id) or "")
    before, stayed = (st.session_state.get(f"picked_{key}") for key in (RUN, BASE))
    is_left_over = before not in (None, run.run_id) and picked is not None and picked.run_id == stayed
    if picked is None or (is_left_over and own and not query.same_work(picked, run)):
        return own
    return picked


def _wanted(path: Path, key: str, known: Mapping[str, Run], *, quiet: bool = False) -> str | None:
    """The run id the URL names (by id, label or position), else the one picked on the page before."""
    wanted = asked(key)
    if not wanted or wanted in known:
        return wanted
    try:
        return query.resolve(path, wanted)
    except RunNotFound as error:
        if not quiet:
            said = f"The address asks for {key}={wanted}: {query.explain(error)}"
            st.warning(said, icon=":material/link_off:")
        return None


def _pickers(every: Sequence[Run], run: Run, base: Run | None, baselines: frozenset[str]) -> None:
    names = {each.run_id: name(each, baselines) for each in every}
    left, middle, right = st.columns([10, 1, 10], vertical_alignment="bottom", gap="small")
    with left:
        choice(BASE, "A, the baseline", names, base.run_id if base else None)
    with right:
        choice(RUN, "B, the run", names, run.run_id)
    middle.button(
        ":material/swap_horiz:",
        help="Swap A and B",
        type="tertiary",
        width="stretch",
        disabled=base is None,
        on_click=choose,
        args=(base.run_id if base else None, run.run_id),
        key="swap",
    )


def choice(key: str, label: str, names: Mapping[str, str], chosen: str | None) -> None:
    """A select box over the keys of `names`, whose pick lives in the URL under `key`."""
    st.session_state[f"pick_{key}"] = chosen
    st.selectbox(
        label,
        list(names),
        index=0 if chosen is not None else None,
        format_func=names.__getitem__,
        key=f"pick_{key}",
        on_change=_to_url,
        args=(key,),
    )


def remember(**choices: str | None) -> None:
    """Keep what is chosen for the next page, and put what is new of it in the URL at once."""
    known = {key: chosen for key, chosen in choices.items() if chosen is not None}
    st.session_state.update({f"picked_{key}": chosen for key, chosen in known.items()})
    if any(st.query_params.get(key) != chosen for key, chosen in known.items()):
        st.query_params.update(known)


def formula() -> Formula:
    """The choice between the challenge's two formulas for points, kept in the URL."""
    chosen = next((each for each in FORMULAS if each == asked(FORMULA)), DEFAULT_FORMULA)
    st.session_state[f"pick_{FORMULA}"] = chosen
    st.segmented_control(
        "Points by formula",
        list(FORMULAS),
        required=True,
        key=f"pick_{FORMULA}",
        on_change=_to_url,
        args=(FORMULA,),
        help="\n\n".join(f"{key}: {text}" for key, text in FORMULAS.items()),
    )
    if chosen != DEFAULT_FORMULA or FORMULA in st.query_params:
        remember(**{FORMULA: chosen})
    return chosen


def asked(key: str) -> str | None:
    """What the URL, or else the page before, says of a choice."""
    found: str | None = st.query_params.get(key) or st.session_state.get(f"picked_{key}")
    return found


def _to_url(key: str) -> None:
    st.query_params[key] = st.session_state[f"pick_{key}"]
    _forget()


def _forget() -> None:
    """Drop what the URL says of a part of the view before: a window of time, a row."""
    for key in PARTS:
        st.query_params.pop(key, None)


def _announce(every: Sequence[Run], run: Run) -> None:
    """Say so when a run arrived since this session last looked, and it is not the one shown."""
    if not every:
        return
    seen, newest = st.session_state.get("newest"), every[0]
    st.session_state["newest"] = newest.run_id
    if seen and seen != newest.run_id != run.run_id:
        st.toast(f"New run: {name(newest)}", icon=":material/fiber_new:")


def _empty(path: Path) -> None:
    db = "" if path == Path("runs.db").absolute() else f" --db {path}"
    st.markdown(EMPTY.format(path=path))
    st.code(FIRST_COMMANDS.format(db=db), language="bash")
    st.caption("This page shows them as soon as they are there.")
    st.stop()


@st.fragment(run_every=REFRESH_S)
def _watch(path: Path, seen: query.Version) -> None:
    if query.version(path) != seen:
        st.rerun()
