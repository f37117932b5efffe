"""What each instruction waits for: data, reused memory, and what the author asked for.

Two kinds of edge. A *wait* needs the producer's complete result (a semaphore between engines, a drain within
one). An *order* only needs the producer to have been issued on the same engine: overwriting what that engine
read or wrote before, and accumulating in PSUM, since an engine's instructions complete in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from simulator.timeline.boxes import TRANSFER_LANE, Boxes, columns, find_boxes
from simulator.timeline.capacity import Placement, anywhere
from simulator.timeline.compiled import entry, part
from simulator.timeline.lists import Array, Lists, lists_of
from simulator.timeline.state import ENGINE, LANES
from simulator.trace import Instruction, Tensor


@dataclass(slots=True)
class Edges:
    """Instructions of the same core that i waits for (`waits`, list i), or must only follow (`orders`)."""

    waits: Lists
    orders: Lists


def with_memory_for_all(instructions: Sequence[Instruction], tensors: Sequence[Tensor]) -> Edges:
    """The edges of one core's instructions if memory never ran out."""
    there = columns(tensors)
    return find_edges(instructions, find_boxes(instructions, there), anywhere(there))


def find_edges(instructions: Sequence[Instruction], boxes: Boxes, placement: Placement) -> Edges:
    """The edges of one core's instructions; the compiler may reorder what they leave free.

    Loads an engine triggers keep their order, and so do its stores; a load may pass a store. Assumed of the
    compiler: queues move one transfer after another, so urgent data behind later data waits for all of it,
    and nothing is won by exchanging two loads.
    """
    stream = [
        -1 if i.transfer is None else 2 * ENGINE[i.engine] + (i.transfer.source_memory == "hbm")
        for i in instructions
    ]
    uses = Uses(boxes.reads, boxes.writes, boxes.overlaps, boxes.covers, boxes.regions[:, 0].copy())
    asked = Asked(
        boxes.lane,
        placement.waits,
        lists_of([i.after for i in instructions]),
        np.array([i.rendezvous is not None for i in instructions], dtype=np.bool_),
        np.array(stream, dtype=np.int64),
    )
    room = 4 * len(boxes.reads.items) + 64
    while True:
        found = _room(len(instructions), room)
        sweep(uses, asked, _memory(uses), found)
        most = int(max(found.waits.first[-1], found.orders.first[-1]))
        if most <= room:
            return Edges(found.waits.cut(), found.orders.cut())
        room = most


class Uses(NamedTuple):
    """The boxes instructions read and write; the overlapping and covered boxes of each, and its tensor."""

    reads: Lists
    writes: Lists
    overlaps: Lists
    covers: Lists
    tensor: Array


class Asked(NamedTuple):
    """What else makes instructions wait.

    `lane` is where each runs. `freed` is, by tensor, what must have completed before its memory is its own.
    `after` is what the author asked for. `exchanges` marks exchanges between cores, which both cores do in
    the same order; `stream[i]` numbers the engine's loads or stores that i is one of, or is -1.
    """

    lane: Array
    freed: Lists
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
    boxes, links = len(uses.tensor), len(uses.reads.items) + len(uses.writes.items)
    return _Memory(
        writer=_none(boxes),
        head=_none(boxes),
        user=_none(links),
        following=_none(links),
        links=np.zeros(1, dtype=np.int64),
        claimed=np.zeros(boxes, dtype=np.bool_),
    )


def _room(count: int, edges: int) -> _Found:
    waits, orders = (
        Lists(np.zeros(count + 1, dtype=np.int64), np.empty(edges, dtype=np.int64)) for _ in range(2)
    )
    return _Found(waits, orders, waited=_none(count), ordered=_none(count), last=_none(2 * LANES + 1))


def _none(count: int) -> Array:
    return np.full(count, -1, dtype=np.int64)


@entry
def sweep(uses: Uses, asked: Asked, memory: _Memory, found: _Found) -> None:
    """Waits and orders of every instruction, in one pass over the program."""
    exchange = 2 * LANES
    for i in range(len(asked.lane)):
        found.waits.first[i + 1], found.orders.first[i + 1] = found.waits.first[i], found.orders.first[i]
        _read(uses, memory, found, i)
        _overwrite(uses, memory, found, asked.lane, i)
        _claim(uses, memory, found, asked.freed, i)
        _note(uses, memory, i)
        for at in range(asked.after.first[i], asked.after.first[i + 1]):
            _wait(found, i, asked.after.items[at])
        if asked.exchanges[i]:
            _wait(found, i, found.last[exchange])
            found.last[exchange] = i
        if asked.stream[i] >= 0:
            before = found.last[asked.stream[i]]
            if before >= 0:
                _order(found, i, before)
            found.last[asked.stream[i]] = i


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
def _read(uses: Uses, memory: _Memory, found: _Found, i: int) -> None:
    """Wait for who wrote what i reads."""
    for at in range(uses.reads.first[i], uses.reads.first[i + 1]):
        box = uses.reads.items[at]
        for near in range(uses.overlaps.first[box], uses.overlaps.first[box + 1]):
            _wait(found, i, memory.writer[uses.overlaps.items[near]])


@part
def _overwrite(uses: Uses, memory: _Memory, found: _Found, lane: Array, i: int) -> None:
    """Wait for who used what i overwrites, or only follow it where it runs on the same engine."""
    for at in range(uses.writes.first[i], uses.writes.first[i + 1]):
        box = uses.writes.items[at]
        for near in range(uses.overlaps.first[box], uses.overlaps.first[box + 1]):
            link = memory.head[uses.overlaps.items[near]]
            while link >= 0:
                user = memory.user[link]
                link = memory.following[link]
                if lane[user] != lane[i] or lane[i] == TRANSFER_LANE:
                    _wait(found, i, user)
                else:
                    _order(found, i, user)


@part
def _claim(uses: Uses, memory: _Memory, found: _Found, freed: Lists, i: int) -> None:
    """Wait for whose memory i is the first to write."""
    for at in range(uses.writes.first[i], uses.writes.first[i + 1]):
        box = uses.writes.items[at]
        if not memory.claimed[box]:
            memory.claimed[box] = True
            for k in range(freed.first[uses.tensor[box]], freed.first[uses.tensor[box] + 1]):
                _wait(found, i, freed.items[k])


@part
def _note(uses: Uses, memory: _Memory, i: int) -> None:
    """Remember i as the user of what it reads, and as the writer of what it writes."""
    for at in range(uses.reads.first[i], uses.reads.first[i + 1]):
        _use(memory, uses.reads.items[at], i)
    for at in range(uses.writes.first[i], uses.writes.first[i + 1]):
        box = uses.writes.items[at]
        for inside in range(uses.covers.first[box], uses.covers.first[box + 1]):
            memory.writer[uses.covers.items[inside]] = memory.head[uses.covers.items[inside]] = -1
        memory.writer[box] = i
        _use(memory, box, i)


@part
def _use(memory: _Memory, box: int, i: int) -> None:
    link = memory.links[0]
    memory.user[link], memory.following[link] = i, memory.head[box]
    memory.head[box] = link
    memory.links[0] = link + 1
