"""How an engine starts an instruction: what must be free for it, what it takes, whom its result releases.

A result's time is known when its instruction starts; that releases the instructions that wait for it.
"""

from __future__ import annotations

from simulator.timeline.compiled import part
from simulator.timeline.heap import push
from simulator.timeline.orders import met, started
from simulator.timeline.state import BANKS, LANES, NEVER, SCALAR, TENSOR, TRANSFER, State
from simulator.timeline.throttle import stretch


@part
def try_start(s: State, now: float, g: int) -> float:
    """Start g, or return the time to ask again (`NEVER` when another core will start it)."""
    instruction = s.instructions[g]
    if instruction.banks or instruction.exclusive:
        until = _blocked(s, now, g)
        if until > now:
            return until
    if instruction.partner >= 0:
        return _meet(s, now, g, instruction.partner)
    _start(s, now, g)
    return now


@part
def _blocked(s: State, now: float, g: int) -> float:
    """Until when a PSUM bank or the shared port keeps g from starting."""
    instruction, until = s.instructions[g], now
    core = s.cores[instruction.lane // LANES]
    for bank in range(BANKS):
        if instruction.banks >> bank & 1 and core.bank_ns[bank] > until:
            user = core.bank_user[bank]
            if s.instructions[user].lane != instruction.lane:
                until, instruction.critical = core.bank_ns[bank], user
    port_taken = instruction.exclusive and core.port_ns > until
    if port_taken and s.instructions[core.port_user].lane != instruction.lane:
        until, instruction.critical = core.port_ns, core.port_user
    return until


@part
def _meet(s: State, now: float, g: int, other: int) -> float:
    """Start both halves of an exchange, or hold the engine until the other core comes."""
    late, early = s.instructions[g], s.instructions[other]
    came = early.came_ns
    if came < 0.0:
        late.came_ns = now
        s.lanes[late.lane].free_ns = NEVER
        return NEVER
    s.lanes[early.lane].free_ns = came
    for one in (g, other):
        _start(s, now, one)
    if now > came:
        early.ready_ns, early.critical = now, g
    started(s, other)
    return now


@part
def _start(s: State, now: float, g: int) -> None:
    instruction = s.instructions[g]
    s.clock[0].started += 1
    if instruction.kind == TRANSFER:
        _trigger(s, now, g)
        return
    begin, issue = now, instruction.issue_ns
    busy, end = now + issue, now + instruction.latency_ns
    if instruction.kind == TENSOR:
        busy = _stream(s, now, g)
        end = busy + instruction.latency_ns - issue
    elif instruction.kind == SCALAR:
        begin = _with_table(s, now, g)
        busy, end = begin + issue, begin + instruction.latency_ns
    _finish(s, begin, g, busy, end)


@part
def _with_table(s: State, now: float, g: int) -> float:
    """When an activation begins: a change of function set loads a table first, while it waits if it can."""
    instruction, clock = s.instructions[g], s.clock[0]
    core = s.cores[instruction.lane // LANES]
    if core.table == instruction.table:
        return now
    core.table = instruction.table
    clock.loads += 1
    instruction.loads, instruction.load_start_ns = clock.loads, s.lanes[instruction.lane].free_ns
    begin: float = max(now, instruction.load_start_ns + clock.table_load_ns)
    return begin


@part
def _stream(s: State, now: float, g: int) -> float:
    """Until when a matmul takes its engine: weights load behind the previous one as far as they can; the
    throttle stretches the stream.
    """
    instruction, begin = s.instructions[g], now
    number = instruction.lane // LANES
    core = s.cores[number]
    if instruction.reload < 0 or instruction.reload != core.loaded:
        core.loaded = instruction.reload
        hidden = now - max(core.stream_ns, instruction.ready_ns)
        begin = now + max(0.0, instruction.load_ns - max(0.0, hidden))
    core.stream_ns = begin
    took: float = stretch(s, number, begin, instruction.issue_ns)
    return begin + took


@part
def _trigger(s: State, now: float, g: int) -> None:
    """A transfer: its start on the engine; its result comes when it has moved."""
    instruction, clock = s.instructions[g], s.clock[0]
    moved = s.transfers[instruction.transfer]
    begin = max(now, instruction.ready_ns + moved.prepare_ns)
    _take(s, begin, g, begin + moved.issue_ns, begin + moved.printed_ns)
    reaches = begin + moved.latency_ns
    clock.arriving = push(s.arriving_ns, s.arriving, clock.arriving, reaches, instruction.transfer)
    _issued(s, g)


@part
def _finish(s: State, now: float, g: int, busy: float, end: float) -> None:
    """Note the times of g and release what waited for it."""
    _take(s, now, g, busy, end)
    instruction = s.instructions[g]
    core = s.cores[instruction.lane // LANES]
    if instruction.banks:
        for bank in range(BANKS):
            if instruction.banks >> bank & 1:
                core.bank_ns[bank], core.bank_user[bank] = busy, g
    if instruction.exclusive:
        core.port_ns, core.port_user = busy, g
    release(s, g, end)
    _issued(s, g)


@part
def _take(s: State, now: float, g: int, busy: float, end: float) -> None:
    """The engine is g's until `busy`."""
    instruction = s.instructions[g]
    lane = s.lanes[instruction.lane]
    if now > instruction.ready_ns and (instruction.critical < 0 or lane.free_ns >= now):
        instruction.critical = lane.last
    instruction.start_ns, instruction.end_ns = now, end
    lane.free_ns, lane.last = busy, g


@part
def _issued(s: State, g: int) -> None:
    """Release what must only follow g; program order keeps that by itself."""
    if s.clock[0].listed:
        for at in range(s.instructions[g].following[0], s.instructions[g].following[1]):
            met(s, s.edges[at])


@part
def release(s: State, producer: int, done: float) -> None:
    """The producer's result, or what its transfer moved, is complete: those that wait for it may use it."""
    moved = s.instructions[producer].transfer >= 0
    for at in range(s.instructions[producer].waiting[0], s.instructions[producer].waiting[1]):
        consumer = s.instructions[s.edges[at]]
        ready = done + (consumer.transfer_ns if moved else consumer.semaphore_ns)
        if ready > consumer.ready_ns:
            consumer.ready_ns, consumer.critical = ready, producer
        met(s, s.edges[at])
