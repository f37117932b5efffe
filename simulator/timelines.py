"""What scheduling a trace leaves behind: when its instructions and transfers ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class ScheduledTransfer:
    """One DMA transfer on the timeline (ns, relative to the launch)."""

    core: int
    instruction: int
    queue: str
    start_ns: float
    end_ns: float
    engines: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Transfers(Sequence[ScheduledTransfer]):
    """The DMA transfers of a timeline, in the order they ended: a column each, or read one by one.

    `queue` indexes `names`; `mask` has a bit for each DMA engine that takes part.
    """

    core: Array
    instruction: Array
    queue: Array
    start_ns: Array
    end_ns: Array
    mask: Array
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.core)

    @overload
    def __getitem__(self, at: int) -> ScheduledTransfer: ...

    @overload
    def __getitem__(self, at: slice) -> Transfers: ...

    def __getitem__(self, at: int | slice) -> ScheduledTransfer | Transfers:
        columns = (self.core, self.instruction, self.queue, self.start_ns, self.end_ns, self.mask)
        if isinstance(at, slice):
            core, instruction, queue, start, end, mask = (column[at] for column in columns)
            return Transfers(core, instruction, queue, start, end, mask, self.names)
        core, instruction, queue, start, end, mask = (column[at].item() for column in columns)
        engines = tuple(e for e in range(mask.bit_length()) if mask >> e & 1)
        return ScheduledTransfer(core, instruction, self.names[queue], start, end, engines)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Start and end of every instruction and transfer under one scheduling rule.

    `start_ns[c]`, `end_ns[c]`, `ready_ns[c]` are arrays over core c's instructions; `ready_ns` is when data
    and semaphores allowed the instruction to start, so `start - ready` is waiting for the engine.
    `critical[c]` is what each instruction waited for last, [n, 2] as (core, index), or (-1, -1). `end_ns`
    is when a result is complete, so an engine's pipelined instructions overlap; a DMA instruction's is its
    issue, the movement is in `transfers`. `table_loads` are loads of an activation table as (core, start,
    end); `throttled_ns[c]` is the time core c's tensor engine streamed below its full rate.
    """

    order: str
    duration_ns: float
    start_ns: tuple[Array, ...]
    end_ns: tuple[Array, ...]
    ready_ns: tuple[Array, ...]
    critical: tuple[Array, ...]
    transfers: Transfers
    sbuf_peak_bytes: int
    psum_peak_banks: int
    table_loads: tuple[tuple[int, float, float], ...] = ()
    throttled_ns: tuple[float, ...] = ()
