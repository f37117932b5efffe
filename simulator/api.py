"""The simulator's front door: a kernel and its arguments in, results and timelines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from simulator.kernel_ref import KernelRef
from simulator.timelines import Timeline
from simulator.trace import Trace

if TYPE_CHECKING:
    from simulator.timeline.plan import Plan


@dataclass(frozen=True, slots=True)
class Simulation:
    """A launch: its trace and both schedules of its plan. The truth usually lies between the two."""

    trace: Trace
    as_written: Timeline
    list_scheduled: Timeline
    plan: Plan


def scheduled(trace: Trace) -> Simulation:
    """A trace with both of its schedules. Raises `SimulatorError` when its cores wait for each other."""
    from simulator.timeline.plan import prepare
    from simulator.timeline.schedule import schedule

    plan = prepare(trace)
    return Simulation(trace, schedule(trace, "as_written", plan), schedule(trace, "list", plan), plan)


def simulate(
    kernel: KernelRef,
    arguments: Mapping[str, Any],
    *,
    target: str = "trn3",
    lnc: int = 2,
    values: bool = True,
) -> Simulation:
    """Execute `kernel` on NumPy `arguments` and time it on `target` ("trn2" or "trn3") with `lnc` cores.

    With `values=False` shapes alone are traced; inputs that steer addresses still need values.
    Raises `KernelRefused`, `UnknownName` or `BadKernel`.
    """
    from simulator.compiler.first_dialect import compiled
    from simulator.nki.execute import execute

    return scheduled(compiled(execute(kernel, arguments, target=target, lnc=lnc, values=values)))


def simulate_ranks(
    kernel: KernelRef,
    arguments: Sequence[Mapping[str, Any]],
    *,
    target: str = "trn3",
    lnc: int = 2,
) -> tuple[Simulation, ...]:
    """Execute `kernel` on as many ranks as there are arguments, each with its own HBM, and time each.

    Ranks are taken to reach a collective together: a rank's times leave out waiting for a slower one. Ranks
    that do the same work share one schedule.
    """
    from simulator.compiler.first_dialect import compiled
    from simulator.nki.execute import execute_ranks

    found: list[Simulation] = []
    for executed in execute_ranks(kernel, arguments, target=target, lnc=lnc):
        trace = compiled(executed)
        same = next((one for one in found if one.trace.does_as(trace)), None)
        found.append(scheduled(trace) if same is None else replace(same, trace=trace))
    return tuple(found)


def idealised(simulation: Simulation) -> dict[str, float]:
    """Durations in ns, list-scheduled, were one resource ideal, by `simulator.timeline.ideal.RESOURCES`."""
    from simulator.timeline.ideal import ideal_ns

    return ideal_ns(simulation.plan, simulation.list_scheduled.duration_ns)
