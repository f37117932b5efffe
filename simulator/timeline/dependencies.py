"""What each instruction waits for: data, reused memory, and what the author asked for.

Two kinds of edge. A *wait* needs the producer's complete result (a semaphore between engines, a drain within
one). An *order* only needs the producer to have been issued on the same engine: overwriting what that
engine read or wrote before, and accumulating in PSUM, since an engine's instructions complete in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.timeline.boxes import Boxes, find_boxes
from simulator.timeline.capacity import Placement
from simulator.trace import Instruction, Tensor


@dataclass(slots=True)
class Edges:
    """`waits[i]` and `orders[i]`: instructions of the same core that i waits for, or must follow."""

    waits: list[set[int]]
    orders: list[set[int]]


def find_edges(instructions: Sequence[Instruction], tensors: Sequence[Tensor], placement: Placement) -> Edges:
    """The edges of one core's instructions; the compiler may reorder what they leave free."""
    boxes = find_boxes(instructions, tensors)
    count = len(instructions)
    edges = Edges([set() for _ in range(count)], [set() for _ in range(count)])
    _data(instructions, boxes, placement, edges)
    _author(instructions, edges)
    _keep_order(instructions, edges)
    return edges


def _data(instructions: Sequence[Instruction], boxes: Boxes, placement: Placement, edges: Edges) -> None:
    overlaps, covers = boxes.overlaps, boxes.covers
    writer = [-1] * len(overlaps)
    readers: list[list[int]] = [[] for _ in overlaps]
    untouched = [placement.waits.get(t) for t in boxes.tensor]
    lane = [_lane(i) for i in instructions]
    for index, (reads, writes) in enumerate(zip(boxes.reads, boxes.writes, strict=True)):
        waits = edges.waits[index]
        mine = lane[index]
        for box in reads:
            for other in overlaps[box]:
                if writer[other] >= 0:
                    waits.add(writer[other])
        for box in writes:
            freed = untouched[box]
            if freed:
                waits.update(freed)
                untouched[box] = None
            for other in overlaps[box]:
                if writer[other] >= 0:
                    _follow(edges, index, mine, writer[other], lane)
                for reader in readers[other]:
                    _follow(edges, index, mine, reader, lane)
        for box in reads:
            readers[box].append(index)
        for box in writes:
            for other in covers[box]:
                writer[other] = -1
                readers[other].clear()
            writer[box] = index
        waits.discard(index)
        edges.orders[index] -= waits


def _follow(edges: Edges, index: int, mine: int, producer: int, lane: list[int]) -> None:
    if mine >= 0 and lane[producer] == mine:
        edges.orders[index].add(producer)
    else:
        edges.waits[index].add(producer)


_LANES = {"tensor": 0, "vector": 1, "scalar": 2, "gpsimd": 3, "sync": 4}


def _lane(instruction: Instruction) -> int:
    """Engine whose instructions complete in order; -1 for transfers, which complete in their own time."""
    return -1 if instruction.transfer is not None else _LANES[instruction.engine]


def _author(instructions: Sequence[Instruction], edges: Edges) -> None:
    """`after`, and the exchanges between cores, which both cores do in the same order."""
    last_exchange = -1
    for index, instruction in enumerate(instructions):
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
                edges.orders[index].add(last[kind])
            last[kind] = index
