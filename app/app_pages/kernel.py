"""Why is this kernel slow?"""

from __future__ import annotations

import streamlit as st

from analysis.roofline import bounds
from analysis.stalls import EngineTime
from app import pieces, query, selection, source, style, words
from app.charts.engines import where_time_goes
from app.charts.sizes import transfer_sizes
from app.charts.timeline import PIXELS, lanes_in, timeline
from app.selection import View
from collectors.records import Launch, Profile

BOUNDS_HELP = (
    "The least time the machine allows: bytes over HBM bandwidth, or MACs over the tensor engine's peak."
)


def profiled(view: View) -> dict[str, Launch]:
    """The run's launches that have a profile, by "phase/slot/variant", most time first."""
    found = [launch for launch in view.run.launches if launch.profile_id in view.run.profiles]
    found.sort(key=lambda launch: launch.count * launch.time_ns, reverse=True)
    named: dict[str, Launch] = {}
    for launch in found:
        name = f"{launch.phase}/{launch.slot}/{launch.variant}"
        named[f"{name}/{launch.bucket}" if name in named else name] = launch
    return named


def label(launch: Launch) -> str:
    """A launch in the picker."""
    bucket = f", bucket {launch.bucket}" if launch.bucket else ""
    return f"{launch.slot} · {launch.phase}{bucket} · {launch.variant} · {words.time(launch.time_ns)} × {launch.count:,}"


def picked(view: View) -> tuple[Launch, Profile]:
    """The launch the URL names, else the one that takes most of the run's time."""
    named = profiled(view)
    if not named:
        st.info("No launch of this run was profiled: its times are estimates.", icon=":material/info:")
        st.stop()
    asked = selection.asked("kernel")
    if asked and asked not in named:
        st.warning(
            f"This run has no launch {asked}; the one that takes most time is shown.",
            icon=":material/link_off:",
        )
    chosen = asked if asked in named else next(iter(named))
    selection.choice("kernel", "Kernel", {key: label(launch) for key, launch in named.items()}, chosen)
    launch = named[chosen]
    return launch, view.run.profiles[launch.profile_id or ""]


def answer(launch: Launch, profile: Profile, times: tuple[EngineTime, ...]) -> str:
    """The busiest engine and what it does with its time, in a sentence."""
    if not times:
        return pieces.soft("The profile has no instruction rows, so where its time goes is unknown.")
    busiest = max(times, key=lambda each: each.busy_ns)
    parts = {
        "working": busiest.working_ns,
        "waiting for data": busiest.waiting_data_ns,
        "waiting for an engine": busiest.waiting_engine_ns,
        "issuing": busiest.issuing_ns,
        "idle": busiest.idle_ns,
    }
    told = ", ".join(
        f"{name} {words.percent(ns / profile.duration_ns)}"
        for name, ns in sorted(parts.items(), key=lambda part: -part[1])
        if ns
    )
    return f"The busiest engine is <b>{pieces.plain(busiest.engine)}</b> of core {busiest.core}: {pieces.plain(told)}."


def facts(launch: Launch, profile: Profile, view: View) -> str:
    """The launch's numbers, each with how it was made."""
    machine = query.facts(profile.target)
    limits = bounds(profile, machine) if machine else None
    rows = [
        ("time of one launch", words.time(launch.time_ns), profile.interval_basis),
        (
            "lies between",
            f"{words.time(launch.low_ns)} … {words.time(launch.high_ns)}",
            profile.interval_basis,
        ),
        (
            "as written … list-scheduled",
            f"{words.time(profile.as_written_ns)} … {words.time(profile.list_scheduled_ns)}",
            "The two schedules of the simulator: in the kernel's order, and reordered as a compiler may.",
        ),
        ("executions in the run", f"{launch.count:,}", "count of the launch"),
        (
            f"floor ({limits.bound})" if limits and limits.bound else "floor",
            words.time(limits.floor_ns) if limits else words.MISSING,
            limits.basis if limits else BOUNDS_HELP,
        ),
        ("floor attained", words.percent(limits.attained) if limits else words.MISSING, BOUNDS_HELP),
        (
            "HBM read · written",
            f"{words.size(profile.hbm_read_bytes)} · {words.size(profile.hbm_write_bytes)}",
            "Bytes of the profile's transfers from and to HBM",
        ),
        (
            "DMA transfers · descriptors",
            f"{_count(profile.dma_transfers)} · {_count(profile.dma_descriptors)}",
            "Rows of DmaPacketAggregated and their descriptors",
        ),
        (
            "MACs · instructions",
            f"{_count(profile.macs)} · {_count(profile.instructions)}",
            "Multiply-accumulates of the tensor engine, and instructions of all engines",
        ),
        (
            "SBUF peak · PSUM banks",
            f"{words.size(profile.sbuf_peak_bytes)} · {_count(profile.psum_peak_banks)}",
            "Largest occupation per partition over the launch",
        ),
    ]
    body = [[pieces.soft(name), pieces.tip(value, how)] for name, value, how in rows]
    return pieces.table([(profile.kernel, ""), (profile.provenance, profile.tool_version)], body)


def _count(value: int | None) -> str:
    return words.MISSING if value is None else f"{value:,}"


@st.fragment
def timeline_section(view_path: str, profile: Profile) -> None:
    """Engines and queues over a window of time; selecting a stretch zooms into it."""
    from pathlib import Path

    path = Path(view_path)
    extent = query.extent(path, profile.profile_id)
    if extent is None:
        st.caption("The profile has no instruction or transfer rows to draw.")
        return
    first, last = extent
    whole = (float(first), float(last))
    key = f"window_{profile.profile_id[:12]}"
    window: tuple[float, float] = st.session_state.get(key, whole)
    bar = st.container(horizontal=True, vertical_alignment="center")
    bar.markdown("##### Timeline")
    for name, icon, moved in _moves(window, whole):
        bar.button(
            name,
            icon=icon,
            type="tertiary",
            on_click=_set_window,
            args=(key, moved),
            key=f"{key}{name}",
            disabled=moved == window,
        )
    bar.caption(
        f"{words.time(window[1] - window[0])} of {words.time(last - first)}; drag over the chart to zoom."
    )
    lanes = lanes_in(query.lanes(path, profile.profile_id, *whole, PIXELS))
    rows = query.lanes(path, profile.profile_id, *window, PIXELS)
    chart = f"{key}_{window[0]:.0f}_{window[1]:.0f}"
    st.plotly_chart(
        timeline(rows, lanes, *window),
        config=style.PLOT_CONFIG,
        key=chart,
        on_select=lambda: _zoom(key, chart, whole[1]),
        selection_mode="box",
        alt=f"Engines and DMA queues of {profile.kernel} over time",
    )


def _moves(
    window: tuple[float, float], whole: tuple[float, float]
) -> list[tuple[str, str, tuple[float, float]]]:
    length = window[1] - window[0]

    def at(start: float, wide: float) -> tuple[float, float]:
        wide = min(wide, whole[1] - whole[0])
        begin = min(max(start, whole[0]), whole[1] - wide)
        return begin, begin + wide

    return [
        ("Back", ":material/arrow_back:", at(window[0] - length / 2, length)),
        ("On", ":material/arrow_forward:", at(window[0] + length / 2, length)),
        ("Zoom out", ":material/zoom_out:", at(window[0] - length / 2, 2 * length)),
        ("All", ":material/fit_width:", whole),
    ]


def _set_window(key: str, window: tuple[float, float]) -> None:
    st.session_state[key] = window


def _zoom(key: str, chart: str, last: float) -> None:
    boxes = st.session_state[chart].selection.box
    if not boxes:
        return
    ends = sorted(float(end) for end in boxes[0]["x"])
    scale = words.NS_PER[words.time_unit(last)]
    start, end = (value * scale for value in ends)
    if end - start >= 1:
        st.session_state[key] = (start, end)


def source_section(view: View, profile: Profile) -> None:
    """Source with a heat column."""
    found = query.source_lines(view.path, profile.profile_id, profile.duration_ns)
    st.markdown("##### Source")
    if found is None:
        st.caption("The profile's instructions carry no source locations.")
        return
    names = source.files(found)
    file = (
        names[0]
        if len(names) == 1
        else st.segmented_control(
            "File", names, default=names[0], required=True, key="source_file", label_visibility="collapsed"
        )
    )
    pieces.show(source.heat(found, file, source.text_of(view.run, file), profile.duration_ns))
    st.caption(
        f"Time is that of {found.critical}, the busiest resource; {words.time(found.unplaced_ns)} carries no source location."
    )


def sizes_section(view: View, profile: Profile) -> None:
    """Descriptor sizes against what the hardware does well with."""
    st.markdown("##### Transfer sizes")
    sizes = query.transfer_sizes(view.path, profile.profile_id)
    if not sizes.num_rows:
        st.caption("The profile has no transfers.")
        return
    style.draw(
        transfer_sizes(sizes, query.facts(profile.target)),
        alt="Bytes moved by size of descriptor",
        key="sizes",
    )


def variants_section(view: View, launch: Launch, profile: Profile) -> None:
    """Every variant of the slot any run has on the same target, phase and bucket, fastest first."""
    st.markdown(f"##### Variants of {launch.slot}, {launch.phase}")
    found: dict[str, tuple[Launch, Profile, list[str]]] = {}
    for run in view.runs:
        for other in run.launches:
            one = run.profiles.get(other.profile_id or "")
            if (
                one is None
                or run.target != view.run.target
                or (other.phase, other.bucket) != (launch.phase, launch.bucket)
            ):
                continue
            if launch.slot in other.covers:
                found.setdefault(one.profile_id, (other, one, []))[2].append(run.label)
    ordered = sorted(found.values(), key=lambda each: each[0].time_ns)
    head = [
        ("variant", "Its slots, where it fills several"),
        ("runs", "Runs that have it, newest first"),
        ("µs", "Time of one launch"),
        ("interval, µs", "Bounds of the time"),
        *((engine, "Active time / duration") for engine in ("tensor", "vector", "scalar", "gpsimd", "dma")),
        ("HBM bytes", "Read and written"),
        ("descriptors", "DMA descriptors"),
        ("SBUF peak", "Bytes per partition"),
    ]
    pieces.show(pieces.table(head, [_variant(*each, current=profile.profile_id) for each in ordered], left=2))


def _variant(launch: Launch, profile: Profile, runs: list[str], current: str) -> list[str]:
    name = pieces.plain(
        launch.variant if len(launch.covers) == 1 else f"{launch.variant} ({' + '.join(launch.covers)})"
    )
    times = [words.in_unit(ns, "µs") for ns in (launch.time_ns, launch.low_ns, launch.high_ns)]
    moved = [amount for amount in (profile.hbm_read_bytes, profile.hbm_write_bytes) if amount is not None]
    labels = list(dict.fromkeys(runs))
    return [
        f"<b>{name}</b> {pieces.soft('shown')}" if profile.profile_id == current else name,
        pieces.tip(
            ", ".join(labels[:2]) + (f" and {len(labels) - 2} more" if len(labels) > 2 else ""),
            ", ".join(labels),
        ),
        f"{words.number(times[0])} {pieces.word(profile.provenance)}",
        words.between(times[1], times[2]),
        *(
            words.percent(profile.engines.get(engine))
            for engine in ("tensor", "vector", "scalar", "gpsimd", "dma")
        ),
        words.size(sum(moved)) if moved else words.MISSING,
        _count(profile.dma_descriptors),
        words.size(profile.sbuf_peak_bytes),
    ]


view = selection.pick()
launch, profile = picked(view)
times = query.engine_times(view.path, profile.profile_id, profile.duration_ns)
pieces.show(f'<div style="font-size:1.1rem">{answer(launch, profile, times)}</div>')
left, right = st.columns([3, 2], gap="medium")
with left:
    st.markdown("##### Where the time goes")
    if times:
        style.draw(
            where_time_goes(times, profile.duration_ns),
            alt="Each engine's time: working, issuing, waiting, idle",
            key="where",
        )
with right:
    pieces.show(facts(launch, profile, view))
timeline_section(str(view.path), profile)
left, right = st.columns([3, 2], gap="medium")
with left:
    source_section(view, profile)
with right:
    sizes_section(view, profile)
variants_section(view, launch, profile)
