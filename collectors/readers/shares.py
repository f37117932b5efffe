"""Time of an execution divided among places that work at once.

Every moment belongs to the places at work in it, in equal parts; a moment when nothing works belongs to the
work that starts next, because that was waited for; what follows the last work is the last place's.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from collectors.readers.rows import Covered

Times = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
Active = npt.NDArray[np.bool_]
WINDOW = 1 << 18
"""Stretches of work that are looked at together: memory follows it, not the profile."""


def shares_ns(spans: Sequence[Covered], bounds: tuple[int, int], window: int = WINDOW) -> Times:
    """Time of each place within the bounds; they sum to it. `spans` are when each place was at work."""
    total, following = np.zeros(len(spans)), np.zeros(len(spans), bool)
    following[-1] = True
    cuts = _cuts(spans, bounds, window)
    for first, last in reversed(list(pairwise(cuts))):
        part, following = _within(spans, first, last, following)
        total += part
    return total


def _cuts(spans: Sequence[Covered], bounds: tuple[int, int], window: int) -> list[int]:
    """The bounds, and between them times that have `window` stretches between them."""
    starts = np.sort(np.concatenate([each.start for each in spans]))[::window]
    inside = starts[(starts > bounds[0]) & (starts < bounds[1])]
    return [bounds[0], *np.unique(inside).tolist(), bounds[1]]


def _within(spans: Sequence[Covered], first: int, last: int, following: Active) -> tuple[Times, Active]:
    """Shares of one window, and the places its first moment is of; `following` is whose the next one's is."""
    cut = [each.between(first, last) for each in spans]
    edges = np.unique(np.concatenate([[first, last], *(np.concatenate((c.start, c.end)) for c in cut)]))
    active = np.stack([_active(each, edges) for each in cut])
    owner = _next_busy(np.asarray(active.any(axis=0)))
    tail = owner == active.shape[1]
    active = active[:, np.where(tail, 0, owner)]
    active[:, tail] = following[:, None]
    return active @ (np.diff(edges) / active.sum(axis=0)), active[:, 0]


def _active(spans: Covered, edges: Index) -> Active:
    change = np.zeros(len(edges), np.int8)  # stretches do not touch: each edge begins or ends one at most
    change[np.searchsorted(edges, spans.start)] += 1
    change[np.searchsorted(edges, spans.end)] -= 1
    return np.asarray(np.cumsum(change)[:-1] > 0)


def _next_busy(busy: Active) -> Index:
    """For every segment the first one at or after it that is busy; their number where there is none."""
    at = np.where(busy, np.arange(len(busy)), len(busy))
    return np.minimum.accumulate(at[::-1])[::-1]
