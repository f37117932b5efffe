"""Which regions of memory overlap: every distinct region of a core becomes a numbered box, once.

Tensors with an author's address share one space per memory, so that reuse of an address is seen; the others
are their own space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from simulator.trace import Instruction, Region, Tensor


@dataclass(slots=True)
class Boxes:
    """The distinct regions a core touches.

    `reads[i]` and `writes[i]` are box numbers of instruction i. `overlaps[b]` are the boxes that share bytes
    with b, b first; `covers[b]` those of them that lie inside b. `tensor[b]` is the tensor a box belongs to.
    Boxes of memory this core never writes are left out: nothing can wait for them.
    """

    reads: list[list[int]]
    writes: list[list[int]]
    tensor: list[int] = field(default_factory=list)
    overlaps: list[list[int]] = field(default_factory=list)
    covers: list[list[int]] = field(default_factory=list)


def find_boxes(instructions: Sequence[Instruction], tensors: Sequence[Tensor]) -> Boxes:
    """Number the regions of one core's instructions and find out which overlap."""
    numbers: dict[Region, int] = {}
    written = {_space(tensors[r.tensor]) for i in instructions for r in i.writes}
    skipped = {t.id for t in tensors if _space(t) not in written}
    reads: list[list[int]] = []
    writes: list[list[int]] = []
    number = numbers.setdefault
    for instruction in instructions:
        reads.append([number(r, len(numbers)) for r in instruction.reads if r.tensor not in skipped])
        writes.append([number(r, len(numbers)) for r in instruction.writes])
    boxes = Boxes(reads, writes, [r.tensor for r in numbers])
    _find_overlaps(boxes, list(numbers), tensors)
    return boxes


def _space(tensor: Tensor) -> int | str:
    return tensor.id if tensor.address is None else tensor.memory


def _placed(region: Region, tensor: Tensor) -> tuple[int, int, int, int]:
    row, byte = tensor.address or (0, 0)
    return region.row0 + row, region.row1 + row, region.byte0 + byte, region.byte1 + byte


def _find_overlaps(boxes: Boxes, regions: list[Region], tensors: Sequence[Tensor]) -> None:
    spaces: dict[int | str, list[int]] = {}
    for number, region in enumerate(regions):
        spaces.setdefault(_space(tensors[region.tensor]), []).append(number)
    boxes.overlaps = [[n] for n in range(len(regions))]
    boxes.covers = [[n] for n in range(len(regions))]
    places = [_placed(r, tensors[r.tensor]) for r in regions]
    for members in spaces.values():
        if len(members) > 1:
            _sweep(boxes, members, places)


def _sweep(boxes: Boxes, members: list[int], places: list[tuple[int, int, int, int]]) -> None:
    """Find overlapping pairs by sweeping over the axis that tells the boxes apart best."""
    rows = len({places[m][0] for m in members})
    columns = len({places[m][2] for m in members})
    low, high = (2, 3) if columns >= rows else (0, 1)
    members.sort(key=lambda m: places[m][low])
    alive: list[int] = []
    for m in members:
        start = places[m][low]
        alive = [a for a in alive if places[a][high] > start]
        for a in alive:
            _pair(boxes, a, places[a], m, places[m])
        alive.append(m)


def _pair(boxes: Boxes, a: int, p: tuple[int, int, int, int], b: int, q: tuple[int, int, int, int]) -> None:
    if p[0] >= q[1] or q[0] >= p[1] or p[2] >= q[3] or q[2] >= p[3]:
        return
    boxes.overlaps[a].append(b)
    boxes.overlaps[b].append(a)
    if p[0] <= q[0] and p[1] >= q[1] and p[2] <= q[2] and p[3] >= q[3]:
        boxes.covers[a].append(b)
    if q[0] <= p[0] and q[1] >= p[1] and q[2] <= p[2] and q[3] >= p[3]:
        boxes.covers[b].append(a)
