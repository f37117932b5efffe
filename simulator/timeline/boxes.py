"""Which boxes of memory overlap. Tensors with an author's address share one space per memory, so that reuse
of an address is seen; the others are their own space.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from simulator.timeline.compiled import entry, part
from simulator.timeline.lists import Array, Lists, buffers
from simulator.timeline.program import Tensors, Uses
from simulator.timeline.state import MEMORIES


class Overlaps(NamedTuple):
    """By box, the boxes that share bytes with it, itself first, and `covers`, those of them inside it.

    For memory the core never writes there are none: nothing can wait for it.
    """

    overlaps: Lists
    covers: Lists


def find_overlaps(uses: Uses, tensors: Tensors) -> Overlaps:
    """Overlapping and covered boxes, by sweeping each space over the axis that tells its boxes apart best."""
    count = len(uses.regions)
    spaces = (len(uses.base) - 1) * (len(tensors.memory) + len(MEMORIES))
    space, chosen = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    spans = np.empty((count, 4), dtype=np.int64)
    chosen = chosen[: spread(uses, tensors, np.zeros((spaces, 7)), space, spans, chosen)]
    order = chosen[np.lexsort((spans[chosen, 0], space[chosen]))]
    alive = np.empty(len(order), dtype=np.int64)
    first, second = buffers(2 * len(order), partial(pairs, order, space, spans, alive))
    overlaps, covers = (
        Lists(np.zeros(count + 1, dtype=np.int64), np.empty(len(order) + 2 * len(first), dtype=np.int64))
        for _ in range(2)
    )
    join(order, first, second, spans, overlaps, covers)
    return Overlaps(overlaps, covers)


@entry
def spread(uses: Uses, tensors: Tensors, extents: Array, space: Array, spans: Array, chosen: Array) -> int:
    """Put every box into its space, and those whose space is written into `chosen`; returns how many.

    `spans[b]` is the box along the axis to sweep over, then across it. `extents` is to work in: by space,
    least start, greatest end and sum of lengths of rows, then of bytes, and whether it is written.
    """
    count = len(tensors.memory)
    for core in range(len(uses.base) - 1):
        for b in range(uses.boxes[core], uses.boxes[core + 1]):
            tensor = uses.regions[b, 0]
            own = count + tensors.memory[tensor] if tensors.placed[tensor] else tensor
            space[b] = core * (count + 3) + own
            for k in range(4):
                spans[b, k] = uses.regions[b, k + 1] + (tensors.row if k < 2 else tensors.byte)[tensor]
            _extend(extents[space[b]], spans[b])
    for b in uses.writes.items:
        extents[space[b], 6] = 1.0
    found = 0
    for b in range(len(space)):
        extent = extents[space[b]]
        if extent[6] > 0.0:
            chosen[found] = b
            found += 1
            if extent[5] * (extent[1] - extent[0]) < extent[2] * (extent[4] - extent[3]):
                spans[b, 0], spans[b, 2] = spans[b, 2], spans[b, 0]
                spans[b, 1], spans[b, 3] = spans[b, 3], spans[b, 1]
    return found


@part
def _extend(extent: Array, span: Array) -> None:
    """Let a space reach over one more box. Boxes overlap the less along an axis, the less of it they fill."""
    new = extent[1] == 0.0 and extent[4] == 0.0
    for k in (0, 1):
        start, end = float(span[2 * k]), float(span[2 * k + 1])
        extent[3 * k] = start if new else min(extent[3 * k], start)
        extent[3 * k + 1] = end if new else max(extent[3 * k + 1], end)
        extent[3 * k + 2] += end - start


@entry
def pairs(order: Array, space: Array, spans: Array, alive: Array, first: Array, second: Array) -> int:
    """Put every two boxes that overlap into `first` and `second` while there is room; returns how many pairs.

    `order` lists boxes by space and start along the axis. `alive` is to work in.
    """
    found = living = 0
    for b in order:
        kept = 0
        for k in range(living):
            a = alive[k]
            if space[a] != space[b] or spans[a, 1] <= spans[b, 0]:
                continue
            alive[kept] = a
            kept += 1
            meet = spans[a, 2] < spans[b, 3] and spans[b, 2] < spans[a, 3]
            if meet and spans[a, 0] < spans[b, 1]:
                if found < len(first):
                    first[found], second[found] = a, b
                found += 1
        alive[kept] = b
        living = kept + 1
    return found


@entry
def join(order: Array, first: Array, second: Array, spans: Array, overlaps: Lists, covers: Lists) -> None:
    """From pairs of boxes to lists by box."""
    for b in order:
        overlaps.first[b] += 1
        covers.first[b] += 1
    for k in range(len(first)):
        a, b = first[k], second[k]
        overlaps.first[a] += 1
        overlaps.first[b] += 1
        covers.first[a] += _inside(spans, b, a)
        covers.first[b] += _inside(spans, a, b)
    for lists in (overlaps, covers):
        for b in range(1, len(lists.first)):
            lists.first[b] += lists.first[b - 1]
    for k in range(len(first)):
        a, b = first[k], second[k]
        _put(overlaps, a, b)
        _put(overlaps, b, a)
        if _inside(spans, b, a):
            _put(covers, a, b)
        if _inside(spans, a, b):
            _put(covers, b, a)
    for b in order:
        _put(overlaps, b, b)
        _put(covers, b, b)


@part
def _inside(spans: Array, inner: int, outer: int) -> bool:
    for k in (0, 2):
        if spans[inner, k] < spans[outer, k] or spans[outer, k + 1] < spans[inner, k + 1]:
            return False
    return True


@part
def _put(lists: Lists, owner: int, item: int) -> None:
    """Put an item before those its owner has; `first` is where they begin."""
    lists.first[owner] -= 1
    lists.items[lists.first[owner]] = item
