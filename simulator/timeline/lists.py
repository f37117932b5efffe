"""Lists of numbers of different lengths, end to end in one array."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Lists(NamedTuple):
    """List k is `items[first[k]:first[k + 1]]`; both are int64."""

    first: Array
    items: Array

    def cut(self) -> Lists:
        """Without the room behind the last list."""
        return Lists(self.first, self.items[: self.first[-1]])

    def sets(self) -> list[set[int]]:
        """Each list as Python's set."""
        first, items = self.first.tolist(), self.items.tolist()
        return [set(items[a:b]) for a, b in pairwise(first)]


def lists_of(found: Sequence[Sequence[int]]) -> Lists:
    """Python's lists as arrays."""
    return from_flat([len(each) for each in found], list(chain.from_iterable(found)))


def from_flat(lengths: Iterable[int], items: Sequence[int]) -> Lists:
    """Lists by their lengths and all of their items."""
    first = np.fromiter(accumulate(lengths, initial=0), dtype=np.int64)
    return Lists(first, np.fromiter(items, dtype=np.int64, count=len(items)))


def buffers(count: int, fill: Callable[..., int]) -> tuple[Array, Array]:
    """What `fill(first, second)` puts into two arrays of equal length; it says how much there was to put, and
    is called again when there was no room for all of it. `count` is how much to expect.
    """
    while True:
        first, second = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
        found = fill(first, second)
        if found <= count:
            return first[:found], second[:found]
        count = found
