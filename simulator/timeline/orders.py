"""The two rules by which an engine takes its next instruction: as written, and list-scheduled.

As written, every engine takes its instructions in program order. List-scheduled, it takes, of the
instructions ready for it, the one with the longest way to the end of the kernel. What the compiler may
reorder: independent instructions within a window of the engine's program, never across an instruction marked
`no_reorder`.
"""

from __future__ import annotations

from typing import Any

from simulator.timeline.compiled import part
from simulator.timeline.heap import pop, push
from simulator.timeline.state import NEVER, State


@part
def open_windows(s: State) -> None:
    """Wake the engines whose first instruction waits for nothing."""
    for lane in range(len(s.lanes)):
        if s.clock[0].listed:
            _widen(s, lane)
        else:
            _wake(s, lane)


@part
def choose(s: State, now: float, lane: int) -> Any:
    """The instruction an engine takes now, or -1 when it must wait, its alarm being set."""
    engine = s.lanes[lane]
    if not s.clock[0].listed:
        return s.instructions[engine.oldest].at_place
    if engine.free_ns > now:
        set_alarm(s, lane, engine.free_ns)
        return -1
    pending, available = engine.pending, engine.available
    pending_ns, available_ns = engine.pending_ns, engine.available_ns
    while engine.pendings and pending_ns[0] <= now:
        g = pending[0]
        engine.pendings = pop(pending_ns, pending, engine.pendings)
        engine.availables = push(available_ns, available, engine.availables, -s.instructions[g].way_ns, g)
    if engine.availables:
        g = available[0]
        engine.availables = pop(available_ns, available, engine.availables)
        return g
    if engine.pendings:
        set_alarm(s, lane, pending_ns[0])
    return -1


@part
def put_back(s: State, now: float, g: int, again: float) -> None:
    """Instruction g, chosen, cannot start before `again` (`NEVER`: its partner will start it)."""
    lane = s.instructions[g].lane
    if s.clock[0].listed and again < NEVER:
        engine = s.lanes[lane]
        engine.pendings = push(engine.pending_ns, engine.pending, engine.pendings, again, g)
        again = now if engine.availables else engine.pending_ns[0]
    set_alarm(s, lane, again)


@part
def started(s: State, g: int) -> None:
    """Move on after instruction g."""
    lane = s.instructions[g].lane
    engine = s.lanes[lane]
    if not s.clock[0].listed:
        engine.oldest += 1
        _wake(s, lane)
        return
    before = engine.oldest
    while engine.oldest < engine.end:
        if s.instructions[s.instructions[engine.oldest].at_place].start_ns < 0.0:
            break
        engine.oldest += 1
    if engine.oldest != before:
        _widen(s, lane)
    if engine.availables:
        set_alarm(s, lane, engine.free_ns)
    elif engine.pendings:
        set_alarm(s, lane, max(engine.pending_ns[0], engine.free_ns))


@part
def met(s: State, g: int) -> None:
    """Something g waits for has come: it is released when that was the last."""
    s.instructions[g].left -= 1
    if s.instructions[g].left == 0:
        _released(s, g)


@part
def set_alarm(s: State, lane: int, time: float) -> None:
    """Let the engine look for an instruction at `time`, or before."""
    s.lanes[lane].alarm_ns = min(s.lanes[lane].alarm_ns, time)


@part
def _released(s: State, g: int) -> None:
    """Instruction g waits for nothing but its engine, whose turn or window may not have reached it."""
    instruction = s.instructions[g]
    lane = instruction.lane
    engine = s.lanes[lane]
    if not s.clock[0].listed:
        if instruction.place == engine.oldest and instruction.start_ns < 0.0:
            set_alarm(s, lane, max(instruction.ready_ns, engine.free_ns))
    elif instruction.place < engine.reach:
        engine.pendings = push(engine.pending_ns, engine.pending, engine.pendings, instruction.ready_ns, g)
        set_alarm(s, lane, max(instruction.ready_ns, engine.free_ns))


@part
def _wake(s: State, lane: int) -> None:
    engine = s.lanes[lane]
    if engine.oldest < engine.end:
        g = s.instructions[engine.oldest].at_place
        if s.instructions[g].left == 0:
            _released(s, g)


@part
def _widen(s: State, lane: int) -> None:
    """Let the window reach on: to its width, or to the next fence, or past a fence that is the oldest."""
    engine = s.lanes[lane]
    limit = min(engine.end, engine.oldest + s.clock[0].window)
    while engine.reach < limit:
        g = s.instructions[engine.reach].at_place
        if engine.reach > engine.oldest:
            before = s.instructions[engine.reach - 1].at_place
            if s.instructions[g].fence or s.instructions[before].fence:
                break
        engine.reach += 1
        if s.instructions[g].left == 0:
            _released(s, g)


@part
def measure_ways(s: State) -> None:
    """The longest chain of latencies from each instruction's start to the kernel's end."""
    for g in range(len(s.instructions) - 1, -1, -1):
        instruction = s.instructions[g]
        own = instruction.latency_ns
        if instruction.transfer >= 0:
            moved = s.transfers[instruction.transfer]
            own = moved.latency_ns + moved.work_ns + moved.tail_ns
        longest = in_order = 0.0
        for at in range(instruction.waiting[0], instruction.waiting[1]):
            after = s.instructions[s.edges[at]]
            longest = max(longest, after.way_ns + after.semaphore_ns)
        for at in range(instruction.following[0], instruction.following[1]):
            in_order = max(in_order, s.instructions[s.edges[at]].way_ns)
        instruction.way_ns = max(own + longest, instruction.issue_ns + in_order)
