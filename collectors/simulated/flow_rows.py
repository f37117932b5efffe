"""Flow rows of a simulation: what each instruction waited for last."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from collectors.simulated.instruction_rows import instruction_id
from collectors.simulated.transfer_rows import transfer_id
from simulator.timelines import Timeline
from simulator.trace import ENGINES, Trace

Array = np.ndarray[Any, Any]
_FLOW = pa.schema(
    [(name, pa.string()) for name in ("in_id", "out_id", "in_table", "out_table", "dependency_type")]
    + [("gap_time", pa.int64())]
)


def flow_table(trace: Trace, timeline: Timeline) -> pa.Table:
    """Flow: a row per instruction that waited, for its engine or for a result.

    The result of a transfer comes when the transfer ends, unless the instruction waited for the engine that
    triggered it.
    """
    moved = [np.full(len(core), np.nan) for core in trace.cores]
    for core, ends in enumerate(moved):
        own = timeline.transfers.core == core
        ends[timeline.transfers.instruction[own]] = timeline.transfers.end_ns[own]
    engines = [np.array([ENGINES.index(i.engine) for i in core], dtype=np.int64) for core in trace.cores]
    parts = [_waits(timeline, core, engines, moved) for core in range(len(trace.cores))]
    return pa.concat_tables([_FLOW.empty_table(), *parts])


def _waits(timeline: Timeline, core: int, engines: list[Array], moved: list[Array]) -> pa.Table:
    """The rows of one core; `moved` is when the transfer of each instruction ended, NaN for none."""
    waits = np.flatnonzero(timeline.critical[core][:, 0] >= 0)
    on, cause = timeline.critical[core][waits].T
    start, ready = timeline.start_ns[core][waits], timeline.ready_ns[core][waits]
    same, done, ended = np.zeros(len(waits), dtype=np.bool_), np.empty(len(waits)), np.empty(len(waits))
    for other in range(len(moved)):
        there = np.flatnonzero(on == other)
        done[there], ended[there] = moved[other][cause[there]], timeline.end_ns[other][cause[there]]
        if other == core:
            same[there] = engines[core][cause[there]] == engines[core][waits[there]]
    for_engine = same & (start > ready)
    for_transfer = ~np.isnan(done) & ~for_engine
    gaps = np.rint(start - np.where(for_transfer, done, ended)).astype(np.int64)
    causes = zip(for_transfer.tolist(), on.tolist(), cause.tolist(), strict=True)
    return pa.table(
        [
            [transfer_id(c, k) if moves else instruction_id(c, k) for moves, c, k in causes],
            [instruction_id(core, k) for k in waits.tolist()],
            pa.array(["Instruction", "DmaPacketAggregated"]).take(pa.array(for_transfer.astype(np.int8))),
            pa.repeat("Instruction", len(waits)),
            pa.array(["data", "engine"]).take(pa.array(for_engine.astype(np.int8))),
            gaps,
        ],
        schema=_FLOW,
    )
