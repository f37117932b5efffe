"""DMA rows of a simulated timeline: transfers, each engine's share of them, and the queues."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from simulator.timeline.state import DMA_ENGINES
from simulator.timelines import Timeline
from simulator.trace import Instruction, Trace

Array = np.ndarray[Any, Any]

QUEUE_TYPE = {"hwdge": "hardware_dynamic", "swdge": "software_dynamic", "none": "data"}
_PLACE = {"hbm": "DRAM", "sbuf": "SB", "psum": "PSUM"}

_TRANSFERS = pa.schema(
    [
        ("pcore_idx", pa.int32()),
        ("id", pa.string()),
        ("start_ts", pa.int64()),
        ("end_ts", pa.int64()),
        ("duration_ns", pa.int64()),
        ("queue_name", pa.string()),
        ("queue_idx", pa.int64()),
        ("queue_type", pa.string()),
        ("op", pa.string()),
        ("variable", pa.string()),
        ("read_bytes", pa.int64()),
        ("write_bytes", pa.int64()),
        ("transfer_bytes", pa.int64()),
        ("throughput", pa.float64()),
        ("source", pa.string()),
        ("dest", pa.string()),
        ("is_transpose_mode", pa.bool_()),
        ("descriptors", pa.int64()),
        ("trigger_idx", pa.int64()),
        ("nki_source_location", pa.string()),
    ]
)
_PACKETS = pa.schema(
    [("pcore_idx", pa.int32()), ("id", pa.string()), ("packet_aggregation_id", pa.string())]
    + [(name, pa.int64()) for name in ("start_ts", "end_ts", "duration_ns", "engine_idx", "queue_idx")]
    + [(name, pa.string()) for name in ("queue_name", "queue_type", "variable")]
    + [(name, pa.int64()) for name in ("read_bytes", "write_bytes", "transfer_bytes")]
    + [("throughput", pa.float64())]
)
_QUEUES = pa.schema(
    [("name", pa.string()), ("type", pa.string()), ("pcore_idx", pa.int32()), ("idx", pa.int64())]
)


def transfer_id(core: int, instruction: int) -> str:
    """The id of an instruction's transfer, as DmaPacketAggregated and Flow name it."""
    return f"dma:{core}:{instruction}"


def transfer_table(trace: Trace, timeline: Timeline) -> pa.Table:
    """DmaPacketAggregated: a row per transfer."""
    moved = _Moved(trace, timeline)
    places = [f"{s.file}:{s.line}" for s in trace.sources]
    sizes, transfers = [t.bytes for t in moved.transfers], moved.transfers
    columns = moved.shared() | {
        "id": moved.ids,
        "op": ["transpose" if t.transpose else "copy" for t in transfers],
        **_sizes(np.array(sizes, dtype=np.int64), moved.end - moved.start),
        "source": [_PLACE[t.source_memory] for t in transfers],
        "dest": [_PLACE[t.target_memory] for t in transfers],
        "is_transpose_mode": [t.transpose for t in transfers],
        "descriptors": [t.descriptors for t in transfers],
        "trigger_idx": timeline.transfers.instruction,
        "nki_source_location": [places[i.source] if places else None for i in moved.instructions],
    }
    return pa.table([columns[name] for name in _TRANSFERS.names], schema=_TRANSFERS)


def packet_table(trace: Trace, timeline: Timeline) -> pa.Table:
    """DmaPacket: a row per transfer and DMA engine, with the engine's share of the bytes."""
    moved = _Moved(trace, timeline)
    engines = (timeline.transfers.mask[:, None] >> np.arange(DMA_ENGINES)) & 1
    transfer, engine = np.nonzero(engines)
    whole, position = engines.sum(axis=1), (np.cumsum(engines, axis=1) - 1)[transfer, engine]
    sizes = np.array([t.bytes for t in moved.transfers], dtype=np.int64)
    share, rest = np.divmod(sizes, np.maximum(whole, 1))
    each, ids = pa.array(transfer), pa.array(moved.ids, pa.string())
    columns = {
        name: pa.array(column, _TRANSFERS.field(name).type).take(each)
        for name, column in moved.shared().items()
    }
    columns |= {
        "id": [f"{moved.ids[k]}:{e}" for k, e in zip(transfer.tolist(), engine.tolist(), strict=True)],
        "packet_aggregation_id": ids.take(each),
        "engine_idx": engine,
        **_sizes(share[transfer] + (position < rest[transfer]), (moved.end - moved.start)[transfer]),
    }
    return pa.table([columns[name] for name in _PACKETS.names], schema=_PACKETS)


def _sizes(sizes: Array, took: Array) -> dict[str, Any]:
    """The columns of bytes moved in `took` ns; there is no throughput where that is none."""
    rate = pa.array(sizes / np.maximum(took, 1) * 1e9, mask=took <= 0)
    return {"read_bytes": sizes, "write_bytes": sizes, "transfer_bytes": sizes, "throughput": rate}


class _Moved:
    """The transfers of a timeline with the instructions that started them."""

    def __init__(self, trace: Trace, timeline: Timeline) -> None:
        self.trace, self.moved = trace, timeline.transfers
        self.start, self.end = (
            np.rint(column).astype(np.int64) for column in (self.moved.start_ns, self.moved.end_ns)
        )
        self.triggers = list(zip(self.moved.core.tolist(), self.moved.instruction.tolist(), strict=True))
        self.instructions = [trace.cores[core][k] for core, k in self.triggers]
        self.transfers = [i.transfer for i in self.instructions if i.transfer is not None]
        self.ids = [transfer_id(core, k) for core, k in self.triggers]

    def queues(self) -> dict[tuple[int, str], tuple[int, str]]:
        """Number and type of each queue by core and name, in that order."""
        names = self.names()
        types = {key: QUEUE_TYPE[t.dge] for key, t in zip(names, self.transfers, strict=True)}
        numbers = dict.fromkeys(range(len(self.trace.cores)), -1)
        found = {}
        for core, name in sorted(types):
            numbers[core] += 1
            found[core, name] = numbers[core], types[core, name]
        return found

    def names(self) -> list[tuple[int, str]]:
        """Each transfer's core and queue."""
        queues = [self.moved.names[queue] for queue in self.moved.queue.tolist()]
        return list(zip(self.moved.core.tolist(), queues, strict=True))

    def shared(self) -> dict[str, Any]:
        """The columns that a transfer and its packets have in common."""
        queues, names = self.queues(), self.names()
        return {
            "pcore_idx": self.moved.core,
            "start_ts": self.start,
            "end_ts": self.end,
            "duration_ns": self.end - self.start,
            "queue_name": [name for _, name in names],
            "queue_idx": [queues[key][0] for key in names],
            "queue_type": [QUEUE_TYPE[t.dge] for t in self.transfers],
            "variable": [_variable(self.trace, i) for i in self.instructions],
        }


def queue_table(trace: Trace, timeline: Timeline) -> pa.Table:
    """DmaQueuesInfo: the queues transfers went through."""
    rows = [
        {"name": name, "type": kind, "pcore_idx": core, "idx": number}
        for (core, name), (number, kind) in _Moved(trace, timeline).queues().items()
    ]
    return pa.Table.from_pylist(rows, _QUEUES)


def _variable(trace: Trace, instruction: Instruction) -> str:
    """The tensor in HBM a transfer is about, else the one it writes."""
    regions = (*instruction.reads, *instruction.writes)
    for region in regions:
        if trace.tensors[region.tensor].memory == "hbm":
            return trace.tensors[region.tensor].name
    chosen = instruction.writes or instruction.reads
    return trace.tensors[chosen[0].tensor].name if chosen else ""
