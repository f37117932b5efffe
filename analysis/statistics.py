"""Intervals of differences and the verdict they allow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from analysis.estimate import Part
from analysis.rules.thresholds import CONFIDENCE, MIN_REPEATS, NOISE_FLOOR, SIMULATED_OWN_ERROR

RESAMPLES = 2000
Statistic = Callable[..., Any]
Verdict = Literal["faster", "slower", "no change", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds of a number, None when nothing earned them, and one sentence on what did (or did not)."""

    low: float | None
    high: float | None
    basis: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate less base (`value`), in the unit of the metric; bounds None when nothing earned them."""

    base: float
    value: float
    low: float | None
    high: float | None
    basis: str

    @property
    def relative(self) -> float | None:
        """The difference over the base; None where the base is zero."""
        return self.value / self.base if self.base else None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and the sentence that defends it."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Pair:
    """The same work in both runs. `identical` means the very same execution, whose difference is exactly 0.

    A side is None where that run has no such piece.
    """

    base: Part | None
    candidate: Part | None
    identical: bool = False


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's t interval of a mean."""
    if len(values) < MIN_REPEATS:
        return Interval(None, None, _too_few(len(values)))
    from scipy import stats  # late: it takes a second, and most commands need no interval

    mean, error = float(np.mean(values)), float(stats.sem(values))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error
    return Interval(mean - reach, mean + reach, f"{CONFIDENCE:.0%} t interval of n={len(values)} repetitions")


def difference_of_means(base: Sequence[float], candidate: Sequence[float]) -> Difference:
    """Difference of two sampled means with Welch's interval (unequal variances)."""
    before, after = float(np.mean(base)), float(np.mean(candidate))
    value, sizes = after - before, f"n={len(base)} and n={len(candidate)}"
    if min(len(base), len(candidate)) < MIN_REPEATS:
        return Difference(before, value, None, None, _too_few(min(len(base), len(candidate))))
    if np.ptp(base) == 0 and np.ptp(candidate) == 0:
        return Difference(before, value, value, value, f"every repetition alike, {sizes}")
    from scipy import stats

    bounds = stats.ttest_ind(candidate, base, equal_var=False).confidence_interval(CONFIDENCE)
    return Difference(before, value, float(bounds.low), float(bounds.high), f"Welch's 95 % interval, {sizes}")


def difference_by_bootstrap(
    base: Sequence[float],
    candidate: Sequence[float],
    of_base: Statistic,
    of_candidate: Statistic,
    seed: int = 0,
) -> Difference:
    """Difference of a statistic of each sample (a percentile, points), by percentile bootstrap, seeded.

    `of_base(values, axis=...)` reduces one axis, as NumPy's reductions do.
    """
    old, new = np.asarray(base), np.asarray(candidate)
    before, after = float(of_base(old, axis=-1)), float(of_candidate(new, axis=-1))
    if min(len(old), len(new)) < MIN_REPEATS:
        return Difference(before, after - before, None, None, _too_few(min(len(old), len(new))))
    from scipy import stats

    bounds = stats.bootstrap(
        (new, old),
        lambda x, y, axis=-1: of_candidate(x, axis=axis) - of_base(y, axis=axis),
        vectorized=True,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    basis = f"bootstrap, {RESAMPLES} resamples of n={len(old)} and n={len(new)}"
    return Difference(before, after - before, float(bounds.low), float(bounds.high), basis)


def difference_of_sums(pairs: Iterable[Pair], *, shared_error: bool) -> Difference:
    """Difference of two sums of paired parts, with bounds from the parts' own bounds.

    Identical parts cancel exactly. With `shared_error` (both sides simulated by the same simulator and
    machine tables) the simulator's systematic error is common to both sides, so low is taken against low and
    high against high; what each changed kernel errs by on its own is added in quadrature
    (`SIMULATED_OWN_ERROR`, or the part's own half-width where that is smaller). Without it, and for parts
    that are not simulated, low stands against high.
    """
    listed = tuple(pairs)
    base = math.fsum(pair.base.value for pair in listed if pair.base)
    changed = [pair for pair in listed if not pair.identical]
    value = math.fsum(_value(pair.candidate) - _value(pair.base) for pair in changed)
    if not changed:
        return Difference(base, 0.0, 0.0, 0.0, "every launch is the same execution in both runs")
    if any(
        side is not None and (side.low is None or side.high is None) for p in changed for side in _sides(p)
    ):
        return Difference(base, value, None, None, "a changed launch has no interval of its own")
    common = [pair for pair in changed if shared_error and _all_simulated(pair)]
    apart = [pair for pair in changed if not (shared_error and _all_simulated(pair))]
    low, high = _common_mode(common)
    widest = [_independent(pair) for pair in changed]
    low = max(low + math.fsum(_independent(pair)[0] for pair in apart), math.fsum(end[0] for end in widest))
    high = min(high + math.fsum(_independent(pair)[1] for pair in apart), math.fsum(end[1] for end in widest))
    return Difference(base, value, min(low, value), max(high, value), _sum_basis(len(common), len(apart)))


def judge(difference: Difference | None, *, higher_is_better: bool = False, blocked: str = "") -> Judgement:
    """The verdict a difference allows. `blocked` is why the two sides cannot be compared at all."""
    if blocked:
        return Judgement("cannot tell", blocked)
    if difference is None or not difference.base or math.isnan(difference.value):
        return Judgement("cannot tell", "one side has no value")
    if difference.low is None or difference.high is None:
        return Judgement("cannot tell", f"no interval: {difference.basis}")
    if difference.value == 0 and difference.low == 0 and difference.high == 0:
        return Judgement("no change", difference.basis)
    floor = NOISE_FLOOR * abs(difference.base)
    if max(abs(difference.low), abs(difference.high)) <= floor:
        return Judgement(
            "no change", f"the whole interval is within the {NOISE_FLOOR:.0%} two equal runs differ by"
        )
    if difference.low <= 0 <= difference.high:
        return Judgement("cannot tell", "the interval of the difference includes zero")
    if abs(difference.value) <= floor:
        return Judgement(
            "cannot tell", f"the difference is within the {NOISE_FLOOR:.0%} two equal runs differ by"
        )
    better = (difference.value > 0) == higher_is_better
    return Judgement("faster" if better else "slower", "the interval of the difference excludes zero")


def _common_mode(pairs: Sequence[Pair]) -> tuple[float, float]:
    """Bounds of the difference when both sides move together, plus each kernel's own error."""
    value = math.fsum(_value(pair.candidate) - _value(pair.base) for pair in pairs)
    ends = [
        math.fsum(_end(pair.candidate, at) - _end(pair.base, at) for pair in pairs) for at in ("low", "high")
    ]
    own = math.hypot(*(_own_error(side) for pair in pairs for side in _sides(pair) if side))
    return min(*ends, value) - own, max(*ends, value) + own


def _independent(pair: Pair) -> tuple[float, float]:
    return (
        _end(pair.candidate, "low") - _end(pair.base, "high"),
        _end(pair.candidate, "high") - _end(pair.base, "low"),
    )


def _own_error(part: Part) -> float:
    half_width = ((part.high or 0.0) - (part.low or 0.0)) / 2
    return min(SIMULATED_OWN_ERROR * part.value, half_width)


def _all_simulated(pair: Pair) -> bool:
    return all(side is None or side.provenance == "simulated" for side in _sides(pair))


def _sides(pair: Pair) -> tuple[Part | None, Part | None]:
    return pair.base, pair.candidate


def _value(part: Part | None) -> float:
    return part.value if part else 0.0


def _end(part: Part | None, at: Literal["low", "high"]) -> float:
    if part is None:
        return 0.0
    return (part.low if at == "low" else part.high) or 0.0


def _sum_basis(common: int, apart: int) -> str:
    told = []
    if common:
        told.append(
            f"{common} simulated: the simulator's error is shared, so low is compared with low and "
            f"high with high, plus at most {SIMULATED_OWN_ERROR:.0%} of each kernel's own"
        )
    if apart:
        told.append(f"{apart} compared as independent intervals")
    return "unchanged launches cancel; changed launches: " + "; ".join(told)


def _too_few(n: int) -> str:
    return f"too few repeats to tell (n={n}, at least {MIN_REPEATS} needed)"
