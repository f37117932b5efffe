"""From a trace to its timelines."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np

from simulator.errors import SimulatorError
from simulator.timeline.clock import run
from simulator.timeline.lists import Array
from simulator.timeline.plan import Plan, prepare
from simulator.timeline.state import LANES, WINDOW, State, beginning
from simulator.timelines import Timeline, Transfers
from simulator.trace import Trace

Order = Literal["as_written", "list"]


def schedule(trace: Trace, order: Order, plan: Plan | None = None) -> Timeline:
    """Put a trace on the engines and DMA queues of its cores.

    "as_written": every engine takes its instructions in program order. "list": what the compiler may
    reorder is, greedily by the longest way to the end. `plan` is `prepare(trace)` when the caller already
    has it. Times are ns from the launch, without the fixed envelope of a profiled execution. Raises
    `SimulatorError` when the cores wait for each other forever.
    """
    plan = plan or prepare(trace)
    done = ended(plan, order)
    times, onchip = done.instructions, plan.machine.onchip
    sbuf, psum = plan.peaks.max(axis=0, initial=0).tolist()
    return Timeline(
        order=order,
        duration_ns=duration(done),
        start_ns=_split(plan, times["start_ns"]),
        end_ns=_split(plan, times["end_ns"]),
        ready_ns=_split(plan, times["ready_ns"]),
        critical=_split(plan, plan.places[times["critical"]]),
        transfers=_transfers(plan, done),
        sbuf_peak_bytes=sbuf * int(onchip.partitions),
        psum_peak_banks=min(int(onchip.psum_banks), -(-psum // int(onchip.psum_bank_bytes))),
        table_loads=_table_loads(plan, done),
        throttled_ns=tuple(done.cores["throttled_ns"].tolist()),
    )


def ended(plan: Plan, order: Order) -> State:
    """The clock when everything has ended. Raises `SimulatorError` when it never does."""
    window = WINDOW[plan.trace.dialect] if order == "list" else 0
    state = beginning(
        plan.machine,
        window,
        plan.instructions,
        plan.edges,
        plan.transfers,
        cores=len(plan.trace.cores),
        queues=len(plan.queues),
    )
    run(state)
    held = len(plan.instructions) - int(state.clock["started"][0])
    if held:
        raise SimulatorError(
            f"{held} instructions of {plan.trace.kernel} wait for each other forever.",
            "Check that both cores take part in every barrier and exchange, in the same order.",
        )
    return state


def compile_scheduler() -> None:
    """Have the machine code of this source made, where it is not on disk."""
    schedule(Trace("nothing", "trn2", 1, [[]], [], [], {}), "list")


def duration(done: State) -> float:
    """From the launch to the last result, ns."""
    ends = done.instructions["end_ns"], done.transfers["ended_ns"]
    return float(max(each.max(initial=0.0) for each in ends))


def _split(plan: Plan, values: Array) -> tuple[Array, ...]:
    """Each core's part; the parts share memory, which is theirs alone."""
    own, base = np.ascontiguousarray(values), plan.base.tolist()
    return tuple(own[start:end] for start, end in pairwise(base))


def _transfers(plan: Plan, done: State) -> Transfers:
    moved = done.transfers[done.transfers["moved"]]
    return Transfers(
        core=moved["core"],
        instruction=moved["instruction"] - plan.base[moved["core"]],
        queue=moved["queue"],
        start_ns=moved["started_ns"],
        end_ns=moved["ended_ns"],
        mask=moved["mask"],
        names=tuple(name for _, name in plan.queues),
    )


def _table_loads(plan: Plan, done: State) -> tuple[tuple[int, float, float], ...]:
    if not done.clock["loads"][0]:
        return ()
    loading = done.instructions[done.instructions["loads"] > 0]
    loading = loading[np.argsort(loading["loads"])]
    start = loading["load_start_ns"]
    end = start + plan.machine.scalar.table_load_ns
    return tuple(zip((loading["lane"] // LANES).tolist(), start.tolist(), end.tolist(), strict=True))
