"""Why is it slow?"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from analysis.ideal import costs
from analysis.launches import like, profiled
from analysis.source_files import short
from analysis.variants import fastest
from analysis.variants import variants as slot_variants
from app import launches, pieces, query, selection, source, style, words, zoom
from app.charts.costs import costs_chart
from app.charts.engines import where_time_goes
from app.charts.sizes import transfer_sizes
from app.charts.timeline import PIXELS, lanes_in, timeline
from app.selection import View
from collectors.records import Launch, Profile

LISTED = 500
INSTRUCTION_COLUMNS = {
    "pcore_idx": "core",
    "engine": "engine",
    "opcode": "opcode",
    "start_ts": "start, ns",
    "duration_ns": "duration, ns",
    "evt_wait_time_ns": "semaphore wait, ns",
    "dma_wait_time_ns": "DMA wait, ns",
    "nki_source_location": "source",
    "operands": "operands",
}


def picked(view: View) -> tuple[Launch, Profile]:
    """The launch the URL names, else the one that takes most of the run's time."""
    named = profiled(view.run)
    if not named:
        st.info("No launch of this run was profiled: its times are estimates.", icon=":material/info:")
        st.stop()
    asked = selection.asked("kernel")
    found = like(asked, named) if asked else None
    if asked and found is None:
        st.warning(
            f"{view.run.label} has no launch {asked}; here is its longest.", icon=":material/link_off:"
        )
    chosen = found or next(iter(named))
    labels = {key: launches.label(launch) for key, launch in named.items()}
    selection.choice("kernel", "Kernel", labels, chosen)
    selection.remember(kernel=chosen)
    launch = named[chosen]
    return launch, view.run.profiles[launch.profile_id or ""]


@st.fragment
def over_time(path: Path, profile: Profile) -> None:
    """Engines and queues over a window of time; dragging over a stretch zooms into it."""
    whole = query.extent(path, profile.profile_id)
    if whole is None:
        st.caption("The profile has no instruction or transfer rows to draw.")
        return
    window = zoom.controls(f"zoom_{profile.profile_id[:12]}", whole, launches.schedule(profile))
    lanes = lanes_in(query.lanes(path, profile.profile_id, *whole, PIXELS))
    shown = query.lanes(path, profile.profile_id, *window.range, PIXELS)
    st.plotly_chart(
        timeline(shown, lanes, *window.range),
        config=style.PLOT_CONFIG,
        key=window.chart,
        on_select=window.zoom,
        selection_mode="box",
        alt=f"Engines and DMA queues of {profile.kernel} over time",
    )
    rows(path, profile, window.range)


def rows(path: Path, profile: Profile, span: query.Span) -> None:
    """The instructions of the window, asked for only when somebody opens them."""
    fold = st.expander("Instructions in this window", on_change="rerun")
    if not fold.open:
        return
    with fold:
        found = query.instructions(path, profile.profile_id, *span, LISTED)
        kept = [name for name in INSTRUCTION_COLUMNS if found.column(name).null_count < found.num_rows]
        st.dataframe(
            found.select(kept),
            column_config={name: INSTRUCTION_COLUMNS[name] for name in kept},
            hide_index=True,
            placeholder=words.MISSING,
            alt="Instructions in the window, in order of start",
        )
        more = f"The first {LISTED}; zoom in for the others. " if found.num_rows == LISTED else ""
        st.caption(f"{more}All of them, for Perfetto: `collectors export RUN --format perfetto`.")


def lines(view: View, profile: Profile) -> None:
    """Source with a heat column."""
    st.markdown("##### Source")
    found = query.source_lines(view.path, profile.profile_id, profile.duration_ns)
    if found is None:
        st.caption(
            "The profile's instructions carry no source locations: set NKI_DEBUG_INFO=1 and "
            "NEURON_FRAMEWORK_DEBUG=1 before the kernel is compiled (`collectors profile` does)."
            if profile.provenance == "measured"
            else "The profile's instructions carry no source locations."
        )
        return
    names = source.files(found)
    file = names[0]
    if len(names) > 1:
        file = st.segmented_control(
            "File",
            names,
            default=file,
            required=True,
            format_func=lambda name: short(view.run, name),
            key=f"file_{profile.profile_id[:12]}",
            label_visibility="collapsed",
        )
    pieces.show(source.heat(found, file, view.run, profile.duration_ns))
    unplaced = f" {words.time(found.unplaced_ns)} carries no source location." if found.unplaced_ns else ""
    st.caption(f"Time is that of the busiest resource: {found.critical}.{unplaced}")


def sizes(view: View, profile: Profile) -> None:
    """Descriptor sizes against what the hardware does well with."""
    st.markdown("##### Transfer sizes")
    found = query.transfer_sizes(view.path, profile.profile_id)
    if not found.num_rows:
        st.caption("The profile has no transfers.")
        return
    drawn = transfer_sizes(found, query.facts(profile.target))
    style.draw(drawn, alt="Bytes moved by size of descriptor", key="sizes")
    if not profile.dma_transfers:
        st.caption("The profiler names no transfers here: every packet is one descriptor.")


def holding(profile: Profile) -> None:
    """What the launch would save were one resource ideal."""
    found = costs(profile)
    if not found:
        return
    st.markdown("##### What holds it up")
    style.draw(costs_chart(found), alt="Time the launch would save were a resource to take none", key="costs")
    st.caption(
        "Simulated: the same program, list-scheduled again with one resource taking no time. Two that hold "
        "it up together show little each."
    )


def variants(view: View, launch: Launch, profile: Profile) -> None:
    """Variants of the slot side by side."""
    st.markdown(f"##### Variants of {launch.slot}, {launch.phase}")
    shown = {run.run_id: run for run in (*view.runs, view.run, view.base or view.run)}
    found = slot_variants(shown.values(), launch, view.run.target)
    first, others = fastest(found, profile.profile_id)
    pieces.show(launches.side_by_side(first, profile.profile_id))
    if others:
        with st.expander(f"{len(others)} slower executions of the same variants"):
            pieces.show(launches.side_by_side(others, profile.profile_id))


view = selection.pick()
launch, profile = picked(view)
times = query.engine_times(view.path, profile.profile_id, profile.duration_ns)
pieces.show(pieces.lead(launches.answer(profile, times)))
left, right = st.columns([3, 2], gap="medium")
with left:
    if times:
        alt = "Each engine's time: working, issuing, waiting, idle"
        style.draw(where_time_goes(times, profile.duration_ns), alt=alt, key="where")
with right:
    pieces.show(launches.facts(launch, profile, query.facts(profile.target)))
    pieces.show(launches.cautions(profile, query.warnings(view.path, profile.profile_id)))
holding(profile)
over_time(view.path, profile)
left, right = st.columns([3, 2], gap="medium")
with left:
    lines(view, profile)
with right:
    sizes(view, profile)
variants(view, launch, profile)
