"""How true predicted times are: errors, rank correlation and what the other families say of each. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import fmean
from typing import Literal

Origin = Literal["source", "stream"]
Role = Literal["fitted", "validation", "held out"]


COVERAGE = 0.9
"""Share of the measured times an interval should hold."""
HELD_OUT: Role = "held out"


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure as predicted and as measured."""

    predicted: float
    measured: float


@dataclass(frozen=True, slots=True)
class Row:
    """One measured kernel and what was predicted for it, ns.

    `origin` "source" was traced from the kernel's source and has both schedules; "stream" is a real
    instruction stream replayed in the compiler's order, so it has no list schedule. `role` says whether
    constants of the machine were fitted to this very kernel; on a "held out" one not even an interval rests.
    `problem` and `method` name what rows must share to be variants of each other. `low_ns` and `high_ns` are
    the interval shown to a user, `active` the active fractions by engine, `hbm_bytes` the bytes by direction
    ("read", "write"), `packets` the DMA packets by class ("software", "hardware"). `bound` is what the
    simulation says the kernel spends its time on.
    """

    id: str
    family: str
    name: str
    problem: str
    method: str
    origin: Origin
    role: Role
    measured_ns: float
    as_written_ns: float
    list_ns: float | None = None
    low_ns: float | None = None
    high_ns: float | None = None
    active: Mapping[str, Pair] = field(default_factory=dict)
    hbm_bytes: Mapping[str, Pair] = field(default_factory=dict)
    packets: Mapping[str, Pair] = field(default_factory=dict)
    source: str = ""
    bound: str = ""

    @property
    def predicted_ns(self) -> float:
        """The time shown to a user: list-scheduled where there is a choice."""
        return self.as_written_ns if self.list_ns is None else self.list_ns

    @property
    def error(self) -> float:
        """(predicted - measured) / measured."""
        return self.predicted_ns / self.measured_ns - 1

    @property
    def list_error(self) -> float | None:
        """The list schedule's relative error."""
        return None if self.list_ns is None else self.list_ns / self.measured_ns - 1

    @property
    def as_written_error(self) -> float:
        """The as-written schedule's relative error."""
        return self.as_written_ns / self.measured_ns - 1

    @property
    def inside(self) -> bool | None:
        """Whether the measured time lies in the interval."""
        if self.low_ns is None or self.high_ns is None:
            return None
        return self.low_ns <= self.measured_ns <= self.high_ns


@dataclass(frozen=True, slots=True)
class Skipped:
    """A measured row that was not predicted, and why."""

    id: str
    family: str
    name: str
    problem: str
    measured_ns: float
    reason: str


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
    share of this family's rows within it. Constants of the machine are not fitted again.
    """

    name: str
    scores: Scores
    kendall: float | None
    variants_kendall: float | None
    variant_pairs: int
    held_out_mape: float | None = None
    others_worst: float | None = None
    covered: float | None = None


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


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Everything a fidelity report says of its rows.

    `overall` has "source" (every kernel predicted from source), "validation" and "fitted" (its two parts) and
    "stream" (replays), where there are any. `held_out_mape` is over the rows of `overall["source"]`.
    """

    rows: tuple[Row, ...]
    skipped: tuple[Skipped, ...]
    families: tuple[Family, ...]
    overall: Mapping[str, Scores]
    held_out_mape: float | None
    reaches: tuple[Reach, ...] = ()


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
    held = [(each.held_out_mape, each.scores.count) for each in families if each.held_out_mape is not None]
    return Fidelity(
        rows=tuple(rows),
        skipped=tuple(skipped),
        families=families,
        overall={name: scores(group) for name, group in groups.items() if group},
        held_out_mape=sum(m * n for m, n in held) / sum(n for _, n in held) if held else None,
        reaches=reaches(sourced),
    )


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
    return Family(
        family.name,
        family.scores,
        family.kendall,
        family.variants_kendall,
        family.variant_pairs,
        held_out_mape=fmean(abs(scale * row.predicted_ns / row.measured_ns - 1) for row in mine),
        others_worst=worst,
        covered=fmean(abs(row.error) <= worst for row in mine),
    )
