"""How true predicted times are: errors, rank correlation and what the other families say of each. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

from analysis.measured import HELD_OUT, Row, Skipped
from analysis.reach import Reach, reaches


@dataclass(frozen=True, slots=True)
class Scores:
    """Errors of some rows: mean absolute and largest absolute relative error of the predicted time.

    `as_written_mape` is the same mean for the as-written schedule. `inside` is the share of measured times
    inside their interval, `active_points` the mean distance of active fractions in percentage points; None
    where no row has them.
    """

    count: int
    mape: float
    worst: float
    as_written_mape: float
    inside: float | None
    active_points: float | None


@dataclass(frozen=True, slots=True)
class Family:
    """A family's errors, its order, and how it fares by what the other families taught.

    `kendall` is tau-b of predicted against measured over all rows. `variants_kendall` counts pairs of the
    same problem and method alone, so that larger problems being slower earns nothing: (concordant -
    discordant) / pairs. `held_out_mape` is the error after scaling every prediction by the geometric mean of
    measured / predicted of all other families; `others_worst` their largest absolute error, and `covered` the
    share of this family's rows within it. `refitted_mape` is the error of a machine whose constants were
    derived without this family, None where they were not derived again.
    """

    name: str
    scores: Scores
    kendall: float | None
    variants_kendall: float | None
    variant_pairs: int
    held_out_mape: float | None = None
    others_worst: float | None = None
    covered: float | None = None
    refitted_mape: float | None = None


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Everything a fidelity report says of its rows.

    `overall` has "source" (every kernel predicted from source), "validation" and "fitted" (its two parts) and
    "stream" (replays), where there are any. `held_out_mape` and `refitted_mape` are over the rows of
    `overall["source"]`, each predicted by what the other families taught.
    """

    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...]
    families: tuple[Family, ...]
    overall: Mapping[str, Scores]
    held_out_mape: float | None
    reaches: tuple[Reach, ...] = ()
    refitted_mape: float | None = None


def fidelity(rows: Sequence[Row], skipped: Sequence[Skipped] = ()) -> Fidelity:
    """Scores of every family and of the whole."""
    sourced = [row for row in rows if row.origin == "source" and row.role != HELD_OUT]
    groups = {
        "held out": [row for row in rows if row.role == HELD_OUT],
        "source": sourced,
        "validation": [row for row in sourced if row.role == "validation"],
        "fitted": [row for row in sourced if row.role == "fitted"],
        "stream": [row for row in rows if row.origin == "stream"],
    }
    names = dict.fromkeys(row.family for row in rows)
    families = tuple(_family(name, rows) for name in names)
    return Fidelity(
        rows=tuple(rows),
        skipped=tuple(skipped),
        families=families,
        overall={name: scores(group) for name, group in groups.items() if group},
        held_out_mape=_mean([(each.held_out_mape, each.scores.count) for each in families]),
        reaches=reaches(sourced),
        refitted_mape=_mean([(each.refitted_mape, each.scores.count) for each in families]),
    )


def _mean(found: Iterable[tuple[float | None, int]]) -> float | None:
    """Over the rows of those families that have a figure."""
    known = [(error, count) for error, count in found if error is not None]
    return sum(e * n for e, n in known) / sum(n for _, n in known) if known else None


def scores(rows: Sequence[Row]) -> Scores:
    """Errors of at least one row."""
    errors = [abs(row.error) for row in rows]
    inside = [row.inside for row in rows if row.inside is not None]
    distances = [abs(p.predicted - p.measured) for row in rows for p in row.active.values()]
    return Scores(
        count=len(rows),
        mape=fmean(errors),
        worst=max(errors),
        as_written_mape=fmean(abs(row.as_written_error) for row in rows),
        inside=fmean(inside) if inside else None,
        active_points=100 * fmean(distances) if distances else None,
    )


def kendall(rows: Sequence[Row]) -> float | None:
    """Kendall's tau-b of predicted against measured; None for fewer than two distinct times."""
    if len(rows) < 2:
        return None
    from scipy.stats import kendalltau

    tau = float(kendalltau([r.predicted_ns for r in rows], [r.measured_ns for r in rows]).statistic)
    return None if math.isnan(tau) else tau


def variants_kendall(rows: Iterable[Row]) -> tuple[float | None, int]:
    """(concordant - discordant) / pairs over pairs of variants measured apart, and how many pairs."""
    signs = [
        math.copysign(1, a.measured_ns - b.measured_ns) * _sign(a.predicted_ns - b.predicted_ns)
        for a, b in combinations(rows, 2)
        if (a.problem, a.method) == (b.problem, b.method) and a.measured_ns != b.measured_ns
    ]
    return (fmean(signs) if signs else None), len(signs)


def _sign(value: float) -> float:
    return math.copysign(1, value) if value else 0.0


def _family(name: str, rows: Sequence[Row]) -> Family:
    mine = [row for row in rows if row.family == name]
    others = [row for row in rows if row.family != name and row.origin == "source" and row.role != HELD_OUT]
    tau, pairs = variants_kendall(mine)
    made = Family(name, scores(mine), kendall(mine), tau, pairs)
    if not others or any(row.origin == "stream" or row.role == HELD_OUT for row in mine):
        return made
    return _held_out(made, mine, others)


def _held_out(family: Family, mine: Sequence[Row], others: Sequence[Row]) -> Family:
    scale = math.exp(fmean(math.log(row.measured_ns / row.predicted_ns) for row in others))
    worst = max(abs(row.error) for row in others)
    left_out = [row.left_out_ns / row.measured_ns - 1 for row in mine if row.left_out_ns is not None]
    return replace(
        family,
        held_out_mape=fmean(abs(scale * row.predicted_ns / row.measured_ns - 1) for row in mine),
        others_worst=worst,
        covered=fmean(abs(row.error) <= worst for row in mine),
        refitted_mape=fmean(map(abs, left_out)) if len(left_out) == len(mine) else None,
    )
