"""Spans of a timeline to what one row of pixels per lane can show, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spans:
    """Instructions or transfers, one value each: their lane, times in ns, what they are, bytes they move.

    `lane` and `what` are codes from 0 on; `bytes` is 0 where nothing is moved.
    """

    lane: Ints
    start: Ints
    end: Ints
    what: Ints
    bytes: Ints


@dataclass(frozen=True, slots=True)
class Pixels:
    """Pixels with anything in them, by lane and bucket: busy 0-1, the `what` with most time, spans, bytes."""

    lane: Ints
    bucket: Ints
    busy: Floats
    top: Ints
    count: Ints
    bytes: Floats


def pixels(spans: Spans, start_ns: float, width_ns: float, buckets: int) -> Pixels:
    """Cut spans into `buckets` pieces of `width_ns`. Spans of a lane may overlap: busy is their union."""
    order = np.lexsort((spans.end, spans.start, spans.lane))
    lane, start, end = spans.lane[order], spans.start[order], spans.end[order]
    own = np.maximum(start, _ended_before(lane, end))
    first = np.maximum(np.floor((start - start_ns) / width_ns).astype(np.int64), 0)
    last = np.minimum(np.floor((end - 1 - start_ns) / width_ns).astype(np.int64), buckets - 1)
    pieces = np.maximum(last - first + 1, 0)
    of = np.repeat(np.arange(len(lane)), pieces)
    bucket = np.arange(len(of)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + first[of]
    left, right = start_ns + bucket * width_ns, start_ns + (bucket + 1) * width_ns
    until = np.minimum(end[of], right)
    spent = np.maximum(until - np.maximum(start[of], left), 0.0)
    covered = np.maximum(until - np.maximum(own[of], left), 0.0)
    moved = spans.bytes[order][of] * spent / np.maximum(end - start, 1)[of]
    places, index = np.unique(lane[of] * buckets + bucket, return_inverse=True)
    return Pixels(
        lane=places // buckets,
        bucket=places % buckets,
        busy=np.minimum(np.bincount(index, covered, len(places)) / width_ns, 1.0),
        top=_most(index, spans.what[order][of], spent),
        count=np.bincount(index, minlength=len(places)),
        bytes=np.bincount(index, moved, len(places)).astype(np.float64),
    )


def _ended_before(lane: Ints, end: Ints) -> Ints:
    """When the last of the spans before it in its lane ended; the smallest number for the first of a lane."""
    found = np.full(len(lane), np.iinfo(np.int64).min)
    edges = np.flatnonzero(np.diff(lane, prepend=-1))
    for begin, stop in zip(edges, np.append(edges[1:], len(lane)), strict=False):
        found[begin + 1 : stop] = np.maximum.accumulate(end[begin : stop - 1])
    return found


def _most(place: Ints, what: Ints, spent: Floats) -> Ints:
    """For every place (numbered without gaps) the `what` that spent the most there, of equals the first."""
    kinds = int(what.max(initial=0)) + 1
    pairs, index = np.unique(place * kinds + what, return_inverse=True)
    total = np.bincount(index, spent, len(pairs))
    order = np.lexsort((-(pairs % kinds), total, pairs // kinds))
    ends = np.flatnonzero(np.diff(pairs[order] // kinds, append=-1))
    return np.asarray((pairs % kinds)[order][ends])
