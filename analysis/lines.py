"""Per line of kernel source: time on the critical resource, the stall before it, bytes, and its share."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.columns import Array, Tables, exclusive, integers, table, texts
from analysis.stalls import attributions

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
    stall = places.sums(busiest.rows, busiest.waiting)
    critical, name = places.sums(busiest.rows, busiest.busy), f"{busiest.engine}, core {busiest.core}"
    if dma.busy_ns > busiest.busy.sum():
        critical, name = dma.busy, f"dma, core {dma.core}"
    engines: dict[str, dict[Place, int]] = defaultdict(dict)
    for each in listed:
        _add(engines[each.engine], places.sums(each.rows, each.busy))
    counts = places.sums(np.arange(rows.num_rows), np.ones(rows.num_rows, dtype=np.int64))
    found = [place for place in dict.fromkeys((*counts, *dma.bytes)) if place is not None]
    made = [
        Line(
            file=place[0],
            line=place[1],
            critical_ns=critical.get(place, 0),
            stall_ns=stall.get(place, 0),
            share=(critical.get(place, 0) + stall.get(place, 0)) / duration_ns if duration_ns else 0.0,
            engines={name: sums[place] for name, sums in engines.items() if sums.get(place)},
            instructions=counts.get(place, 0),
            dma_bytes=dma.bytes.get(place, 0),
            transfers=dma.transfers.get(place, 0),
            descriptors=dma.descriptors.get(place, 0),
        )
        for place in found
    ]
    ordered = tuple(sorted(made, key=lambda each: each.share, reverse=True))
    return Lines(name, ordered, critical.get(None, 0) + stall.get(None, 0)) if ordered else None


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


def _add(into: dict[Place, int], amounts: Mapping[Place, int]) -> None:
    for place, amount in amounts.items():
        into[place] = into.get(place, 0) + amount


def _place(text: str) -> Place:
    """The innermost "file.py:line" of a location, which may be a stringified list of them."""
    found = _LOCATION.findall(text)
    return (found[-1][0], int(found[-1][1])) if found else None
