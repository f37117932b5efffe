"""The event loop: a core's five in-order engines, the DMA queues, and what they share.

Events are handled in order of time, so shared things (DMA engines, HBM, PSUM banks, the SBUF port of
VectorE and GpSimd, the throttle) see their users in the order the hardware would. A result's time is known
when its instruction starts; that releases the instructions that wait for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from heapq import heappop, heappush

from simulator.errors import SimulatorError
from simulator.timeline.plan import Plan
from simulator.timeline.throttle import Throttle
from simulator.timeline.transfers import Channels, Moving
from simulator.trace import ENGINES

_LANES = len(ENGINES)
_NEVER = float("inf")


class Clock(ABC):
    """One scheduling of a plan. Subclasses say which instruction an engine takes next.

    After `run()`: `start`, `end`, `ready` and `critical` by instruction, `moved` the transfers,
    `table_loads` and `throttle` by core.
    `end[g]` is when g's result is complete; for a transfer, when its issue is. `ordered` says whether order
    edges are counted (program order keeps them by itself).
    """

    ordered = False

    def __init__(self, plan: Plan) -> None:
        count = len(plan.instructions)
        cores = len(plan.trace.cores)
        self.plan = plan
        self.start = [-1.0] * count
        self.end = [0.0] * count
        self.ready = [0.0] * count
        self.critical = [-1] * count
        self.moved: list[tuple[Moving, float]] = []
        self.left = self._count_edges(plan)
        self.free = [0.0] * (cores * _LANES)
        self.last = [-1] * (cores * _LANES)
        self.events: list[tuple[float, int]] = []
        self._remaining = count
        self._channels = Channels(plan.machine)
        self.table_loads: list[tuple[int, float, float]] = []
        self.throttle = [Throttle(plan.machine.tensor) for _ in range(cores)]
        self._loaded = [-1] * cores
        self._stream_start = [0.0] * cores
        self._table = [0] * cores
        banks = int(plan.machine.onchip.psum_banks)
        self._bank_until = [[0.0] * banks for _ in range(cores)]
        self._bank_user = [[-1] * banks for _ in range(cores)]
        self._port_until = [0.0] * cores
        self._port_user = [-1] * cores
        self._arrived: dict[int, float] = {}
        self._lane, self._kind, self._partner = plan.lane, plan.kind, plan.partner
        self._out, self._order_out, self._semaphore_ns = plan.out, plan.order_out, plan.semaphore_ns
        self._issue = [c.issue_ns for c in plan.cost]
        self._latency = [c.latency_ns for c in plan.cost]
        self._load = [c.load_ns for c in plan.cost]
        self._shares = [bool(b) or c.exclusive for b, c in zip(plan.banks, plan.cost, strict=True)]
        self._banks, self._reload = plan.banks, plan.reload
        self._starters = (self._plain, self._tensor, self._scalar, self._transfer)

    def run(self) -> None:
        """Give every instruction its times; raises `SimulatorError` when the cores wait for each other
        forever.
        """
        lanes = len(self.free)
        events, decide = self.events, self.decide
        self.begin()
        while events:
            now, code = heappop(events)
            if code < lanes:
                decide(now, code)
            elif code > lanes:
                self._arrive(now, code - lanes - 1)
            elif now == self._channels.next_ns:
                self._leave(now)
        if self._remaining:
            raise SimulatorError(
                f"{self._remaining} instructions of {self.plan.trace.kernel} wait for each other forever.",
                "Check that both cores take part in every barrier and exchange, in the same order.",
            )

    @abstractmethod
    def begin(self) -> None:
        """Wake the engines whose first instruction waits for nothing."""

    @abstractmethod
    def decide(self, now: float, lane: int) -> None:
        """Let an engine take an instruction, or nothing."""

    @abstractmethod
    def released(self, g: int) -> None:
        """Instruction g now waits for nothing but its engine."""

    def _count_edges(self, plan: Plan) -> list[int]:
        return list(plan.waits)

    # ------------------------------------------------------------------ starting an instruction

    def try_start(self, now: float, g: int) -> float:
        """Start g, or return the time to ask again (`inf` when another core will wake the engine)."""
        if self._shares[g]:
            until = self._blocked(now, g)
            if until > now:
                return until
        if self._partner[g] >= 0:
            return self._meet(now, g)
        self._starters[self._kind[g]](now, g)
        self._remaining -= 1
        return now

    def _meet(self, now: float, g: int) -> float:
        other = self.plan.partner[g]
        came = self._arrived.get(other)
        if came is None:
            self._arrived[g] = now
            self.free[self.plan.lane[g]] = _NEVER
            return _NEVER
        self.free[self.plan.lane[other]] = came
        for one, waited_for in ((g, -1), (other, g)):
            self._starters[self.plan.kind[one]](now, one)
            if waited_for >= 0 and now > came:
                self.ready[one], self.critical[one] = now, waited_for
            self._remaining -= 1
        self.started(other)
        return now

    @abstractmethod
    def started(self, g: int) -> None:
        """Instruction g, held at an exchange, has started through its partner."""

    def _blocked(self, now: float, g: int) -> float:
        """Until when a PSUM bank or the shared port keeps g from starting."""
        lanes = self._lane
        lane = lanes[g]
        core = lane // _LANES
        until = now
        busy = self._bank_until[core]
        for bank in self._banks[g]:
            if busy[bank] > until:
                user = self._bank_user[core][bank]
                if user >= 0 and lanes[user] != lane:
                    until, self.critical[g] = busy[bank], user
        if self._port_until[core] > until and self.plan.cost[g].exclusive:
            user = self._port_user[core]
            if lanes[user] != lane:
                until, self.critical[g] = self._port_until[core], user
        return until

    def _plain(self, now: float, g: int) -> None:
        self._finish(now, g, now + self._issue[g], now + self._latency[g])

    def _scalar(self, now: float, g: int) -> None:
        """An activation: a change of function set loads a table first, while it waits if it can."""
        cost = self.plan.cost[g]
        lane = self.plan.lane[g]
        core = lane // _LANES
        begin = now
        if self._table[core] != cost.table:
            self._table[core] = cost.table
            load = self.plan.machine.scalar.table_load_ns
            self.table_loads.append((core, self.free[lane], self.free[lane] + load))
            begin = max(now, self.free[lane] + load)
        self._finish(begin, g, begin + cost.issue_ns, begin + cost.latency_ns)

    def _tensor(self, now: float, g: int) -> None:
        """A matmul: weights load behind the previous one as far as they can; the throttle stretches the
        stream.
        """
        core = self._lane[g] // _LANES
        reload, begin = self._reload[g], now
        if reload < 0 or reload != self._loaded[core]:
            self._loaded[core] = reload
            since, ready = self._stream_start[core], self.ready[g]
            hidden = now - (ready if ready > since else since)
            exposed = self._load[g] - (hidden if hidden > 0.0 else 0.0)
            if exposed > 0.0:
                begin = now + exposed
        issue = self._issue[g]
        busy = begin + self.throttle[core].stretch(begin, issue)
        self._stream_start[core] = begin
        self._finish(now, g, busy, busy + self._latency[g] - issue)

    def _transfer(self, now: float, g: int) -> None:
        moved = self.plan.movement[g]
        assert moved is not None
        begin = max(now, self.ready[g] + moved.prepare_ns)
        self._take(begin, g, begin + moved.issue_ns, begin + moved.printed_ns)
        heappush(self.events, (begin + moved.latency_ns, len(self.free) + 1 + g))
        if self.ordered:
            for c in self._order_out[g]:
                self.order_met(c)

    def _finish(self, now: float, g: int, busy: float, end: float) -> None:
        """Note the times of g and release what waited for it."""
        self._take(now, g, busy, end)
        if self._shares[g]:
            self._occupy(g, self._lane[g] // _LANES, busy)
        out = self._out[g]
        if out:
            self._release(g, end, out, self._semaphore_ns)
        if self.ordered:
            for c in self._order_out[g]:
                self.order_met(c)

    def _take(self, now: float, g: int, busy: float, end: float) -> None:
        lane, free, critical = self._lane[g], self.free, self.critical
        if now > self.ready[g] and (critical[g] < 0 or free[lane] >= now):
            critical[g] = self.last[lane]
        self.start[g] = now
        self.end[g] = end
        free[lane] = busy
        self.last[lane] = g

    def _occupy(self, g: int, core: int, until: float) -> None:
        for bank in self._banks[g]:
            self._bank_until[core][bank] = until
            self._bank_user[core][bank] = g
        if self.plan.cost[g].exclusive:
            self._port_until[core] = until
            self._port_user[core] = g

    def _release(self, g: int, done: float, out: list[int], delay: list[float]) -> None:
        ready, critical, left = self.ready, self.critical, self.left
        for c in out:
            t = done + delay[c]
            if t > ready[c]:
                ready[c] = t
                critical[c] = g
            left[c] -= 1
            if not left[c]:
                self.released(c)

    @abstractmethod
    def order_met(self, g: int) -> None:
        """An instruction that g must follow on its engine was issued."""

    # ------------------------------------------------------------------ transfers

    def _arrive(self, now: float, g: int) -> None:
        moved = self.plan.movement[g]
        assert moved is not None
        core = self.plan.lane[g] // _LANES
        work = max(moved.work_ns, 1e-3)
        stores = self.plan.stores[g]
        moving = Moving(g, core, self.plan.queue[g], moved.mask, work, moved.hbm_bytes / work, stores)
        self._channels.arrive(now, moving)
        self._watch()

    def _leave(self, now: float) -> None:
        for moving in self._channels.leave(now):
            moved = self.plan.movement[moving.instruction]
            assert moved is not None
            self.moved.append((moving, now + moved.tail_ns))
            waiting = self._out[moving.instruction]
            self._release(moving.instruction, now + moved.tail_ns, waiting, self.plan.transfer_ns)
        self._watch()

    def _watch(self) -> None:
        if self._channels.next_ns < _NEVER:
            heappush(self.events, (self._channels.next_ns, len(self.free)))
