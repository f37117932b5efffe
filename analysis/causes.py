"""What an instruction waited for last: a DMA transfer, or another engine."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.columns import Array, Tables, integers, table, texts
from analysis.rules.thresholds import DMA_DONE_NS

DATA, ENGINE, UNKNOWN = 1, 0, -1


def flow_causes(rows: pa.Table, tables: Tables) -> Array:
    """Per instruction, which kind of dependency arrived last by the Flow table, or UNKNOWN."""
    causes = np.full(rows.num_rows, UNKNOWN, dtype=np.int8)
    flow, transfers = table(tables, "Flow"), transfers_of(tables)
    if flow is None or "id" not in rows.column_names:
        return causes
    waiter = _row_of(flow.column("out_id"), rows)
    from_data = texts(flow, "in_table").where(lambda name: name.startswith("Dma"))
    arrival = np.where(from_data, _ends(flow, transfers, DMA_DONE_NS), _ends(flow, rows, 0))
    known = np.flatnonzero((waiter >= 0) & (arrival >= 0))
    ordered = known[np.argsort(arrival[known], kind="stable")]
    # Later arrivals overwrite earlier ones of the same waiter.
    causes[waiter[ordered]] = np.where(from_data[ordered], DATA, ENGINE)
    return causes


def transfers_of(tables: Tables) -> pa.Table | None:
    """Whole transfers where the profile has them, else single packets."""
    return table(tables, "DmaPacketAggregated") or table(tables, "DmaPacket")


def arrivals(transfers: pa.Table | None, core: int) -> Array:
    """When a core's transfers ended and when that was known, sorted."""
    if transfers is None:
        return np.empty(0, dtype=np.int64)
    mine = integers(transfers, "pcore_idx", core) == core
    done = integers(transfers, "end_ts")[mine]
    return np.sort(np.concatenate((done, done + DMA_DONE_NS)))


def nearest_is_data(at: Array, transfers: Array, others: Array) -> Array:
    """Whether the event nearest to each moment is a transfer's arrival rather than another engine's end."""
    return np.asarray(_distance(at, transfers) <= _distance(at, others))


def _distance(at: Array, events: Array) -> Array:
    if not len(events):
        return np.full(len(at), np.inf)
    place = np.searchsorted(events, at)
    below, above = events[np.maximum(place - 1, 0)], events[np.minimum(place, len(events) - 1)]
    return np.asarray(np.minimum(np.abs(at - below), np.abs(above - at)), dtype=float)


def _ends(flow: pa.Table, found_in: pa.Table | None, later: int) -> Array:
    """When each flow's producer ended, plus `later`; -1 where it is not in the table."""
    if found_in is None or "id" not in found_in.column_names:
        return np.full(flow.num_rows, -1, dtype=np.int64)
    place = _row_of(flow.column("in_id"), found_in)
    return np.where(place >= 0, integers(found_in, "end_ts")[np.maximum(place, 0)] + later, -1)


def _row_of(ids: pa.ChunkedArray, rows: pa.Table) -> Array:
    found = pc.index_in(ids.cast(pa.string()), value_set=rows.column("id").cast(pa.string()).combine_chunks())
    return np.asarray(found.fill_null(-1).to_numpy(), dtype=np.int64)
