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
    edges = Edges([], [])
    _memory(instructions, boxes, placement, edges)
    _author(instructions, edges)
    _keep_order(instructions, edges)
    return edges


def _memory(instructions: Sequence[Instruction], boxes: Boxes, placement: Placement, edges: Edges) -> None:
    """Add who wrote what each instruction reads, who used what it overwrites, and whose memory it takes."""
    overlaps, covers = boxes.overlaps, boxes.covers
    writer = [-1] * len(overlaps)
    users: list[list[int]] = [[] for _ in overlaps]
    freed = [placement.waits.get(tensor, ()) for tensor in boxes.tensor] if placement.waits else None
    lane = [-1 if i.transfer is not None else LANES[i.operation.engine] for i in instructions]
    for index, (reads, writes) in enumerate(zip(boxes.reads, boxes.writes, strict=True)):
        waits: set[int] = set()
        orders: set[int] | frozenset[int] = _NOTHING
        for box in reads:
            for other in overlaps[box]:
                if writer[other] >= 0:
                    waits.add(writer[other])
        earlier = [user for box in writes for other in overlaps[box] for user in users[other]]
        if earlier:
            mine = lane[index]
            if mine < 0:
                waits.update(earlier)
            else:
                waits.update([user for user in earlier if lane[user] != mine])
                orders = {user for user in earlier if lane[user] == mine and user not in waits}
        if freed:
            for box in writes:
                waits.update(freed[box])
                freed[box] = ()
        for box in reads:
            users[box].append(index)
        for box in writes:
            for other in covers[box]:
                writer[other] = -1
                if users[other]:
                    users[other] = []
            writer[box] = index
            users[box].append(index)
        waits.discard(index)
        edges.waits.append(waits)
        edges.orders.append(orders)


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
