"""What each instruction waits for: data, reused memory, and what the author asked for.

Two kinds of edge. A *wait* needs the producer's complete result (a semaphore between engines, a drain within
one). An *order* only needs the producer to have been issued on the same engine: overwriting what that engine
read or wrote before, and accumulating in PSUM, since an engine's instructions complete in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.timeline.boxes import LANES, Boxes
from simulator.timeline.capacity import Placement
from simulator.trace import Instruction

_NOTHING: frozenset[int] = frozenset()


@dataclass(slots=True)
class Edges:
    """Instructions of the same core that i waits for (`waits[i]`), or must only follow (`orders[i]`)."""

    waits: list[set[int]]
    orders: list[set[int] | frozenset[int]]


def find_edges(instructions: Sequence[Instruction], boxes: Boxes, placement: Placement) -> Edges:
    """The edges of one core's instructions; the compiler may reorder what they leave free."""
    edges = Edges(_results(boxes), [_NOTHING] * len(instructions))
    _reuse(instructions, boxes, placement, edges)
    _author(instructions, edges)
    _keep_order(instructions, edges)
    return edges


def _results(boxes: Boxes) -> list[set[int]]:
    """For each instruction, who wrote what it reads."""
    overlaps, covers = boxes.overlaps, boxes.covers
    writer = [-1] * len(overlaps)
    waits: list[set[int]] = []
    for index, (reads, writes) in enumerate(zip(boxes.reads, boxes.writes, strict=True)):
        waits.append({writer[other] for box in reads for other in overlaps[box] if writer[other] >= 0})
        for box in writes:
            for other in covers[box]:
                writer[other] = -1
            writer[box] = index
    return waits


def _reuse(instructions: Sequence[Instruction], boxes: Boxes, placement: Placement, edges: Edges) -> None:
    """Add, for each instruction, who wrote or read what it overwrites, and whose memory it takes."""
    overlaps, covers = boxes.overlaps, boxes.covers
    users: list[list[int]] = [[] for _ in overlaps]
    freed = [placement.waits.get(tensor, ()) for tensor in boxes.tensor] if placement.waits else None
    lane = [-1 if i.transfer is not None else LANES[i.engine] for i in instructions]
    for index, (reads, writes) in enumerate(zip(boxes.reads, boxes.writes, strict=True)):
        mine = lane[index]
        earlier = [user for box in writes for other in overlaps[box] for user in users[other]]
        if earlier:
            waits = edges.waits[index]
            if mine < 0:
                waits.update(earlier)
            else:
                waits.update([user for user in earlier if lane[user] != mine])
                edges.orders[index] = {user for user in earlier if lane[user] == mine and user not in waits}
        if freed:
            for box in writes:
                edges.waits[index].update(freed[box])
                freed[box] = ()
        for box in reads:
            users[box].append(index)
        for box in writes:
            for other in covers[box]:
                if users[other]:
                    users[other] = []
            users[box].append(index)
        edges.waits[index].discard(index)


def _author(instructions: Sequence[Instruction], edges: Edges) -> None:
    """`after`, and the exchanges between cores, which both cores do in the same order."""
    last_exchange = -1
    for index, instruction in enumerate(instructions):
        if instruction.after:
            edges.waits[index].update(a for a in instruction.after if a != index)
        if instruction.rendezvous is not None:
            if last_exchange >= 0:
                edges.waits[index].add(last_exchange)
            last_exchange = index


def _keep_order(instructions: Sequence[Instruction], edges: Edges) -> None:
    """Loads an engine triggers keep their order, and so do its stores; a load may pass a store.

    Assumed of the compiler: queues move one transfer after another, so urgent data behind later data waits
    for all of it, and nothing is won by exchanging two loads.
    """
    last: dict[tuple[str, bool], int] = {}
    for index, instruction in enumerate(instructions):
        if instruction.transfer is not None:
            kind = (instruction.engine, instruction.transfer.source_memory == "hbm")
            if kind in last and last[kind] not in edges.waits[index]:
                edges.orders[index] = edges.orders[index] | {last[kind]}
            last[kind] = index
