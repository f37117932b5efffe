"""Per line of kernel source: time on the critical resource, the stall before it, bytes, and its share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from analysis.columns import Array, Tables, exclusive, integers, table, texts
from analysis.stalls import COMPUTE_ENGINES, Attribution, attributions

Place = tuple[str, int] | None
_LOCATION = re.compile(r"([^\s'\"\[\],:]+\.py):(\d+)")


@dataclass(frozen=True, slots=True)
class Line:
    """One source line of a kernel; all times in ns over one launch.

    `critical_ns` is what the line adds on the busiest resource (`Lines.critical`), `stall_ns` what the
    busiest engine waited before the line's instructions. `share` is both over the duration. `engines` is
    working and issuing time by engine, over all cores.
    """

    file: str
    line: int
    critical_ns: int
    stall_ns: int
    share: float
    engines: Mapping[str, int]
    instructions: int
    dma_bytes: int
    transfers: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Lines:
    """All lines, most expensive first. `critical` names the busiest resource, e.g. "vector, core 0" or "dma,
    core 1".

    `unplaced_ns` is critical and stall time whose instructions carry no source location.
    """

    critical: str
    lines: tuple[Line, ...]
    unplaced_ns: int


def lines(duration_ns: int, tables: Tables) -> Lines | None:
    """Time and bytes by source line; None without an Instruction table or any location in it."""
    rows = table(tables, "Instruction")
    listed = attributions(duration_ns, tables)
    if rows is None or not listed:
        return None
    places, dma = _Places(rows), _Transfers(table(tables, "DmaPacketAggregated"))
    busiest = max(listed, key=lambda each: int(each.busy.sum()))
    sums = _Sums(
        critical=places.sums(busiest.rows, busiest.busy),
        stall=places.sums(busiest.rows, busiest.waiting),
        engines={engine: _busy(listed, engine, places) for engine in COMPUTE_ENGINES},
        instructions=places.sums(np.arange(rows.num_rows), np.ones(rows.num_rows, dtype=np.int64)),
        dma=dma,
    )
    critical = f"{busiest.engine}, core {busiest.core}"
    if dma.busy_ns > busiest.busy.sum():
        sums, critical = replace(sums, critical=dma.busy), f"dma, core {dma.core}"
    found = [place for place in dict.fromkeys((*sums.instructions, *dma.bytes)) if place is not None]
    made = sorted(
        (sums.line(place, duration_ns) for place in found), key=lambda each: each.share, reverse=True
    )
    unplaced = sums.critical.get(None, 0) + sums.stall.get(None, 0)
    return Lines(critical, tuple(made), unplaced) if made else None


@dataclass(frozen=True, slots=True)
class _Sums:
    """Amounts by place."""

    critical: Mapping[Place, int]
    stall: Mapping[Place, int]
    engines: Mapping[str, Mapping[Place, int]]
    instructions: Mapping[Place, int]
    dma: _Transfers

    def line(self, place: tuple[str, int], duration_ns: int) -> Line:
        critical, stall = self.critical.get(place, 0), self.stall.get(place, 0)
        return Line(
            file=place[0],
            line=place[1],
            critical_ns=critical,
            stall_ns=stall,
            share=(critical + stall) / duration_ns if duration_ns else 0.0,
            engines={engine: sums[place] for engine, sums in self.engines.items() if sums.get(place)},
            instructions=self.instructions.get(place, 0),
            dma_bytes=self.dma.bytes.get(place, 0),
            transfers=self.dma.transfers.get(place, 0),
            descriptors=self.dma.descriptors.get(place, 0),
        )


class _Places:
    """The source location of every row of a table, and sums of amounts by it (None where a row has none)."""

    def __init__(self, rows: pa.Table) -> None:
        found = texts(rows, "nki_source_location")
        self.codes, self.places = found.codes, [_place(text) for text in found.values]

    def sums(self, rows: Array, amounts: Array) -> dict[Place, int]:
        by_code = np.bincount(self.codes[rows], weights=amounts, minlength=len(self.places))
        seen = np.bincount(self.codes[rows], minlength=len(self.places))
        found: dict[Place, int] = {}
        for place, amount, times in zip(self.places, by_code, seen, strict=True):
            if times:
                found[place] = found.get(place, 0) + int(amount)
        return found


class _Transfers:
    """DMA by source line: bytes, counts, and each line's own time on the core whose queues are busiest."""

    def __init__(self, rows: pa.Table | None) -> None:
        self.bytes: dict[Place, int] = {}
        self.transfers: dict[Place, int] = {}
        self.descriptors: dict[Place, int] = {}
        self.busy: dict[Place, int] = {}
        self.core = 0
        if rows is not None:
            self._read(rows)

    @property
    def busy_ns(self) -> int:
        return sum(self.busy.values())

    def _read(self, rows: pa.Table) -> None:
        places, every = _Places(rows), np.arange(rows.num_rows)
        self.bytes = places.sums(every, integers(rows, "transfer_bytes"))
        self.transfers = places.sums(every, np.ones(rows.num_rows, dtype=np.int64))
        self.descriptors = places.sums(every, integers(rows, "descriptors"))
        cores, start, end = (integers(rows, name) for name in ("pcore_idx", "start_ts", "end_ts"))
        for core in np.unique(cores):
            mine = np.flatnonzero(cores == core)
            busy = places.sums(mine, exclusive(start[mine], end[mine]))
            if sum(busy.values()) > self.busy_ns:
                self.busy, self.core = busy, int(core)


def _busy(listed: Sequence[Attribution], engine: str, places: _Places) -> dict[Place, int]:
    """Working and issuing time of an engine of all cores, by place."""
    whole: dict[Place, int] = {}
    for each in listed:
        if each.engine == engine:
            for place, amount in places.sums(each.rows, each.busy).items():
                whole[place] = whole.get(place, 0) + amount
    return whole


def _place(text: str) -> Place:
    """The innermost "file.py:line" of a location, which may be a stringified list of them."""
    found = _LOCATION.findall(text)
    return (found[-1][0], int(found[-1][1])) if found else None
