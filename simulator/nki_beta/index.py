"""Index expressions of the first dialect: `nl.arange`, `nl.mgrid`, affine arithmetic on them, and masks.

Every loop is unrolled, so a loop variable is an integer and an index is affine in the positions of the tile
that it selects. A mask is a conjunction of affine conditions on the same positions: what trims a dimension
makes the instruction smaller, as the compiler does; anything else selects elements.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.nki.rules import refuse

Shape = tuple[int, ...]
Box = tuple[tuple[int, int], ...]


def _aligned(steps: Shape, shape: Shape, rank: int) -> tuple[Shape, Shape]:
    missing = rank - len(shape)
    return (0,) * missing + steps, (1,) * missing + shape


class Index:
    """`base` + the sum of step x position over the dimensions of `shape`."""

    __slots__ = ("base", "shape", "spread", "steps")
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, base: int, steps: Shape = (), shape: Shape = ()) -> None:
        self.base = base
        self.steps = steps
        self.shape = shape
        self.spread: dict[tuple[bool, ...], Index] = {}

    def __repr__(self) -> str:
        return f"an index of shape {list(self.shape)}"

    @property
    def ndim(self) -> int:
        """Dimensions of the index."""
        return len(self.shape)

    def __getitem__(self, key: Any) -> Index:
        """`i[:, None]`: dimensions of size one between the others."""
        keys = key if isinstance(key, tuple) else (key,)
        if any(k is not None and k != slice(None) for k in keys):
            return self._spread(keys)
        pattern = tuple([k is None for k in keys])
        found = self.spread.get(pattern)
        if found is None:
            found = self.spread[pattern] = self._spread(keys)
        return found

    def _spread(self, keys: tuple[Any, ...]) -> Index:
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            kept = len(self.shape) - sum(k is not None and k is not Ellipsis for k in keys)
            keys = (*keys[:at], *(slice(None),) * kept, *keys[at + 1 :])
        places = [k for k in keys if k is not None]
        if any(k != slice(None) for k in places) or len(places) != len(self.shape):
            raise refuse(
                "index-expression",
                f"an index is itself indexed with {keys!r}",
                "index it with : and None only",
            )
        old = iter(zip(self.steps, self.shape, strict=True))
        pairs = [(0, 1) if k is None else next(old) for k in keys]
        return Index(self.base, tuple(s for s, _ in pairs), tuple(n for _, n in pairs))

    def __add__(self, other: Any) -> Index:
        if not isinstance(other, Index):
            return Index(self.base + _whole(other), self.steps, self.shape)
        rank = max(self.ndim, other.ndim)
        left, sizes = _aligned(self.steps, self.shape, rank)
        right, others = _aligned(other.steps, other.shape, rank)
        return Index(
            self.base + other.base,
            tuple(a + b for a, b in zip(left, right, strict=True)),
            tuple(_joined(m, n) for m, n in zip(sizes, others, strict=True)),
        )

    __radd__ = __add__

    def __mul__(self, other: Any) -> Index:
        if isinstance(other, Index):
            raise refuse("affine-index", "two index expressions are multiplied", "keep indices affine")
        factor = _whole(other)
        return Index(self.base * factor, tuple(s * factor for s in self.steps), self.shape)

    __rmul__ = __mul__

    def __neg__(self) -> Index:
        return self * -1

    def __sub__(self, other: Any) -> Index:
        difference: Index = self + (-other)
        return difference

    def __rsub__(self, other: Any) -> Index:
        difference: Index = (-self) + other
        return difference

    def _not_affine(self, _other: Any) -> Any:
        raise refuse(
            "affine-index",
            "an index expression is divided",
            "split the dimension in two indices instead of // and %",
        )

    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __truediv__ = __rtruediv__ = _not_affine

    def __ge__(self, other: Any) -> Mask:
        return Mask((self - other,))

    def __gt__(self, other: Any) -> Mask:
        return Mask((self - other - 1,))

    def __le__(self, other: Any) -> Mask:
        return Mask((other - self,))

    def __lt__(self, other: Any) -> Mask:
        return Mask((other - self - 1,))

    def __eq__(self, other: object) -> Any:
        return (self >= other) & (self <= other)

    def values(self, box: Box) -> Any:
        """The index at every position of `box`, whose rank is at least the index's."""
        steps, shape = _aligned(self.steps, self.shape, len(box))
        total: Any = np.int64(self.base)
        for dim, ((low, high), step, size) in enumerate(zip(box, steps, shape, strict=True)):
            if step and size > 1:
                position = np.arange(low, high, dtype=np.int64) * step
                total = total + position.reshape((-1,) + (1,) * (len(box) - dim - 1))
        return np.broadcast_to(total, tuple(high - low for low, high in box))


def _joined(size: int, other: int) -> int:
    if size != other and 1 not in (size, other):
        raise refuse(
            "index-shape",
            f"index expressions of {size} and {other} positions are combined",
            "make them equal",
        )
    return max(size, other)


def _whole(value: Any) -> int:
    try:
        return int(value.__index__())
    except (AttributeError, TypeError):
        raise refuse("affine-index", f"{value!r} is part of an index expression", "use integers") from None


class Mask:
    """Conditions that all hold: every index of `conditions` is at least zero."""

    __slots__ = ("conditions",)
    __array_ufunc__ = None

    def __init__(self, conditions: tuple[Index, ...]) -> None:
        self.conditions = conditions

    def __and__(self, other: Any) -> Any:
        if isinstance(other, Mask):
            return Mask(self.conditions + other.conditions)
        return self if other else False

    __rand__ = __and__

    def __bool__(self) -> bool:
        raise refuse("mask-in-python", "an index expression steers Python's control flow", "pass it as mask=")


@dataclass(frozen=True, slots=True)
class Trim:
    """What a mask leaves of a tile: a box of positions, and conditions on the elements inside it."""

    box: Box
    chosen: tuple[Index, ...] = ()

    def keep(self) -> Any:
        """Which positions of the box are selected."""
        kept: Any = np.True_
        for condition in self.chosen:
            kept = kept & (condition.values(self.box) >= 0)
        return kept


NOTHING = Trim(())
"""What a mask leaves that selects no element."""


def trimmed(mask: Any, shape: Shape) -> Trim | None:
    """What `mask` leaves of a tile of `shape`: None for all of it, `NOTHING`, or a part."""
    if mask is None or isinstance(mask, bool | np.bool_):
        return None if mask is None or mask else NOTHING
    whole: Box = tuple((0, size) for size in shape)
    if not isinstance(mask, Mask):
        raise refuse("mask", f"mask= is given {type(mask).__name__}", "compare index expressions")
    ranges = [list(pair) for pair in whole]
    chosen = []
    for condition in mask.conditions:
        if condition.ndim > len(shape):
            raise refuse("mask", f"a mask of shape {condition.shape} on a tile {shape}", "give both one rank")
        steps, sizes = _aligned(condition.steps, condition.shape, len(shape))
        varying = [d for d, (s, n) in enumerate(zip(steps, sizes, strict=True)) if s and n > 1]
        if not varying and condition.base < 0:
            return NOTHING
        if len(varying) == 1:
            _narrow(ranges[varying[0]], condition.base, steps[varying[0]])
        elif varying:
            chosen.append(condition)
    box = tuple((low, high) for low, high in ranges)
    if any(low >= high for low, high in box):
        return NOTHING
    rest = tuple(c for c in chosen if not bool((c.values(box) >= 0).all()))
    return Trim(box, rest) if rest or box != whole else None


def _narrow(bounds: list[int], base: int, step: int) -> None:
    """Keep the positions p with base + step x p >= 0."""
    if step > 0:
        bounds[0] = max(bounds[0], -(base // step))
    else:
        bounds[1] = min(bounds[1], base // -step + 1)


def arange(start: int, stop: int | None = None, step: int = 1) -> Index:
    """`start`, `start + step`, ... as an index of one dimension; index it with None to add others."""
    first, end = (0, start) if stop is None else (start, stop)
    return _line(int(first), int(end), int(step))


@functools.lru_cache(maxsize=1024)
def _line(start: int, stop: int, step: int) -> Index:
    return Index(start, (step,), (len(range(start, stop, step)),))


class Grid(tuple[Index, ...]):
    """The indices of `nl.mgrid[...]`, one a dimension: `p` for partitions, then `x`, `y`, `z`, `w`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Index:
        place = "pxyzw".find(name)
        if len(name) != 1 or not 0 <= place < len(self):
            raise AttributeError(name)
        return self[place]


class _MeshGrid:
    """`nl.mgrid[0:128, 0:512]`."""

    def __getitem__(self, key: Any) -> Grid:
        slices: Iterable[slice] = key if isinstance(key, tuple) else (key,)
        lines = [arange(s.start or 0, s.stop, s.step or 1) for s in slices]
        rank = len(lines)
        return Grid(
            Index(i.base, _at(d, rank, i.steps[0], 0), _at(d, rank, i.shape[0], 1))
            for d, i in enumerate(lines)
        )


def _at(dim: int, rank: int, value: int, other: int) -> Shape:
    return tuple(value if d == dim else other for d in range(rank))


mgrid = _MeshGrid()
