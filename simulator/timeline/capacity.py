"""Where SBUF and PSUM run out: an allocation that must wait for the memory of dead tensors.

Tensors are placed in program order. A new one takes memory never used, then that of the tensor dead longest
(the compiler's address rotation); the instructions that write it first then wait for the last users of what
it replaces. So prefetch reaches as far as memory does, in either scheduling order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.machine.facts import OnChip
from simulator.timeline.boxes import TRANSFER_LANE, Boxes, Tensors
from simulator.timeline.compiled import entry
from simulator.timeline.lists import Array, Lists, grouped
from simulator.timeline.state import MEMORIES

_NAMED_UNITS = 64
"""Up to how many units of memory it is known which ones a tensor got."""


@dataclass(slots=True)
class Placement:
    """Outcome for one core. `waits`, by tensor, are instructions whose completion frees what it reuses.

    `banks`, by tensor, are the PSUM banks of a PSUM tensor. Peaks are of the program's live sets.
    """

    waits: Lists
    banks: Lists
    sbuf_peak_bytes: int = 0
    psum_peak_banks: int = 0


@dataclass(slots=True)
class _Lives:
    """On-chip tensors in order of first use: `first[k]`, `last[k]` and the last user per lane, `users[k]`."""

    tensor: Array
    first: Array
    last: Array
    users: Array


def anywhere(tensors: Tensors) -> Placement:
    """The placement of tensors in memory that never runs out."""
    nothing = Lists(np.zeros(len(tensors.memory) + 1, dtype=np.int64), np.empty(0, dtype=np.int64))
    return Placement(nothing, nothing)


def place(boxes: Boxes, tensors: Tensors, onchip: OnChip) -> Placement:
    """Place one core's on-chip tensors; see the module's text."""
    bank, banks = int(onchip.psum_bank_bytes), int(onchip.psum_banks)
    first, users = _uses(boxes, len(tensors.memory))
    sbuf, psum = (_lives(first, users, tensors, memory) for memory in ("sbuf", "psum"))
    sizes, needs = tensors.bytes_per_row[sbuf.tensor], -(-tensors.bytes_per_row[psum.tensor] // bank)
    freed, _ = _rotated(sbuf, sizes, tensors, int(onchip.sbuf_partition_bytes))
    freed_banks, owned = _rotated(psum, needs, tensors, banks)
    count = len(tensors.memory)
    return Placement(
        waits=grouped(*_joined(freed, freed_banks), count),
        banks=grouped(*_joined(owned, _addressed_banks(psum.tensor, tensors, bank)), count),
        sbuf_peak_bytes=_peak(sbuf, sizes) * int(onchip.partitions),
        psum_peak_banks=min(banks, -(-_peak(psum, tensors.bytes_per_row[psum.tensor]) // bank)),
    )


def _joined(*found: tuple[Array, Array]) -> tuple[Array, Array]:
    owners, items = zip(*found, strict=True)
    return np.concatenate(owners), np.concatenate(items)


def _uses(boxes: Boxes, tensors: int) -> tuple[Array, Array]:
    """The first user of each tensor, and its last by lane, [tensors, lanes]; -1 where there is none."""
    number = np.arange(len(boxes.lane))
    uses = (boxes.reads, boxes.writes)
    index = np.concatenate([np.repeat(number, np.diff(each.first)) for each in uses])
    tensor = boxes.regions[np.concatenate([each.items for each in uses]), 0]
    first = np.full(tensors, len(number))
    np.minimum.at(first, tensor, index)
    last = np.full(tensors * (TRANSFER_LANE + 1), -1)
    np.maximum.at(last, tensor * (TRANSFER_LANE + 1) + boxes.lane[index], index)
    return first, last.reshape(tensors, TRANSFER_LANE + 1)


def _lives(first: Array, users: Array, tensors: Tensors, memory: str) -> _Lives:
    last = users.max(axis=1, initial=-1)
    used = np.flatnonzero((tensors.memory == MEMORIES[memory]) & (last >= 0))
    found = used[np.argsort(first[used], kind="stable")]
    return _Lives(found, first[found], last[found], users[found])


def _peak(lives: _Lives, sizes: Array) -> int:
    """The largest sum of sizes live at once."""
    times = np.concatenate((lives.last + 1, lives.first))
    changes = np.concatenate((-sizes, sizes))
    return int(changes[np.argsort(times, kind="stable")].cumsum().max(initial=0))


def _rotated(
    lives: _Lives, needs: Array, tensors: Tensors, size: int
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Pairs of a tensor and what it waits for, and of a tensor and a unit it got where they are few."""
    free = ~tensors.placed[lives.tensor]
    tensor, last = lives.tensor[free], lives.last[free]
    dying = np.argsort(last, kind="stable")
    needs = np.minimum(needs[free], size)
    owned = np.zeros(len(tensor) + 1, dtype=np.int64)
    if size <= _NAMED_UNITS:
        np.cumsum(needs, out=owned[1:])
    units = np.empty(owned[-1], dtype=np.int64)
    stock = np.concatenate((np.arange(size if owned[-1] else 0), units))
    replaced = np.empty(len(tensor) + 1, dtype=np.int64)
    rotate(lives.first[free], last, dying, needs, size, tensor, owned, units, stock, replaced)
    users = lives.users[free][dying]
    gone = np.repeat(np.arange(len(tensor)), np.diff(replaced))
    waits = (np.repeat(tensor[gone], users.shape[1]), users[: len(gone)].ravel())
    needed = waits[1] >= 0
    return (waits[0][needed], waits[1][needed]), (np.repeat(tensor, np.diff(owned)), units)


@entry
def rotate(
    first: Array,
    last: Array,
    dying: Array,
    needs: Array,
    size: int,
    tensor: Array,
    owned: Array,
    units: Array,
    stock: Array,
    replaced: Array,
) -> None:
    """Hand out `size` units of memory in program order.

    Tensor k is used from `first[k]` to `last[k]` and needs `needs[k]` units; `dying` is their order of death.
    It replaces tensors `dying[replaced[k]:replaced[k + 1]]`, and gets `units[owned[k]:owned[k + 1]]` of the
    `stock`, where units have names.
    """
    left = put = size
    took = dead = 0
    for k in range(len(first)):
        replaced[k] = dead
        while left < needs[k] and dead < len(first) and last[dying[dead]] < first[k]:
            gone = dying[dead]
            dead += 1
            left += needs[gone]
            for at in range(owned[gone], owned[gone + 1]):
                stock[put] = units[at]
                put += 1
        left -= needs[k]
        for at in range(owned[k], owned[k + 1]):
            if took < put:
                units[at] = stock[took]
                took += 1
            else:
                units[at] = (tensor[k] + at - owned[k]) % size
    replaced[len(first)] = dead


def _addressed_banks(found: Array, tensors: Tensors, unit: int) -> tuple[Array, Array]:
    """Pairs of a tensor with an author's address and a bank it lies in."""
    placed = found[tensors.placed[found]]
    low = tensors.byte[placed] // unit
    high = (tensors.byte[placed] + np.maximum(1, tensors.bytes_per_row[placed]) - 1) // unit
    tensor = np.repeat(placed, high - low + 1)
    within = np.arange(len(tensor)) - np.repeat(np.cumsum(high - low + 1) - (high - low + 1), high - low + 1)
    return tensor, np.repeat(low, high - low + 1) + within
