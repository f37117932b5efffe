"""`tensor[key]`: which part of a tensor integers, slices and index expressions name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.errors import KernelRefused
from simulator.nki.rules import refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki_beta.index import Index, Shape

if TYPE_CHECKING:
    from simulator.nki_beta.tile import Value

_PLAIN = (slice, Index)
_WHOLE = slice(None)


def selected(owner: NkiTensor, key: Any, zero: bool) -> Value:
    """A view where the key is plain and inside the bounds; else a part that a mask may still trim."""
    from simulator.nki_beta.tile import Part, Tensor

    keys = _complete(owner, key if isinstance(key, tuple) else (key,))
    box = _rectangle(keys)
    if box is not None and _inside(box[0], owner.shape) and _partitions_first(owner, *box):
        view = owner[box[0]]
        return Tensor(view if view.shape == box[1] else view.reshape(box[1]), zero)
    if not any(isinstance(k, Index) for k in keys):
        plain = tuple(
            _bounded(k, n) if isinstance(k, slice) else k for k, n in zip(keys, owner.shape, strict=True)
        )
        if owner.buffer in ("sbuf", "psum") and not isinstance(plain[0], slice):
            plain = (slice(plain[0], plain[0] + 1), *plain[1:])
        if _inside(plain, owner.shape):
            return Tensor(owner[plain], zero)
        keys = plain
    indices, shape = _affine(keys, owner.shape)
    if owner.buffer in ("sbuf", "psum"):
        _check_partition(indices)
    return Part(owner, indices, shape, zero)


def _complete(owner: NkiTensor, keys: tuple[Any, ...]) -> tuple[Any, ...]:
    """One key a dimension: the ellipsis spelled out, trailing dimensions whole, integers as integers."""
    from simulator.nki_beta.tile import Value

    rank = owner.ndim
    found: list[Any] = []
    for key in keys:
        if isinstance(key, _PLAIN):
            found.append(key)
        elif key is Ellipsis:
            found += [_WHOLE] * (rank - len(keys) + 1)
        elif isinstance(key, Value | NkiTensor):
            raise refuse(
                "indirect-index",
                f"{owner.name!r} is indexed with a tile",
                "index with nl.arange, nl.mgrid, slices and integers",
            )
        elif key is None:
            raise _misfit(owner, keys)
        else:
            found.append(int(key))
    found += [_WHOLE] * (rank - len(found))
    if len(found) != rank:
        raise _misfit(owner, keys)
    return tuple(found)


def _misfit(owner: NkiTensor, keys: tuple[Any, ...]) -> KernelRefused:
    return refuse("index", f"{owner.name!r} of shape {owner.shape} is indexed with {keys!r}", "fit its rank")


def _bounded(part: slice, size: int) -> slice:
    """A slice with its start, stop and step spelled out; the stop may lie outside."""
    start = 0 if part.start is None else int(part.start)
    stop = size if part.stop is None else int(part.stop)
    return slice(start + size if start < 0 else start, stop + size if stop < 0 else stop, part.step or 1)


def _rectangle(keys: tuple[Any, ...]) -> tuple[tuple[Any, ...], Shape] | None:
    """Index expressions that name a plain box, as slices, and the shape of what they select.

    Each may run over one dimension, in the tensor's order; the others are integers.
    """
    rank = max((k.ndim for k in keys if isinstance(k, Index)), default=0)
    shape = [1] * rank
    last = -1
    plain: list[Any] = []
    for key in keys:
        if isinstance(key, slice):
            return None
        if not isinstance(key, Index):
            plain.append(slice(key, key + 1))
            continue
        running = [d for d, size in enumerate(key.shape) if size > 1]
        at = running[0] + rank - key.ndim if running else last
        if len(running) > 1 or (running and (at <= last or key.steps[running[0]] < 1)):
            return None
        size, step = (key.shape[running[0]], key.steps[running[0]]) if running else (1, 1)
        plain.append(slice(key.base, key.base + step * (size - 1) + 1, step))
        if running:
            last, shape[at] = at, size
    return (tuple(plain), tuple(shape)) if rank else None


def _partitions_first(owner: NkiTensor, plain: tuple[Any, ...], shape: Shape) -> bool:
    """Whether what a box selects of an on-chip tile has its partitions in the first dimension."""
    first = plain[0]
    return (
        owner.buffer not in ("sbuf", "psum")
        or len(range(first.start, first.stop, first.step or 1)) == shape[0]
    )


def _inside(keys: tuple[Any, ...], shape: Shape) -> bool:
    return all(
        0 <= k.start <= k.stop <= n if isinstance(k, slice) else -n <= k < n
        for k, n in zip(keys, shape, strict=True)
    )


def _affine(keys: tuple[Any, ...], sizes: Shape) -> tuple[tuple[Index, ...], Shape]:
    """One index a dimension over the dimensions of the result.

    Index expressions broadcast together and stand where the first of them stands, as in NumPy.
    """
    expressions = [k for k in keys if isinstance(k, Index)]
    joined = np.broadcast_shapes(*(k.shape for k in expressions)) if expressions else ()
    offsets: dict[int, int] = {}
    shape: list[int] = []
    where = -1
    for at, (key, size) in enumerate(zip(keys, sizes, strict=True)):
        if isinstance(key, slice):
            offsets[at] = len(shape)
            part = _bounded(key, size)
            shape.append(len(range(part.start, part.stop, part.step)))
        elif isinstance(key, Index) and where < 0:
            where = len(shape)
            shape.extend(joined)
    rank = len(shape)
    indices = []
    for at, (key, size) in enumerate(zip(keys, sizes, strict=True)):
        if isinstance(key, slice):
            part = _bounded(key, size)
            indices.append(_index(part.start, {offsets[at]: part.step}, rank))
        elif isinstance(key, Index):
            first = where + len(joined) - key.ndim
            steps = {first + d: s for d, s in enumerate(key.steps) if key.shape[d] > 1}
            indices.append(_index(key.base, steps, rank))
        else:
            indices.append(_index(key, {}, rank))
    return tuple(indices), tuple(shape)


def _index(base: int, steps: dict[int, int], rank: int) -> Index:
    return Index(base, tuple(steps.get(d, 0) for d in range(rank)), (1,) * rank)


def _check_partition(indices: tuple[Index, ...]) -> None:
    """The first dimension of an on-chip part runs over partitions, and no other does."""
    if any(indices[0].steps[1:]) or any(i.steps and i.steps[0] for i in indices[1:]):
        raise refuse(
            "partition-index",
            "the first dimension of an index into an on-chip tile is not its partition",
            "index partitions with the first dimension and free elements with the others",
        )
