"""Schedules of the same program with one resource idealised: what the resource costs the launch.

The cost of a resource is the time saved when it takes none and all else stays: dependencies, the other
resources, the rule of the schedule (Fields, Bodik, Hill, Newburn: Using Interaction Costs for
Microarchitectural Bottleneck Analysis, MICRO 2003). Activity alone does not tell: an engine may be active all
the time beside a queue that nobody could outrun.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from simulator.timeline.lists import Array
from simulator.timeline.plan import Plan
from simulator.timeline.schedule import duration, ended
from simulator.timeline.state import ENGINE, LANES
from simulator.trace import Engine

Change = Callable[[Array, Array], None]
"""Idealises a resource in place, in a plan's records of instructions and of transfers."""


def ideal_ns(plan: Plan, duration_ns: float) -> dict[str, float]:
    """Duration in ns by idealised resource, list-scheduled.

    `duration_ns` is the duration as it is. A greedy schedule may take longer with less to do; then the
    resource costs nothing.
    """
    return {
        name: min(duration_ns, _duration(plan, change, duration_ns)) for name, change in RESOURCES.items()
    }


def _duration(plan: Plan, change: Change, otherwise_ns: float) -> float:
    """The duration after a change, `otherwise_ns` where it changes nothing."""
    instructions, transfers = plan.instructions.copy(), plan.transfers.copy()
    change(instructions, transfers)
    if _equal(instructions, plan.instructions) and _equal(transfers, plan.transfers):
        return otherwise_ns
    return duration(ended(replace(plan, instructions=instructions, transfers=transfers), "list"))


def _equal(records: Array, others: Array) -> bool:
    return np.array_equal(records.view(np.uint8), others.view(np.uint8))


def _engine(name: Engine, instructions: Array, transfers: Array) -> None:
    """The engine computes in no time; what it triggers and sends to other ranks is not its work."""
    del transfers
    own = (instructions["lane"] % LANES == ENGINE[name]) & (instructions["transfer"] < 0)
    _take_no_time(instructions, own & ~instructions["collective"])


def _collectives(instructions: Array, transfers: Array) -> None:
    del transfers
    _take_no_time(instructions, instructions["collective"])


def _take_no_time(instructions: Array, chosen: Array) -> None:
    for name in ("issue_ns", "latency_ns", "load_ns", "table", "exclusive"):
        instructions[name][chosen] = 0


def _moved_at_once(instructions: Array, transfers: Array) -> None:
    del instructions
    transfers["work_ns"], transfers["hbm_bytes"] = 0.0, 0


def _without_latency(instructions: Array, transfers: Array) -> None:
    del instructions
    transfers["latency_ns"], transfers["tail_ns"] = _issuing(transfers), 0.0


def _issued_at_once(instructions: Array, transfers: Array) -> None:
    """Only what remains of the latency when the triggering engine's part of it is gone."""
    del instructions
    transfers["latency_ns"] -= _issuing(transfers)
    for name in ("prepare_ns", "issue_ns", "printed_ns"):
        transfers[name] = 0.0


def _issuing(transfers: Array) -> Array:
    """The part of the latency in which the triggering engine is at work."""
    least: Array = np.minimum(transfers["issue_ns"], transfers["latency_ns"])
    return least


def _without_semaphores(instructions: Array, transfers: Array) -> None:
    del transfers
    instructions["semaphore_ns"] = instructions["transfer_ns"] = 0.0


RESOURCES: dict[str, Change] = {
    "tensor": partial(_engine, "tensor"),
    "vector": partial(_engine, "vector"),
    "scalar": partial(_engine, "scalar"),
    "gpsimd": partial(_engine, "gpsimd"),
    "dma_rate": _moved_at_once,
    "dma_latency": _without_latency,
    "dma_issue": _issued_at_once,
    "semaphores": _without_semaphores,
    "collectives": _collectives,
}
"""What can be idealised: engines' own work, moving bytes, a transfer's fixed latency, starting it, handing
over between engines, and exchanges between ranks."""
