"""What the streams say of data movement: issuing it, its way to the engines, and its packets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from statistics import median

from simulator.fidelity.fit.evidence import Evidence, Movement, Packet, Stream
from simulator.trace import Dge

ROWS = 128
"""Rows of a transfer of one tile."""


def _bytes_time(packet: Packet, evidence: Evidence) -> float:
    return packet.size / evidence.machine.dma.bytes_per_ns


def _beyond(found: list[float], usual: list[float]) -> list[float]:
    """What each has more than the median of the usual ones."""
    if not usual:
        return []
    middle = median(usual)
    return [each - middle for each in found]


def _of(evidence: Evidence, dge: Dge) -> list[Movement]:
    return [m for m in evidence.movements() if m.transfer.dge == dge]


def _alone(stream: Stream) -> Iterator[Movement]:
    """Transfers during which nothing else moved."""
    for mine in stream.movements:
        if all(
            o is mine or o.done_ns <= mine.first_ns or o.first_ns >= mine.done_ns for o in stream.movements
        ):
            yield mine


def _all_alone(evidence: Evidence) -> list[Movement]:
    return [m for stream in evidence.streams for m in _alone(stream)]


def _at_full_rate(movement: Movement, evidence: Evidence) -> float:
    """What its packets take on its busiest engine without a gap, its completion among them."""
    dma = evidence.machine.dma
    each = max(
        sum(dma.descriptor_ns + _bytes_time(p, evidence) for p in packets)
        for packets in movement.packets.values()
    )
    return each + dma.completion_ns


# ---------------------------------------------------------------------- packets


def _beyond_bytes(movements: list[Movement], evidence: Evidence) -> list[float]:
    return [
        second.start_ns - first.start_ns - _bytes_time(first, evidence)
        for movement in movements
        for packets in movement.packets.values()
        for first, second in pairwise(packets)
    ]


def descriptor(evidence: Evidence) -> list[float]:
    """Interval of packets of hardware descriptors beyond their bytes."""
    return _beyond_bytes(_of(evidence, "hwdge"), evidence)


def small_write(evidence: Evidence) -> list[float]:
    """Interval of short software packets to HBM beyond their bytes and the descriptor of any packet."""
    dma, usual = evidence.machine.dma, descriptor(evidence)
    short = [
        m
        for m in _of(evidence, "swdge")
        if not m.loads and max(p.size for q in m.packets.values() for p in q) < dma.small_write_bytes
    ]
    return _beyond(_beyond_bytes(short, evidence), usual)


def completion(evidence: Evidence) -> list[float]:
    """From the end of an engine's last packet to the end of its completion."""
    return [
        movement.completed[engine] - packets[-1].end_ns
        for movement in evidence.movements()
        for engine, packets in movement.packets.items()
    ]


def packet_bytes(evidence: Evidence) -> list[float]:
    """Sizes of packets of software descriptors."""
    return [float(p.size) for m in _of(evidence, "swdge") for q in m.packets.values() for p in q]


def _held(movement: Movement, evidence: Evidence) -> bool:
    """Whether its instruction took longer than writing descriptors does."""
    return movement.event.duration_ns > 1.5 * evidence.machine.dma.hwdge_issue_ns


def mixed(evidence: Evidence) -> list[float]:
    """Share of its full rate at which an engine moves while loads and stores are under way on it."""
    return [share for stream in evidence.streams for share in _mixed_shares(stream, evidence)]


def _mixed_shares(stream: Stream, evidence: Evidence) -> Iterator[float]:
    """By engine: what its packets take alone over the time both kinds were under way."""
    for engine in sorted({e for m in stream.movements for e in m.packets}):
        spans = [
            (m.packets[engine][0].start_ns, m.packets[engine][-1].end_ns, m)
            for m in stream.movements
            if engine in m.packets
        ]
        windows = [
            (max(a, c), min(b, d))
            for a, b, one in spans
            for c, d, other in spans
            if one.loads and not other.loads and max(a, c) < min(b, d)
        ]
        length = sum(b - a for a, b in windows)
        work = sum(
            evidence.machine.dma.descriptor_ns + _bytes_time(p, evidence)
            for _, _, m in spans
            for p in m.packets[engine]
            if any(a <= p.start_ns and p.end_ns <= b for a, b in windows)
        )
        if work:
            yield work / length


# ---------------------------------------------------------------------- issuing


def _printed(evidence: Evidence, *, rows: int) -> list[float]:
    return [
        m.event.duration_ns
        for m in _of(evidence, "hwdge")
        if m.transfer.descriptors == rows and not _held(m, evidence)
    ]


def hwdge_descriptor(evidence: Evidence) -> list[float]:
    """What each row more adds to a DMA_DIRECT2D of hardware descriptors."""
    one = _printed(evidence, rows=ROWS)
    return [(each - median(one)) / ROWS for each in _printed(evidence, rows=2 * ROWS)] if one else []


def hwdge_issue(evidence: Evidence) -> list[float]:
    """Duration of a DMA_DIRECT2D of hardware descriptors without its rows."""
    each = evidence.machine.dma.hwdge_descriptor_ns
    return [found - each * ROWS for found in _printed(evidence, rows=ROWS)]


def hwdge_gap(evidence: Evidence) -> list[float]:
    """From the end of a DMA_DIRECT2D on SyncE to the start of the next that waited for nothing."""
    return [
        gap
        for stream in evidence.streams
        for first, second in pairwise(e for e in stream.events if e.instruction.engine == "sync")
        if second.ready_ns < first.start_ns
        and 0 < (gap := second.start_ns - first.end_ns) < evidence.machine.dma.hwdge_issue_ns / 4
    ]


def _latency(movements: list[Movement], dge: Dge, *, loads: bool) -> list[float]:
    return [m.first_ns - m.event.start_ns for m in movements if m.transfer.dge == dge and m.loads == loads]


def _unqueued(evidence: Evidence) -> list[Movement]:
    """Transfers issued when nothing was on its way."""
    return [
        mine
        for stream in evidence.streams
        for mine in stream.movements
        if all(
            o is mine or o.event.start_ns > mine.event.start_ns or o.done_ns < mine.event.start_ns
            for o in stream.movements
        )
    ]


def hwdge_latency(evidence: Evidence) -> list[float]:
    """From the start of a DMA_DIRECT2D to the first packet of a store, nothing else being on its way."""
    return _latency(_unqueued(evidence), "hwdge", loads=False)


def hbm_read(evidence: Evidence) -> list[float]:
    """How much later than that of a store the first packet of a load comes."""
    stores = hwdge_latency(evidence)
    loads = _latency(_unqueued(evidence), "hwdge", loads=True)
    return _beyond(loads, stores)


def swdge_latency(evidence: Evidence) -> list[float]:
    """From the start of a DMA_DIRECT2D on GpSimd to the first packet of a store, nothing else on its way."""
    return _latency(_unqueued(evidence), "swdge", loads=False)


def _prepared(evidence: Evidence) -> list[tuple[int, float]]:
    """(rows, from the result it waited for to its start) of transfers on GpSimd."""
    return [
        (m.transfer.descriptors, m.event.start_ns - m.event.ready_ns)
        for m in _of(evidence, "swdge")
        if m.event.ready_ns > 0
    ]


def swdge_prepare_descriptor(evidence: Evidence) -> list[float]:
    """What each row more adds to the time GpSimd prepares a transfer."""
    found = _prepared(evidence)
    low = min((rows for rows, _ in found), default=0)
    shortest = [time for rows, time in found if rows == low]
    return [(time - median(shortest)) / (rows - low) for rows, time in found if rows > low]


def swdge_prepare(evidence: Evidence) -> list[float]:
    """From the result a transfer on GpSimd waited for to its start, without its rows."""
    each = evidence.machine.dma.swdge_prepare_descriptor_ns
    return [time - each * rows for rows, time in _prepared(evidence)]


def swdge_issue(evidence: Evidence) -> list[float]:
    """Printed duration of a DMA_DIRECT2D on GpSimd."""
    return [m.event.duration_ns for m in _of(evidence, "swdge")]


def swdge_static(evidence: Evidence) -> list[float]:
    """Interval of DMA_DIRECT2D on GpSimd that waited for nothing."""
    return [
        second.start_ns - first.start_ns
        for stream in evidence.streams
        for first, second in pairwise(e for e in stream.events if e.instruction.engine == "gpsimd")
        if second.ready_ns < first.start_ns
    ]


# ---------------------------------------------------------------------- ends

SHORT_NS = 400.0
"""Work an engine that separates the short loads of the streams (0.1-0.3 us) from the long ones (1.2 us)."""


def _tails(evidence: Evidence, *, loads: bool) -> list[tuple[float, float]]:
    """(work, time from its first packet to its end beyond it) of transfers that moved alone."""
    found = []
    for movement in _all_alone(evidence):
        if movement.loads == loads and movement.transfer.dge == "hwdge":
            work = _at_full_rate(movement, evidence)
            found.append((work, movement.done_ns - movement.first_ns - work))
    return found


def read_spread(evidence: Evidence) -> list[float]:
    """Time of short loads that moved alone, beyond their packets at full rate."""
    return [beyond for work, beyond in _tails(evidence, loads=True) if work < SHORT_NS]


def read_tail(evidence: Evidence) -> list[float]:
    """Time of long loads that moved alone, beyond their packets at full rate."""
    return [beyond for work, beyond in _tails(evidence, loads=True) if work >= SHORT_NS]


def read_tail_share(evidence: Evidence) -> list[float]:
    """What that time of loads grows by with their packets' own, from short loads to long ones."""
    short = read_spread(evidence)
    long = [each for each in _tails(evidence, loads=True) if each[0] >= SHORT_NS]
    return [(beyond - median(short)) / work for work, beyond in long] if short else []


def write_tail(evidence: Evidence) -> list[float]:
    """Time of stores that moved alone, beyond their packets at full rate."""
    return [beyond for _, beyond in _tails(evidence, loads=False)]
