"""How far measured times lie from predicted ones, by kind of kernel: the intervals times are shown with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from analysis.measured import Row

COVERAGE = 0.9
"""Share of the measured times an interval should hold."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far measured times lie from predicted ones, for kernels with the same bound.

    `share` is the half-width, as a share of the predicted time, that holds a further kernel like them nine
    times in ten. `pooled` says that there were too few of the kind to say so: it is what holds every kernel
    of every kind. `covered` is the share of measured times
    within what the other families alone would have given, None where there is no other family.
    """

    bound: str
    share: float
    count: int
    families: int
    pooled: bool
    covered: float | None


def reaches(rows: Sequence[Row]) -> tuple[Reach, ...]:
    """The half-width each kind of kernel has earned, widest first."""
    bounds = dict.fromkeys(row.bound for row in rows if row.bound)
    return tuple(sorted((_reach(bound, rows) for bound in bounds), key=lambda r: -r.share))


def _reach(bound: str, rows: Sequence[Row]) -> Reach:
    mine = [row for row in rows if row.bound == bound]
    families = {row.family for row in mine}
    held = [
        abs(_miss(row)) <= _half_width(bound, others)
        for row in mine
        if (others := [other for other in rows if other.family != row.family])
    ]
    return Reach(
        bound,
        _half_width(bound, rows),
        len(mine),
        len(families),
        _rank(len(mine)) > len(mine),
        fmean(held) if held else None,
    )


def _half_width(bound: str, rows: Sequence[Row]) -> float:
    """What holds a further kernel of the kind with probability `COVERAGE`, or every row of any kind.

    Of n rows like it, a further one is within the ceil(COVERAGE (n + 1))-th smallest miss (split conformal
    prediction: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, JASA 2018); nine is the fewest that can say so.
    """
    mine = sorted(abs(_miss(row)) for row in rows if row.bound == bound)
    rank = _rank(len(mine))
    return mine[rank - 1] if rank <= len(mine) else max(abs(_miss(row)) for row in rows)


def _rank(count: int) -> int:
    return math.ceil(COVERAGE * (count + 1))


def _miss(row: Row) -> float:
    return row.measured_ns / row.predicted_ns - 1
