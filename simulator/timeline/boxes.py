"""Which regions of memory overlap: every distinct region of a core becomes a numbered box, once.

Tensors with an author's address share one space per memory, so that reuse of an address is seen; the
others are their own space.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count

import numpy as np

from simulator.timeline.compiled import entry
from simulator.timeline.lists import Array, Lists, buffers, from_flat, grouped
from simulator.timeline.state import ENGINE, LANES, MEMORIES
from simulator.trace import Instruction, Region, Tensor

TRANSFER_LANE = LANES
"""What all transfers run on, as far as dependencies are concerned: they complete in no order."""


@dataclass(slots=True)
class Tensors:
    """A trace's tensors as columns. `memory` is by `MEMORIES`; `row` and `byte` are an author's address, 0
    where `placed` says that there is none.
    """

    memory: Array
    bytes_per_row: Array
    placed: Array
    row: Array
    byte: Array


@dataclass(slots=True)
class Boxes:
    """The distinct regions a core touches, numbered in the order of first use.

    `reads` and `writes` are lists of box numbers by instruction; `regions[b]` is a `Region` as five numbers.
    `lane[i]` is the engine instruction i runs on, or `TRANSFER_LANE`. `overlaps` are, by box, the boxes that
    share bytes with it, itself first; `covers` those of them inside it. For memory this core never writes
    there are none: nothing can wait for it.
    """

    reads: Lists
    writes: Lists
    lane: Array
    regions: Array
    overlaps: Lists
    covers: Lists


def columns(tensors: Sequence[Tensor]) -> Tensors:
    """The tensors of a trace as columns."""
    addresses = [tensor.address or (0, 0) for tensor in tensors]
    return Tensors(
        memory=np.array([MEMORIES[tensor.memory] for tensor in tensors], dtype=np.int64),
        bytes_per_row=np.array([tensor.bytes_per_row for tensor in tensors], dtype=np.int64),
        placed=np.array([tensor.address is not None for tensor in tensors], dtype=np.bool_),
        row=np.array([row for row, _ in addresses], dtype=np.int64),
        byte=np.array([byte for _, byte in addresses], dtype=np.int64),
    )


def find_boxes(instructions: Sequence[Instruction], tensors: Tensors) -> Boxes:
    """Number the regions of one core's instructions and find out which overlap."""
    numbers: defaultdict[Region, int] = defaultdict(count().__next__)
    uses = [regions for i in instructions for regions in (i.reads, i.writes)]
    flat = list(map(numbers.__getitem__, chain.from_iterable(uses)))
    both = from_flat(map(len, uses), flat)
    lengths = np.diff(both.first)
    read = np.repeat(np.arange(len(uses)) % 2 == 0, lengths)
    reads, writes = (
        Lists(np.concatenate(([0], np.cumsum(lengths[way::2]))), both.items[read == (way == 0)])
        for way in (0, 1)
    )
    lane = [ENGINE[i.operation.engine] if i.transfer is None else TRANSFER_LANE for i in instructions]
    cells = np.fromiter(chain.from_iterable(numbers), dtype=np.int64, count=5 * len(numbers))
    regions = cells.reshape(-1, 5)
    overlaps, covers = _overlaps(regions, writes.items, tensors)
    return Boxes(reads, writes, np.array(lane, dtype=np.int64), regions, overlaps, covers)


def _overlaps(regions: Array, written: Array, tensors: Tensors) -> tuple[Lists, Lists]:
    """Overlapping and covered boxes, by sweeping each space over the axis that tells its boxes apart best."""
    tensor = regions[:, 0]
    spaces = len(tensors.memory) + len(MEMORIES)
    shared = len(tensors.memory) + tensors.memory[tensor]
    space = np.where(tensors.placed[tensor], shared, tensor)
    is_written = np.zeros(spaces, dtype=np.bool_)
    is_written[space[written]] = True
    rows = regions[:, 1:3] + tensors.row[tensor, None]
    bytes_ = regions[:, 3:5] + tensors.byte[tensor, None]
    by_rows = (_distinct(space, rows[:, 0], spaces) > _distinct(space, bytes_[:, 0], spaces))[space, None]
    along, across = np.where(by_rows, rows, bytes_), np.where(by_rows, bytes_, rows)
    order = np.lexsort((along[:, 0], space))
    order = order[is_written[space[order]]]
    along, across = along[order], across[order]
    alive = np.empty(len(order), dtype=np.int64)
    a, b = buffers(len(order), partial(pairs, space[order], along, across, alive))
    first, second = np.concatenate((a, b)), np.concatenate((b, a))
    inside = _contains(along, first, second) & _contains(across, first, second)
    overlaps, covers = (
        grouped(
            np.concatenate((order, order[first[chosen]])),
            np.concatenate((order, order[second[chosen]])),
            len(regions),
        )
        for chosen in (slice(None), inside)
    )
    return overlaps, covers


def _distinct(space: Array, values: Array, spaces: int) -> Array:
    """How many distinct values there are in each space."""
    order = np.lexsort((values, space))
    space, values = space[order], values[order]
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (space[1:] != space[:-1]) | (values[1:] != values[:-1])
    return np.bincount(space[new], minlength=spaces)


def _contains(spans: Array, first: Array, second: Array) -> Array:
    inside: Array = (spans[first, 0] <= spans[second, 0]) & (spans[first, 1] >= spans[second, 1])
    return inside


@entry
def pairs(space: Array, along: Array, across: Array, alive: Array, first: Array, second: Array) -> int:
    """Put every two boxes that overlap into `first` and `second` while there is room; returns how many pairs.

    Box k spans `along[k]` by `across[k]`; boxes are sorted by space and `along[:, 0]`. `alive` is to work in.
    """
    found = living = 0
    for b in range(len(space)):
        kept = 0
        for k in range(living):
            a = alive[k]
            if space[a] != space[b] or along[a, 1] <= along[b, 0]:
                continue
            alive[kept] = a
            kept += 1
            meet = across[a, 0] < across[b, 1] and across[b, 0] < across[a, 1]
            if meet and along[a, 0] < along[b, 1]:
                if found < len(first):
                    first[found], second[found] = a, b
                found += 1
        alive[kept] = b
        living = kept + 1
    return found
