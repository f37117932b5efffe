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

from simulator.costs.cost import Cost
from simulator.costs.dma import Movement
from simulator.costs.sequencer import COLLECTIVES
from simulator.timeline.plan import Plan
from simulator.timeline.schedule import schedule

NOTHING = Cost(0.0, 0.0)


def ideal_ns(plan: Plan, duration_ns: float) -> dict[str, float]:
    """Duration in ns by idealised resource, list-scheduled.

    `duration_ns` is the duration as it is. A greedy schedule may take longer with less to do; then the
    resource costs nothing.
    """
    return {
        name: min(duration_ns, schedule(plan.trace, "list", change(plan)).duration_ns)
        for name, change in RESOURCES.items()
    }


def _engine(name: str, plan: Plan) -> Plan:
    """The engine computes in no time; what it triggers and sends to other ranks is not its work."""
    cost = [
        NOTHING if i.engine == name and moved is None and i.call not in COLLECTIVES else was
        for i, moved, was in zip(plan.instructions, plan.movement, plan.cost, strict=True)
    ]
    return replace(plan, cost=cost)


def _collectives(plan: Plan) -> Plan:
    cost = [
        NOTHING if i.call in COLLECTIVES else was for i, was in zip(plan.instructions, plan.cost, strict=True)
    ]
    return replace(plan, cost=cost)


def _transfers(change: Callable[[Movement], Movement], plan: Plan) -> Plan:
    return replace(plan, movement=[None if moved is None else change(moved) for moved in plan.movement])


def _moved_at_once(moved: Movement) -> Movement:
    return moved._replace(work_ns=0.0, hbm_bytes=0)


def _without_latency(moved: Movement) -> Movement:
    return moved._replace(latency_ns=_issuing(moved), tail_ns=0.0)


def _issued_at_once(moved: Movement) -> Movement:
    left = moved.latency_ns - _issuing(moved)
    return moved._replace(prepare_ns=0.0, issue_ns=0.0, printed_ns=0.0, latency_ns=left)


def _issuing(moved: Movement) -> float:
    """The part of the latency in which the triggering engine is at work."""
    return min(moved.issue_ns, moved.latency_ns)


def _without_semaphores(plan: Plan) -> Plan:
    none = [0.0] * len(plan.semaphore_ns)
    return replace(plan, semaphore_ns=none, transfer_ns=none)


RESOURCES: dict[str, Callable[[Plan], Plan]] = {
    "tensor": partial(_engine, "tensor"),
    "vector": partial(_engine, "vector"),
    "scalar": partial(_engine, "scalar"),
    "gpsimd": partial(_engine, "gpsimd"),
    "dma_rate": partial(_transfers, _moved_at_once),
    "dma_latency": partial(_transfers, _without_latency),
    "dma_issue": partial(_transfers, _issued_at_once),
    "semaphores": _without_semaphores,
    "collectives": _collectives,
}
"""What can be idealised: engines' own work, moving bytes, a transfer's fixed latency, starting it, handing
over between engines, and exchanges between ranks."""
