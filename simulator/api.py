"""The simulator's front door: a kernel and its arguments in, results and timelines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from simulator.trace import Trace

if TYPE_CHECKING:
    from simulator.timeline.plan import Plan

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class KernelRef:
    """A kernel by place: a file and the function in it, or an importable module and the function in it.

    `paths` are further folders a file's imports are looked for in.
    """

    function: str
    file: str | None = None
    module: str | None = None
    paths: tuple[str, ...] = ()


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
