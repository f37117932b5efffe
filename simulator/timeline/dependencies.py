"""What each instruction waits for: data, reused memory, and what the author asked for.

Two kinds of edge. A *wait* needs the producer's complete result (a semaphore between engines, a drain within
one). An *order* only needs the producer to have been issued on the same engine: overwriting what that engine
read or wrote before, and accumulating in PSUM, since an engine's instructions complete in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simulator.timeline.boxes import Overlaps, find_overlaps
from simulator.timeline.capacity import Placement, anywhere
from simulator.timeline.compiled import entry, part
from simulator.timeline.lists import Array, Lists
from simulator.timeline.program import TRANSFER_LANE, Program, Uses, columns, program_of
from simulator.timeline.state import ENGINE, LANES
from simulator.trace import Instruction, Tensor


class Edges(NamedTuple):
    """Instructions of the same core that i waits for (`waits`, list i), or must only follow (`orders`)."""

    waits: Lists
    orders: Lists


def with_memory_for_all(instructions: Sequence[Instruction], tensors: Sequence[Tensor]) -> Edges:
    """The edges of one core's instructions if memory never ran out."""
    there, found = columns(tensors), program_of([instructions])
    return find_edges(found, find_overlaps(found.uses, there), anywhere(1, len(tensors)))


def find_edges(program: Program, overlaps: Overlaps, placement: Placement) -> Edges:
    """The edges of the instructions; the compiler may reorder what they leave free.

    Loads an engine triggers keep their order, and so do its stores; a load may pass a store. Assumed of the
    compiler: queues move one transfer after another, so urgent data behind later data waits for all of it,
    and nothing is won by exchanging two loads.
    """
    uses, count = program.uses, len(program.operation)
    movers, stream = program.movers, _none(count)
    streams = [2 * ENGINE[i.operation.engine] + _loads(i) for i in movers.examples]
    stream[movers.place] = np.array(streams, dtype=np.int64)[movers.kind]
    asked = Asked(program.after, program.exchanges, stream)
    room = 4 * len(uses.reads.items) + 64
    while True:
        found = _room(count, room)
        sweep(uses, overlaps, placement, asked, _memory(uses), found)
        most = int(max(found.waits.first[-1], found.orders.first[-1]))
        if most <= room:
            return Edges(found.waits.cut(), found.orders.cut())
        room = most


def _loads(instruction: Instruction) -> bool:
    return instruction.transfer is not None and instruction.transfer.source_memory == "hbm"


class Asked(NamedTuple):
    """What else makes instructions wait.

    `after` is what the author asked for. `exchanges` marks exchanges between cores, which both cores do in
    the same order; `stream[i]` numbers the engine's loads or stores that i is one of, or is -1.
    """

    after: Lists
    exchanges: Array
    stream: Array


class _Memory(NamedTuple):
    """Who wrote each box last, or -1, and who has used it since: a chain of `user`s that begins at `head`.

    `links` counts the chains' links; `claimed` says which boxes were written.
    """

    writer: Array
    head: Array
    user: Array
    following: Array
    links: Array
    claimed: Array


class _Found(NamedTuple):
    """Edges found so far, as far as there is room; `waited[p]` and `ordered[p]` are the last instruction that
    got one from p. `last` are the last transfer of each stream, and the last exchange.
    """

    waits: Lists
    orders: Lists
    waited: Array
    ordered: Array
    last: Array


def _memory(uses: Uses) -> _Memory:
    boxes, links = len(uses.regions), len(uses.reads.items) + len(uses.writes.items)
    writer, head = np.full((2, boxes), -1, dtype=np.int64)
    user, following = np.empty((2, links), dtype=np.int64)
    return _Memory(
        writer, head, user, following, np.zeros(1, dtype=np.int64), claimed=np.zeros(boxes, dtype=np.bool_)
    )


def _room(count: int, edges: int) -> _Found:
    waits, orders = (
        Lists(np.zeros(count + 1, dtype=np.int64), np.empty(edges, dtype=np.int64)) for _ in range(2)
    )
    return _Found(waits, orders, waited=_none(count), ordered=_none(count), last=_none(2 * LANES + 1))


def _none(count: int) -> Array:
    return np.full(count, -1, dtype=np.int64)


@entry
def sweep(
    uses: Uses, overlaps: Overlaps, placement: Placement, asked: Asked, memory: _Memory, found: _Found
) -> None:
    """Waits and orders of every instruction, in one pass over the program."""
    tensors = len(placement.reuses) // (len(uses.base) - 1)
    for core in range(len(uses.base) - 1):
        found.last[:] = -1
        for i in range(uses.base[core], uses.base[core + 1]):
            found.waits.first[i + 1], found.orders.first[i + 1] = found.waits.first[i], found.orders.first[i]
            _read(uses, overlaps, memory, found, i)
            _overwrite(uses, overlaps, memory, found, i)
            _claim(uses, placement, core * tensors, memory, found, i)
            _note(uses, overlaps, memory, i)
            _ask(asked, found, i)


@part
def _ask(asked: Asked, found: _Found, i: int) -> None:
    """Wait for what the author asked for, and keep exchanges and streams of transfers in order."""
    for at in range(asked.after.first[i], asked.after.first[i + 1]):
        _wait(found, i, asked.after.items[at])
    exchange = 2 * LANES
    if asked.exchanges[i]:
        _wait(found, i, found.last[exchange])
        found.last[exchange] = i
    stream = asked.stream[i]
    if stream >= 0:
        if found.last[stream] >= 0:
            _order(found, i, found.last[stream])
        found.last[stream] = i


@part
def _wait(found: _Found, i: int, producer: int) -> None:
    if producer >= 0 and producer != i and found.waited[producer] != i:
        found.waited[producer] = i
        _add(found.waits, i, producer)


@part
def _order(found: _Found, i: int, before: int) -> None:
    if found.waited[before] != i and found.ordered[before] != i:
        found.ordered[before] = i
        _add(found.orders, i, before)


@part
def _add(lists: Lists, i: int, producer: int) -> None:
    at = lists.first[i + 1]
    if at < len(lists.items):
        lists.items[at] = producer
    lists.first[i + 1] = at + 1


@part
def _read(uses: Uses, overlaps: Overlaps, memory: _Memory, found: _Found, i: int) -> None:
    """Wait for who wrote what i reads."""
    for at in range(uses.reads.first[i], uses.reads.first[i + 1]):
        box = uses.reads.items[at]
        for near in range(overlaps.overlaps.first[box], overlaps.overlaps.first[box + 1]):
            _wait(found, i, memory.writer[overlaps.overlaps.items[near]])


@part
def _overwrite(uses: Uses, overlaps: Overlaps, memory: _Memory, found: _Found, i: int) -> None:
    """Wait for who used what i overwrites, or only follow it where it runs on the same engine."""
    for at in range(uses.writes.first[i], uses.writes.first[i + 1]):
        box = uses.writes.items[at]
        for near in range(overlaps.overlaps.first[box], overlaps.overlaps.first[box + 1]):
            link = memory.head[overlaps.overlaps.items[near]]
            while link >= 0:
                user = memory.user[link]
                link = memory.following[link]
                if uses.lane[user] != uses.lane[i] or uses.lane[i] == TRANSFER_LANE:
                    _wait(found, i, user)
                else:
                    _order(found, i, user)


@part
def _claim(uses: Uses, placement: Placement, before: int, memory: _Memory, found: _Found, i: int) -> None:
    """Wait for whose memory i is the first to write; `before` is how many tensors earlier cores have."""
    for at in range(uses.writes.first[i], uses.writes.first[i + 1]):
        box = uses.writes.items[at]
        if not memory.claimed[box]:
            memory.claimed[box] = True
            tensor = before + uses.regions[box, 0]
            for k in range(placement.reuses[tensor, 0], placement.reuses[tensor, 1]):
                for lane in range(TRANSFER_LANE + 1):
                    _wait(found, i, placement.users[placement.gone[k], lane])


@part
def _note(uses: Uses, overlaps: Overlaps, memory: _Memory, i: int) -> None:
    """Remember i as the user of what it reads, and as the writer of what it writes."""
    for at in range(uses.reads.first[i], uses.reads.first[i + 1]):
        _use(memory, uses.reads.items[at], i)
    for at in range(uses.writes.first[i], uses.writes.first[i + 1]):
        box = uses.writes.items[at]
        for inside in range(overlaps.covers.first[box], overlaps.covers.first[box + 1]):
            memory.writer[overlaps.covers.items[inside]] = memory.head[overlaps.covers.items[inside]] = -1
        memory.writer[box] = i
        _use(memory, box, i)


@part
def _use(memory: _Memory, box: int, i: int) -> None:
    link = memory.links[0]
    memory.user[link], memory.following[link] = i, memory.head[box]
    memory.head[box] = link
    memory.links[0] = link + 1
