"""The two rules by which an engine takes its next instruction: as written, and list-scheduled."""

from __future__ import annotations

from heapq import heappop, heappush

from simulator.timeline.clock import Clock
from simulator.timeline.plan import Plan
from simulator.trace import FIRST_DIALECT

_NEVER = float("inf")
WINDOW = {"nki": 512, FIRST_DIALECT: 16}
"""How far ahead of its oldest waiting instruction the list scheduler looks on an engine, by dialect.

Assumed for the current one. For the first dialect it is fitted, among powers of two, to the public times of
the attention and MLP kernels of allenkchau/trainium-kernel-fusion.
"""


class AsWritten(Clock):
    """Every engine takes its instructions in program order."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._programs = programs(plan, len(self.free))
        self._next = [0] * len(self.free)

    def begin(self) -> None:
        """Wake the engines whose first instruction waits for nothing."""
        for lane in range(len(self.free)):
            self._wake(lane)

    def decide(self, now: float, lane: int) -> None:
        """Start the engine's next instructions while nothing else happens before them."""
        program, events = self._programs[lane], self.events
        while True:
            position = self._next[lane]
            again = self.try_start(now, program[position])
            if again != now:
                break
            self._next[lane] = position = position + 1
            if position == len(program) or self.left[program[position]]:
                return
            ready, free = self.ready[program[position]], self.free[lane]
            again = ready if ready > free else free
            if events and events[0][0] < again:
                break
            now = again
        if again < _NEVER:
            heappush(events, (again, lane))

    def released(self, g: int) -> None:
        """Wake the engine when g is its next instruction."""
        lane = self._lane[g]
        position = self._next[lane]
        if self._programs[lane][position] == g and self.start[g] < 0:
            heappush(self.events, (max(self.ready[g], self.free[lane]), lane))

    def started(self, g: int) -> None:
        """Move on after an exchange."""
        lane = self._lane[g]
        self._next[lane] += 1
        self._wake(lane)

    def order_met(self, g: int) -> None:
        """Nothing to do: program order keeps every order edge."""

    def _wake(self, lane: int) -> None:
        program, position = self._programs[lane], self._next[lane]
        if position < len(program) and not self.left[program[position]]:
            g = program[position]
            heappush(self.events, (max(self.ready[g], self.free[lane]), lane))


class ListScheduled(Clock):
    """An engine takes, of the instructions ready for it, the one with the longest way to the end of the
    kernel.

    What the compiler may reorder: independent instructions within a window of the engine's program, never
    across an instruction marked `no_reorder`.
    """

    ordered = True

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        lanes = len(self.free)
        self._programs = programs(plan, lanes)
        self._place = [0] * len(plan.instructions)
        for program in self._programs:
            for position, g in enumerate(program):
                self._place[g] = position
        self._oldest = [0] * lanes
        self._reach = [0] * lanes
        self._pending: list[list[tuple[float, int]]] = [[] for _ in range(lanes)]
        self._available: list[list[tuple[float, int]]] = [[] for _ in range(lanes)]
        self._alarm = [_NEVER] * lanes
        self._priority = way_to_the_end(plan)
        self._window = WINDOW[plan.trace.dialect]

    def _count_edges(self, plan: Plan) -> list[int]:
        return [waits + orders for waits, orders in zip(plan.waits, plan.orders, strict=True)]

    def begin(self) -> None:
        """Open every engine's window."""
        for lane in range(len(self.free)):
            self._widen(lane)

    def decide(self, now: float, lane: int) -> None:
        """Start the most urgent instruction that is ready."""
        if now != self._alarm[lane]:
            return
        self._alarm[lane] = _NEVER
        if self.free[lane] > now:
            self._set_alarm(lane, self.free[lane])
            return
        pending, available = self._pending[lane], self._available[lane]
        while pending and pending[0][0] <= now:
            g = heappop(pending)[1]
            heappush(available, (-self._priority[g], g))
        if available:
            self._start(now, lane, heappop(available)[1])
        elif pending:
            self._set_alarm(lane, pending[0][0])

    def released(self, g: int) -> None:
        """Queue g when its engine's window has reached it."""
        lane = self._lane[g]
        if self._place[g] < self._reach[lane]:
            ready, free = self.ready[g], self.free[lane]
            heappush(self._pending[lane], (ready, g))
            self._set_alarm(lane, ready if ready > free else free)

    def started(self, g: int) -> None:
        """Move on after an exchange."""
        self._advance(self._lane[g])

    def order_met(self, g: int) -> None:
        """Count down to g's release."""
        self.left[g] -= 1
        if not self.left[g]:
            self.released(g)

    def _start(self, now: float, lane: int, g: int) -> None:
        again = self.try_start(now, g)
        if again == now:
            self._advance(lane)
        elif again < _NEVER:
            heappush(self._pending[lane], (again, g))
            self._set_alarm(lane, self._next_time(lane, now))

    def _next_time(self, lane: int, now: float) -> float:
        return now if self._available[lane] else self._pending[lane][0][0]

    def _set_alarm(self, lane: int, time: float) -> None:
        if time < self._alarm[lane]:
            self._alarm[lane] = time
            heappush(self.events, (time, lane))

    def _advance(self, lane: int) -> None:
        program, start = self._programs[lane], self.start
        oldest = before = self._oldest[lane]
        while oldest < len(program) and start[program[oldest]] >= 0:
            oldest += 1
        if oldest != before:
            self._oldest[lane] = oldest
            self._widen(lane)
        free, pending = self.free[lane], self._pending[lane]
        if self._available[lane]:
            self._set_alarm(lane, free)
        elif pending:
            first = pending[0][0]
            self._set_alarm(lane, first if first > free else free)

    def _widen(self, lane: int) -> None:
        """Let the window reach on: to its width, or to the next fence, or past a fence that is the oldest."""
        program, fence, left = self._programs[lane], self.plan.fence, self.left
        oldest, reach = self._oldest[lane], self._reach[lane]
        limit = min(len(program), oldest + self._window)
        while reach < limit:
            g = program[reach]
            if reach > oldest and (fence[g] or fence[program[reach - 1]]):
                break
            reach += 1
            self._reach[lane] = reach
            if not left[g]:
                self.released(g)


def programs(plan: Plan, lanes: int) -> list[list[int]]:
    """Every engine's instructions in program order."""
    result: list[list[int]] = [[] for _ in range(lanes)]
    for g, lane in enumerate(plan.lane):
        result[lane].append(g)
    return result


def way_to_the_end(plan: Plan) -> list[float]:
    """The longest chain of latencies from each instruction's start to the kernel's end, in ns."""
    way = [0.0] * len(plan.instructions)
    cost, semaphore = plan.cost, plan.semaphore_ns
    own = [
        spent.latency_ns if moved is None else moved.latency_ns + moved.work_ns + moved.tail_ns
        for spent, moved in zip(cost, plan.movement, strict=True)
    ]
    for g in range(len(way) - 1, -1, -1):
        longest = in_order = 0.0
        for c in plan.out[g]:
            after = way[c] + semaphore[c]
            if after > longest:
                longest = after
        for c in plan.order_out[g]:
            if way[c] > in_order:
                in_order = way[c]
        waited, issued = own[g] + longest, cost[g].issue_ns + in_order
        way[g] = waited if waited > issued else issued
    return way
