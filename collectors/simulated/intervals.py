"""Busy intervals of engines and their union, as Neuron Explorer computes active time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from collectors.records import ENGINE_NAMES
from simulator.timelines import Timeline
from simulator.trace import Trace

Array = np.ndarray[Any, Any]
Spans = dict[tuple[int, str], Array]
"""(core, engine) → merged intervals, shape [n, 2], ns."""

NOT_WORK = frozenset({"core_barrier"})
"""Calls that are waiting, not work."""


def engine_spans(trace: Trace, timeline: Timeline) -> Spans:
    """Merged busy intervals of every engine and of the DMA transfers, by core."""
    spans: Spans = {}
    for core, instructions in enumerate(trace.cores):
        names = np.array([i.engine if i.call not in NOT_WORK else "" for i in instructions], dtype=object)
        pairs = np.column_stack((timeline.start_ns[core], timeline.end_ns[core]))
        for engine in ENGINE_NAMES[:-1]:
            spans[core, engine] = merge(pairs[names == engine])
        loads = [(start, end) for c, start, end in timeline.table_loads if c == core]
        if loads:
            spans[core, "scalar"] = merge(np.concatenate((spans[core, "scalar"], np.array(loads))))
        moved = timeline.transfers
        own = moved.core == core
        spans[core, "dma"] = merge(np.column_stack((moved.start_ns[own], moved.end_ns[own])))
    return spans


def merge(pairs: Array) -> Array:
    """The union of intervals [n, 2] as disjoint sorted intervals."""
    if not len(pairs):
        return np.empty((0, 2))
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    reach = np.maximum.accumulate(pairs[:, 1])
    first = np.concatenate(([True], pairs[1:, 0] > reach[:-1]))
    starts = pairs[first, 0]
    last = np.flatnonzero(np.concatenate((first[1:], [True])))
    return np.column_stack((starts, reach[last]))


def active_shares(spans: Spans, duration_ns: float) -> dict[str, float | None]:
    """Share of the duration in which an engine of either core is active, by engine name."""
    shares: dict[str, float | None] = {}
    for engine in ENGINE_NAMES:
        whole = merge(np.concatenate([pairs for (_, name), pairs in spans.items() if name == engine]))
        busy = float((whole[:, 1] - whole[:, 0]).sum())
        shares[engine] = min(1.0, busy / duration_ns) if duration_ns else None
    return shares


def union_table(spans: Spans) -> pa.Table:
    """The ActiveTime table."""
    cores, names, starts, ends = [], [], [], []
    for (core, engine), pairs in spans.items():
        whole = np.rint(pairs).astype(np.int64)
        cores.extend([core] * len(whole))
        names.extend([engine] * len(whole))
        starts.extend(whole[:, 0].tolist())
        ends.extend(whole[:, 1].tolist())
    start, end = np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)
    return pa.table(
        {
            "pcore_idx": pa.array(cores, pa.int32()),
            "engine": pa.array(names, pa.string()),
            "start_ts": start,
            "end_ts": end,
            "duration_ns": end - start,
        }
    )
