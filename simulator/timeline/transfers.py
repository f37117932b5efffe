"""DMA queues and engines of both cores, and the HBM stack they share.

Within a queue a transfer starts when the one before it has left the DMA engines it needs. Engines serve their
queues in turn, descriptor by descriptor, so transfers of different queues share an engine equally; together
they get at most what the HBM stack gives, and less while loads and
stores mix. Between events every transfer progresses at a constant rate.
"""

from __future__ import annotations

from typing import Any

from simulator.timeline.compiled import part
from simulator.timeline.state import DMA_ENGINES, NEVER, State

_DONE = 1e-6
_ALL = (1 << DMA_ENGINES) - 1
_WINDOW = 32
"""How many transfers of a queue are looked at for engines the ones before them leave free."""


@part
def arrive(s: State, now: float, number: int) -> None:
    """A transfer reaches its queue."""
    _advance(s, now)
    moving = s.transfers[number]
    queue = s.queues[moving.queue]
    if not queue.known:
        queue.known = True
        s.queues[s.clock[0].queues].in_order = moving.queue
        s.clock[0].queues += 1
    moving.before = queue.tail
    if queue.tail >= 0:
        s.transfers[queue.tail].behind = number
    else:
        queue.head = number
    queue.tail = number
    _share(s, now)


@part
def leave(s: State, now: float) -> int:
    """End the transfers whose last byte moves at `now`, which is `leave_ns`; returns how many."""
    _advance(s, now)
    clock = s.clock[0]
    count = 0
    for k in range(clock.active):
        number = s.transfers[k].active
        moving = s.transfers[number]
        if moving.left_ns <= _DONE:
            _unlink(s, number)
            moving.ended_ns = now + moving.tail_ns
            s.transfers[clock.moved].moved = number
            clock.moved += 1
            count += 1
    _share(s, now)
    return count


@part
def _unlink(s: State, number: int) -> None:
    moving = s.transfers[number]
    queue = s.queues[moving.queue]
    if moving.before >= 0:
        s.transfers[moving.before].behind = moving.behind
    else:
        queue.head = moving.behind
    if moving.behind >= 0:
        s.transfers[moving.behind].before = moving.before
    else:
        queue.tail = moving.before


@part
def _advance(s: State, now: float) -> None:
    clock = s.clock[0]
    elapsed = now - clock.now_ns
    for k in range(clock.active):
        moving = s.transfers[s.transfers[k].active]
        moving.left_ns -= elapsed * moving.rate
    clock.now_ns = now


@part
def _share(s: State, now: float) -> None:
    """Choose the active transfers and their rates, and the time of the next to finish."""
    clock = s.clock[0]
    _activate(s)
    demand = 0.0
    for k in range(clock.active):
        moving = s.transfers[s.transfers[k].active]
        if moving.started_ns < 0.0:
            moving.started_ns = now
        moving.rate = _rate(s, moving)
        demand += moving.rate * moving.pull
    clock.leave_ns = NEVER
    for k in range(clock.active):
        moving = s.transfers[s.transfers[k].active]
        if demand > clock.hbm_bytes_per_ns and moving.pull > 0.0:
            moving.rate *= clock.hbm_bytes_per_ns / demand
        clock.leave_ns = min(clock.leave_ns, now + max(0.0, moving.left_ns) / moving.rate)


@part
def _activate(s: State) -> None:
    """List the transfers that nothing before them in their queue holds back, and count whom engines serve."""
    for core in range(len(s.cores)):
        for engine in range(DMA_ENGINES):
            s.cores[core].users[engine] = 0
        s.cores[core].ways[0] = s.cores[core].ways[1] = 0
    active = 0
    for k in range(s.clock[0].queues):
        taken, number = 0, s.queues[s.queues[k].in_order].head
        for _ in range(_WINDOW):
            if number < 0 or taken == _ALL:
                break
            moving = s.transfers[number]
            if moving.mask & taken == 0:
                s.transfers[active].active = number
                active += 1
                _count(s, moving)
            taken |= moving.mask
            number = moving.behind
    s.clock[0].active = active


@part
def _count(s: State, moving: Any) -> None:
    core = s.cores[moving.core]
    core.ways[moving.stores] += 1
    for engine in range(DMA_ENGINES):
        core.users[engine] += moving.mask >> engine & 1


@part
def _rate(s: State, moving: Any) -> float:
    """The share of its engines a transfer gets in this company, before the HBM stack's limit.

    That is one over how many transfers the busiest of its engines serves.
    """
    core, sharers = s.cores[moving.core], 1
    for engine in range(DMA_ENGINES):
        if moving.mask >> engine & 1:
            sharers = max(sharers, core.users[engine])
    rate = 1.0 / sharers
    if moving.pull > 0.0 and core.ways[1 - moving.stores] > 0:
        rate *= s.clock[0].mixed_share
    return rate
