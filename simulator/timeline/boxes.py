"""Which regions of memory overlap: every distinct region of a core becomes a numbered box, once.

Tensors with an author's address share one space per memory, so that reuse of an address is seen; the
others are their own space.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from simulator.trace import ENGINES, Instruction, Region, Tensor

LANES: dict[str, int] = {name: number for number, name in enumerate(ENGINES)}
TRANSFER_LANE = len(ENGINES)
Place = tuple[int, int, int, int]


@dataclass(slots=True)
class Boxes:
    """The distinct regions a core touches, numbered in the order of first use.

    `reads[i]` and `writes[i]` are box numbers of instruction i; `tensor[b]` is the tensor a box belongs to.
    `first[b]` is the instruction that first uses b; `last[lane][b]` the last on an engine or by transfer, or
    -1. `overlaps[b]` are the boxes that share bytes with b, b first; `covers[b]` those of them inside b. For
    memory this core never writes there are none: nothing can wait for it.
    """

    reads: list[list[int]]
    writes: list[list[int]]
    tensor: list[int]
    first: list[int]
    last: list[list[int]]
    overlaps: list[Sequence[int]]
    covers: list[Sequence[int]]


def find_boxes(instructions: Sequence[Instruction], tensors: Sequence[Tensor]) -> Boxes:
    """Number the regions of one core's instructions and find out which overlap."""
    numbers: defaultdict[Region, int] = defaultdict(count().__next__)
    reads: list[list[int]] = []
    writes: list[list[int]] = []
    first: list[int] = []
    for index, instruction in enumerate(instructions):
        reads.append([numbers[r] for r in instruction.reads])
        writes.append([numbers[r] for r in instruction.writes])
        if len(numbers) != len(first):
            first.extend([index] * (len(numbers) - len(first)))
    regions = list(numbers)
    boxes = Boxes(reads, writes, [r[0] for r in regions], first, [], [], [])
    boxes.last = _last_uses(instructions, boxes)
    _find_overlaps(boxes, regions, tensors)
    return boxes


def _last_uses(instructions: Sequence[Instruction], boxes: Boxes) -> list[list[int]]:
    last = [[-1] * len(boxes.tensor) for _ in range(TRANSFER_LANE + 1)]
    for index, instruction in enumerate(instructions):
        mine = last[LANES[instruction.engine] if instruction.transfer is None else TRANSFER_LANE]
        for box in boxes.reads[index]:
            mine[box] = index
        for box in boxes.writes[index]:
            mine[box] = index
    return last


def _space(tensor: Tensor) -> int | str:
    return tensor.id if tensor.address is None else tensor.memory


def _placed(region: Region, tensor: Tensor) -> Place:
    row, byte = tensor.address or (0, 0)
    return region.row0 + row, region.row1 + row, region.byte0 + byte, region.byte1 + byte


def _find_overlaps(boxes: Boxes, regions: list[Region], tensors: Sequence[Tensor]) -> None:
    spaces = [_space(tensor) for tensor in tensors]
    written = {spaces[boxes.tensor[box]] for found in boxes.writes for box in found}
    members: defaultdict[int | str, list[int]] = defaultdict(list)
    for number, tensor in enumerate(boxes.tensor):
        members[spaces[tensor]].append(number)
    alone: list[Sequence[int]] = [(number,) for number in range(len(regions))]
    boxes.overlaps, boxes.covers = alone, list(alone)
    for space, group in members.items():
        if space not in written:
            for number in group:
                boxes.overlaps[number] = ()
        elif len(group) > 1:
            _sweep(boxes, group, [_placed(regions[m], tensors[regions[m].tensor]) for m in group])


def _sweep(boxes: Boxes, members: list[int], places: list[Place]) -> None:
    """Find overlapping pairs by sweeping over the axis that tells the boxes apart best."""
    rows, columns = {p[0] for p in places}, {p[2] for p in places}
    low, high = (2, 3) if len(columns) >= len(rows) else (0, 1)
    overlaps: list[list[int]] = [[m] for m in members]
    covers: list[list[int]] = [[m] for m in members]
    alive: list[int] = []
    for b in sorted(range(len(members)), key=lambda m: places[m][low]):
        p0, p1, p2, p3 = place = places[b]
        start = place[low]
        alive = [a for a in alive if places[a][high] > start]
        for a in alive:
            q0, q1, q2, q3 = places[a]
            if p0 < q1 and q0 < p1 and p2 < q3 and q2 < p3:
                overlaps[a].append(members[b])
                overlaps[b].append(members[a])
                if p0 <= q0 and p1 >= q1 and p2 <= q2 and p3 >= q3:
                    covers[b].append(members[a])
                if q0 <= p0 and q1 >= p1 and q2 <= p2 and q3 >= p3:
                    covers[a].append(members[b])
        alive.append(b)
    for m, found, inside in zip(members, overlaps, covers, strict=True):
        boxes.overlaps[m], boxes.covers[m] = found, inside
