"""A binary heap in two arrays: numbers by key, the smaller number first where keys are equal."""

from __future__ import annotations

from simulator.timeline.compiled import part
from simulator.timeline.lists import Array


@part
def push(keys: Array, items: Array, size: int, key: float, item: int) -> int:
    """Add an item to a heap of `size`; returns its new size."""
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if keys[above] < key or (keys[above] == key and items[above] < item):
            break
        keys[at], items[at] = keys[above], items[above]
        at = above
    keys[at], items[at] = key, item
    return size + 1


@part
def pop(keys: Array, items: Array, size: int) -> int:
    """Take the first item, `items[0]`, out of a heap of `size`; returns its new size."""
    size -= 1
    key, item = keys[size], items[size]
    at = 0
    while 2 * at + 1 < size:
        below = 2 * at + 1
        other = below + 1
        if other < size and (
            keys[other] < keys[below] or (keys[other] == keys[below] and items[other] < items[below])
        ):
            below = other
        if key < keys[below] or (key == keys[below] and item < items[below]):
            break
        keys[at], items[at] = keys[below], items[below]
        at = below
    keys[at], items[at] = key, item
    return size
