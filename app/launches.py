"""One launch in words: its name, its numbers, what its busiest engine does, its variants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from analysis.machine_facts import MachineFacts
from analysis.roofline import bounds
from analysis.spills import spilled
from analysis.stalls import EngineTime
from analysis.variants import Found
from app import pieces, words
from app.charts.engines import KINDS
from collectors.records import ENGINE_NAMES, Launch, Profile

SCHEDULES = "The simulator's two schedules: in the kernel's own order, and reordered as a compiler may."
FLOOR = "The least time the machine allows: bytes over HBM bandwidth, or MACs over the tensor engine's peak."


def label(launch: Launch) -> str:
    """A launch in a picker."""
    bucket = f" · bucket {launch.bucket}" if launch.bucket else ""
    times = f"{words.time(launch.time_ns)} × {launch.count:,}"
    return f"{launch.slot} · {launch.phase}{bucket} · {launch.variant} · {times}"


def answer(profile: Profile, times: Sequence[EngineTime]) -> str:
    """The busiest engine and what it does with its time, largest part first."""
    if not times:
        return pieces.soft("The profile has no instruction rows, so where its time goes is unknown.")
    busiest = max(times, key=lambda each: each.busy_ns)
    parts = sorted(((getattr(busiest, kind.attribute), kind.name) for kind in KINDS), reverse=True)
    told = ", ".join(f"{name} {words.percent(ns / profile.duration_ns)}" for ns, name in parts if ns)
    who = f"<b>{pieces.plain(busiest.engine)}</b> of core {busiest.core}"
    dma = profile.engines.get("dma")
    moving = f" DMA is active {words.percent(dma)} of the time." if dma is not None else ""
    return f"The busiest engine, {who}: {pieces.plain(told)}.{moving}"


def schedule(profile: Profile) -> str:
    """Which of the simulator's two schedules a profile's rows show, where it has two."""
    two = {"as written": profile.as_written_ns, "list-scheduled": profile.list_scheduled_ns}
    name = next((name for name, time_ns in two.items() if time_ns == profile.duration_ns), None)
    return f", {name}" if name and len(set(two.values())) == 2 else ""


def facts(launch: Launch, profile: Profile, machine: MachineFacts | None) -> str:
    """The launch's numbers, each with how it was made."""
    limits = bounds(profile, machine) if machine else None
    floor, attained = (limits.floor_ns, limits.attained) if limits else (None, None)
    bound = f" ({limits.bound})" if limits and limits.bound else ""
    rows = (
        ("time of one launch", words.time(launch.time_ns), profile.interval_basis),
        ("between", _pair(words.time(launch.low_ns), words.time(launch.high_ns)), profile.interval_basis),
        (
            "as written, list-scheduled",
            _pair(words.time(profile.as_written_ns), words.time(profile.list_scheduled_ns)),
            SCHEDULES,
        ),
        ("executions in the run", f"{launch.count:,}", "The launch's count"),
        (f"floor{bound}", words.time(floor), limits.basis if limits else FLOOR),
        ("floor attained", words.percent(attained), "The floor over the time"),
        (
            "HBM read, written",
            _pair(words.size(profile.hbm_read_bytes), words.size(profile.hbm_write_bytes)),
            "Bytes of the profile's transfers from and to HBM",
        ),
        (
            "DMA transfers, descriptors",
            _pair(count(profile.dma_transfers), count(profile.dma_descriptors)),
            "Rows of DmaPacketAggregated, and their descriptors",
        ),
        (
            "MACs, instructions",
            _pair(count(profile.macs), count(profile.instructions)),
            "Multiply-accumulates of the tensor engine; instructions of all engines",
        ),
        (
            "SBUF peak, PSUM banks",
            _pair(words.size(profile.sbuf_peak_bytes), count(profile.psum_peak_banks)),
            "Largest occupation over the launch, all partitions of a core",
        ),
        ("spilled, loaded again", _spilled(profile), "Bytes moved because SBUF was too small"),
    )
    head = [(profile.kernel, ""), (profile.provenance, f"{profile.tool} {profile.tool_version}")]
    said = [row for row in rows if row[1].strip(_NOTHING)]
    return pieces.table(head, [[pieces.soft(name), pieces.tip(value, how)] for name, value, how in said])


def cautions(profile: Profile, warnings: Iterable[str]) -> str:
    """What to know before trusting the profile."""
    depends = f"depends on the values of {profile.data_dependent}" if profile.data_dependent else ""
    return pieces.notes(f"! {pieces.plain(each)}" for each in (depends, *warnings) if each)


def _spilled(profile: Profile) -> str:
    """What spilling moved, or nothing to show."""
    moved = spilled(profile)
    return _NOTHING if moved is None else _pair(*map(words.size, moved))


_NOTHING = f"{words.MISSING} ·"


def _pair(a: str, b: str) -> str:
    return f"{a} · {b}"


def count(value: int | None) -> str:
    """A whole number with thousands separators."""
    return words.MISSING if value is None else f"{value:,}"


def side_by_side(found: Iterable[Found], current: str) -> str:
    """Variants as a table; `current` is the profile the page shows."""
    head = [
        ("variant", "With the slots it fills, where there are several"),
        ("runs", "Runs that have it, newest first"),
        ("µs", "Time of one launch"),
        ("interval, µs", "Bounds of the time"),
        *((engine, "Active time over duration") for engine in ENGINE_NAMES),
        ("HBM read", "Bytes of the profile's transfers from HBM"),
        ("descriptors", "DMA descriptors"),
        ("SBUF peak", "All partitions of a core"),
    ]
    return pieces.table(head, [_variant(each, current) for each in found], left=2)


def _variant(each: Found, current: str) -> list[str]:
    launch, profile = each.launch, each.profile
    fills = f" ({' + '.join(launch.covers)})" if len(launch.covers) > 1 else ""
    name = pieces.plain(f"{launch.variant}{fills}")
    low, high = (words.in_unit(end, "µs") for end in (launch.low_ns, launch.high_ns))
    return [
        f"<b>{name}</b> {pieces.word('shown')}" if profile.profile_id == current else name,
        _labels(each.labels),
        f"{words.number(words.in_unit(launch.time_ns, 'µs'))} {pieces.word(profile.provenance)}",
        words.between(low, high) or words.MISSING,
        *_active(profile.engines),
        words.size(profile.hbm_read_bytes),
        count(profile.dma_descriptors),
        words.size(profile.sbuf_peak_bytes),
    ]


def _active(engines: Mapping[str, float | None]) -> list[str]:
    return [words.percent(engines.get(engine)) for engine in ENGINE_NAMES]


def _labels(labels: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(labels))
    more = f" and {len(distinct) - 2} more" if len(distinct) > 2 else ""
    return pieces.tip(", ".join(distinct[:2]) + more, ", ".join(distinct))
