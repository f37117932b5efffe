"""The event loop: a core's five in-order engines, the DMA queues, and what they share.

Events are handled in order of time, so shared things (DMA engines, HBM, PSUM banks, the SBUF port of
VectorE and GpSimd, the throttle) see their users in the order the hardware would. Of events at the same time
engines come first, by number, then transfers that leave, then those that arrive.
"""

from __future__ import annotations

from simulator.timeline.compiled import entry, part
from simulator.timeline.engines import release, try_start
from simulator.timeline.heap import pop
from simulator.timeline.orders import choose, measure_ways, open_windows, put_back, started
from simulator.timeline.state import NEVER, State, reset
from simulator.timeline.transfers import arrive, leave


@entry
def run(s: State) -> None:
    """Give every instruction and transfer its times; those that wait for each other forever get none."""
    reset(s)
    if s.clock[0].listed:
        measure_ways(s)
    open_windows(s)
    while True:
        lane = _next_engine(s)
        engines, moving, arriving = s.lanes[lane].alarm_ns, s.clock[0].leave_ns, _next_arrival(s)
        if engines <= moving and engines <= arriving:
            if engines == NEVER:
                return
            _decide(s, engines, lane)
        elif moving <= arriving:
            _leave(s, moving)
        else:
            move = s.arriving[0]
            s.clock[0].arriving = pop(s.arriving_ns, s.arriving, s.clock[0].arriving)
            arrive(s, arriving, move)


@part
def _next_engine(s: State) -> int:
    first = 0
    for lane in range(1, len(s.lanes)):
        if s.lanes[lane].alarm_ns < s.lanes[first].alarm_ns:
            first = lane
    return first


@part
def _next_arrival(s: State) -> float:
    return s.arriving_ns[0] if s.clock[0].arriving else NEVER


@part
def _decide(s: State, now: float, lane: int) -> None:
    """Let an engine take an instruction; as written, more of them while nothing else happens before."""
    engine = s.lanes[lane]
    while True:
        engine.alarm_ns = NEVER
        g = choose(s, now, lane)
        if g < 0:
            return
        again = try_start(s, now, g)
        if again != now:
            put_back(s, now, g, again)
            return
        started(s, g)
        if s.clock[0].listed or engine.alarm_ns == NEVER:
            return
        now = engine.alarm_ns
        others = min(s.lanes[_next_engine(s)].alarm_ns, s.clock[0].leave_ns, _next_arrival(s))
        if others < now:
            return


@part
def _leave(s: State, now: float) -> None:
    count = leave(s, now)
    for k in range(s.clock[0].moved - count, s.clock[0].moved):
        moved = s.transfers[s.transfers[k].moved]
        release(s, moved.instruction, moved.ended_ns)
