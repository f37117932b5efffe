"""Where SBUF and PSUM run out: an allocation that must wait for the memory of dead tensors.

Tensors are placed in program order. A new one takes memory never used, then that of the tensor dead longest
(the compiler's address rotation); the instructions that write it first then wait for the last users of what
it replaces. So prefetch reaches as far as memory does, in either scheduling order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simulator.machine.facts import OnChip
from simulator.timeline.boxes import Boxes
from simulator.trace import Tensor

Array = np.ndarray[Any, Any]
_NAMED_UNITS = 64
"""Up to how many units of memory it is known which ones a tensor got."""


@dataclass(slots=True)
class Placement:
    """Outcome for one core. `waits[tensor]` are instructions whose completion frees what the tensor reuses.

    `banks[tensor]` are the PSUM banks of a PSUM tensor. Peaks are of the program's live sets.
    """

    waits: dict[int, tuple[int, ...]] = field(default_factory=dict)
    banks: dict[int, tuple[int, ...]] = field(default_factory=dict)
    sbuf_peak_bytes: int = 0
    psum_peak_banks: int = 0


@dataclass(slots=True)
class _Lives:
    """On-chip tensors in order of first use: `first[k]`, `last[k]` and the last user per lane, `users[k]`."""

    tensor: list[int]
    first: Array
    last: Array
    users: Array


def place(boxes: Boxes, tensors: Sequence[Tensor], onchip: OnChip) -> Placement:
    """Place one core's on-chip tensors; see the module's text."""
    placement = Placement()
    bank = int(onchip.psum_bank_bytes)
    sbuf = _lives(boxes, tensors, "sbuf")
    sizes = [tensors[t].bytes_per_row for t in sbuf.tensor]
    placement.sbuf_peak_bytes = _peak(sbuf, sizes) * int(onchip.partitions)
    _rotate(sbuf, sizes, tensors, int(onchip.sbuf_partition_bytes), placement.waits)
    psum = _lives(boxes, tensors, "psum")
    sizes = [tensors[t].bytes_per_row for t in psum.tensor]
    banks = int(onchip.psum_banks)
    placement.psum_peak_banks = min(banks, -(-_peak(psum, sizes) // bank))
    owned = _rotate(psum, [-(-size // bank) for size in sizes], tensors, banks, placement.waits)
    placement.banks = owned | _addressed_banks(psum.tensor, tensors, bank)
    return placement


def _lives(boxes: Boxes, tensors: Sequence[Tensor], memory: str) -> _Lives:
    wanted = [b for b, t in enumerate(boxes.tensor) if tensors[t].memory == memory]
    if not wanted:
        nothing = np.empty(0, dtype=np.int64)
        return _Lives([], nothing, nothing, np.empty((0, len(boxes.last)), dtype=np.int64))
    owners = np.array(boxes.tensor)[wanted]
    by_owner = np.argsort(owners, kind="stable")
    chosen = np.array(wanted)[by_owner]
    starts = np.flatnonzero(np.diff(owners[by_owner], prepend=-1))
    users = np.maximum.reduceat(np.array(boxes.last)[:, chosen].T, starts, axis=0)
    first = np.minimum.reduceat(np.array(boxes.first)[chosen], starts)
    order = np.argsort(first, kind="stable")
    found = owners[by_owner][starts][order].tolist()
    return _Lives(found, first[order], users.max(axis=1)[order], users[order])


def _peak(lives: _Lives, sizes: list[int]) -> int:
    """The largest sum of sizes live at once."""
    if not sizes:
        return 0
    times = np.concatenate((lives.last + 1, lives.first))
    changes = np.concatenate((-np.array(sizes), np.array(sizes)))
    return max(0, int(changes[np.argsort(times, kind="stable")].cumsum().max()))


def _rotate(
    lives: _Lives, needs: list[int], tensors: Sequence[Tensor], size: int, waits: dict[int, tuple[int, ...]]
) -> dict[int, tuple[int, ...]]:
    """Hand out units of memory in program order; returns which units each tensor got, when they are few."""
    order = [k for k, t in enumerate(lives.tensor) if tensors[t].address is None]
    first, last = lives.first.tolist(), lives.last.tolist()
    dying = deque(sorted(order, key=last.__getitem__))
    free: deque[int] | None = deque(range(size)) if size <= _NAMED_UNITS else None
    left = size
    owned: dict[int, tuple[int, ...]] = {}
    for k in order:
        need = min(needs[k], size)
        replaced: set[int] = set()
        while left < need and dying and last[dying[0]] < first[k]:
            dead = dying.popleft()
            replaced.update(user for user in lives.users[dead].tolist() if user >= 0)
            left += min(needs[dead], size)
            if free is not None:
                free.extend(owned[lives.tensor[dead]])
        tensor = lives.tensor[k]
        if replaced:
            waits[tensor] = tuple(replaced)
        left -= need
        if free is not None:
            owned[tensor] = tuple(free.popleft() if free else (tensor + n) % size for n in range(need))
    return owned


def _addressed_banks(found: list[int], tensors: Sequence[Tensor], unit: int) -> dict[int, tuple[int, ...]]:
    banks = {}
    for t in found:
        address = tensors[t].address
        if address is not None:
            last = address[1] + max(1, tensors[t].bytes_per_row) - 1
            banks[t] = tuple(range(address[1] // unit, last // unit + 1))
    return banks
