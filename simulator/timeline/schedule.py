"""From a trace to its timelines."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np

from simulator.api import ScheduledTransfer, Timeline
from simulator.pause import collector_paused
from simulator.timeline.clock import Clock
from simulator.timeline.orders import AsWritten, ListScheduled
from simulator.timeline.plan import Plan, prepare
from simulator.trace import Trace

Order = Literal["as_written", "list"]
_CLOCKS: dict[Order, type[Clock]] = {"as_written": AsWritten, "list": ListScheduled}


def schedule(trace: Trace, order: Order, plan: Plan | None = None) -> Timeline:
    """Put a trace on the engines and DMA queues of its cores.

    "as_written": every engine takes its instructions in program order. "list": what the compiler may
    reorder is, greedily by the longest way to the end. `plan` is `prepare(trace)` when the caller already
    has it. Times are ns from the launch, without the fixed envelope of a profiled execution. Raises
    `SimulatorError` when the cores wait for each other forever.
    """
    plan = plan or prepare(trace)
    with collector_paused():
        clock = _CLOCKS[order](plan)
        clock.run()
    transfers = _transfers(plan, clock)
    last = max((t.end_ns for t in transfers), default=0.0)
    return Timeline(
        order=order,
        duration_ns=max(max(clock.end, default=0.0), last),
        start_ns=_split(plan, clock.start),
        end_ns=_split(plan, clock.end),
        ready_ns=_split(plan, clock.ready),
        critical=_critical(plan, clock),
        transfers=transfers,
        sbuf_peak_bytes=max((p.sbuf_peak_bytes for p in plan.placements), default=0),
        psum_peak_banks=max((p.psum_peak_banks for p in plan.placements), default=0),
        table_loads=tuple(clock.table_loads),
        throttled_ns=tuple(t.throttled_ns for t in clock.throttle),
    )


def _split(plan: Plan, values: list[float]) -> tuple[np.ndarray, ...]:
    return tuple(np.array(values[a:b]) for a, b in zip(plan.base, plan.base[1:], strict=False))


def _critical(plan: Plan, clock: Clock) -> tuple[tuple[tuple[int, int] | None, ...], ...]:
    places: list[tuple[int, int] | None]
    places = [(core, i) for core, rows in enumerate(plan.trace.cores) for i in range(len(rows))]
    places.append(None)  # what -1 names
    named = [places[p] for p in clock.critical]
    return tuple(tuple(named[a:b]) for a, b in zip(plan.base, plan.base[1:], strict=False))


def _transfers(plan: Plan, clock: Clock) -> tuple[ScheduledTransfer, ...]:
    return tuple(
        ScheduledTransfer(
            core=m.core,
            instruction=m.instruction - plan.base[m.core],
            queue=m.queue,
            start_ns=m.started_ns,
            end_ns=end,
            engines=engines_of(m.mask),
        )
        for m, end in clock.moved
    )


@cache
def engines_of(mask: int) -> tuple[int, ...]:
    """DMA engine numbers of a mask."""
    return tuple(e for e in range(mask.bit_length()) if mask >> e & 1)
