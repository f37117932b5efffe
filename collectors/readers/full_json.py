"""A whole profile as neuron-profile 2.27 and 2.28 write it with `--output-format json`.

Read item by item. The list `dma` mixes packets (`aggregated` "no") with transfers ("yes"), and may repeat a
packet (`duplicate` "yes"); counting all rows would count bytes two or three times.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from collectors.errors import UnreadableInput
from collectors.readers import columns
from collectors.readers.clock import in_ns
from collectors.readers.columns import Builder
from collectors.readers.fp32 import Fp32, counted_once
from collectors.readers.issuers import with_issuers
from collectors.readers.normalise import doubled, number
from collectors.readers.reading import Reading, Watch, unwatched
from collectors.readers.rows import in_program_order, longest_gap_ns, window
from collectors.readers.stream import Malformed, items
from collectors.readers.transfers import named_queues, with_descriptors

TABLES = {
    "Instruction": columns.INSTRUCTION,
    "DmaPacket": columns.PACKET,
    "DmaPacketAggregated": columns.TRANSFER,
    "ActiveTime": columns.ACTIVE,
    "DmaQueuesInfo": columns.QUEUE,
    "Warning": columns.WARNING,
    "Throttle": columns.THROTTLE,
}
LISTS = {
    "instruction": "Instruction",
    "active_time": "ActiveTime",
    "dma_queues_info": "DmaQueuesInfo",
    "warnings": "Warning",
    "ham": "Throttle",
}
MOSTLY = 0.5
"""Share of the execution without any work from which the person is told."""
SINGLE = frozenset({"summary", "metadata", "profile_info", "neff_header"})


class _Collected:
    """What one pass over the file gathers."""

    def __init__(self) -> None:
        self.builders = {name: Builder(made_of) for name, made_of in TABLES.items()}
        self.single: dict[str, Mapping[str, Any]] = {}
        self.duplicates = 0

    def take(self, name: str, item: Any) -> None:
        if name in SINGLE:
            self.single.setdefault(name, _object(item))
        elif name == "dma":
            self._dma(_object(item))
        elif name in LISTS:
            self.builders[LISTS[name]].add(_object(item))

    def _dma(self, row: Mapping[str, Any]) -> None:
        if row.get("duplicate") == "yes":
            self.duplicates += 1
        else:
            kind = "DmaPacketAggregated" if row.get("aggregated") == "yes" else "DmaPacket"
            self.builders[kind].add(row)


def read_full_json(path: Path, sha256: str, watch: Watch = unwatched) -> list[Reading]:
    """The one profile of the file; `watch` is told how much of it is read. Raises `UnreadableInput`."""
    found, size = _Collected(), path.stat().st_size
    try:
        for name, item in items(path, lambda done: watch(path.name, done, size)):
            found.take(name, item)
        tables = {name: builder.table() for name, builder in found.builders.items()}
        return [_reading(path, sha256, found, tables)]
    except (Malformed, UnicodeDecodeError) as error:
        raise UnreadableInput(
            f"{path} is not whole JSON: {error}", "the file is cut off or damaged: make it anew"
        ) from None
    except (KeyError, TypeError, ValueError, OverflowError, pa.ArrowException) as error:
        raise UnreadableInput(
            f"{path} has a row that does not fit: {type(error).__name__} {error}",
            "it is damaged, or of a version other than neuron-profile 2.27 or 2.28: import its summary-json",
        ) from None


def _reading(path: Path, sha256: str, found: _Collected, tables: dict[str, pa.Table]) -> Reading:
    summary = found.single.get("summary", {})
    total = number(summary.get("total_time"))
    if not tables["Instruction"].num_rows or total is None or total <= 0:
        missing = "instruction" if not tables["Instruction"].num_rows else "summary with a total_time"
        raise UnreadableInput(f"{path} has no {missing}", "the profile is not complete: process it anew")
    tables, clock = in_ns(tables, total)
    tables = with_issuers(with_descriptors(named_queues(tables)))
    tables["Instruction"] = in_program_order(tables["Instruction"])
    metadata, info = found.single.get("metadata", {}), found.single.get("profile_info", {})
    version, fp32 = str(summary.get("profiler_version") or info.get("profiler_version") or ""), Fp32()
    if doubled(version):
        tables["Instruction"], fp32 = counted_once(tables["Instruction"])
    constants = {
        **metadata,
        "profile_info": dict(info),
        "neff_header": dict(found.single.get("neff_header", {})),
    }
    said = pc.unique(tables["Warning"]["message"]).to_pylist()
    repeated = (
        [f"{found.duplicates} packets the profiler lists twice were counted once."]
        if found.duplicates
        else []
    )
    return Reading(
        identity=sha256,
        name=path.name.removesuffix(".json"),
        format="full json",
        summary={"profiler_version": info.get("profiler_version"), **summary},
        constants=constants,
        tables=tables,
        window_ns=window(tables),
        fp32=fp32,
        notes=(*clock, *_idle(tables), *repeated, *(f"The profiler warns: {text}" for text in said)),
    )


def _idle(tables: dict[str, pa.Table]) -> list[str]:
    bounds = window(tables)
    if bounds is None:
        return []
    gap, whole = longest_gap_ns(tables, bounds), bounds[1] - bounds[0]
    if gap <= MOSTLY * whole:
        return []
    return [
        f"Nothing works for one stretch of {gap / 1e3:,.0f} us in {whole / 1e3:,.0f} us: that is "
        "the start of a profiled execution (inf2 has 1.9 ms of it), not the kernel."
    ]


def _object(item: Any) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        raise TypeError("a row is not an object")
    return item
