from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.estimate import Part
from analysis.statistics import (
    Difference,
    Pair,
    difference_by_bootstrap,
    difference_of_means,
    difference_of_sums,
    judge,
    mean_interval,
)


def simulated(value: float, low: float, high: float) -> Part:
    return Part(value, low, high, "simulated")


def test_welch_interval_of_two_known_samples() -> None:
    base, candidate = [10.0, 11.0, 12.0], [20.0, 22.0, 24.0]
    difference = difference_of_means(base, candidate)
    # s²/n = 1/3 and 4/3, so the standard error is √(5/3) with (5/3)² / ((1/3)²/2 + (4/3)²/2) = 2.94 degrees.
    assert difference.value == 11
    assert difference.high is not None
    assert difference.low is not None
    assert difference.high - 11 == pytest.approx(1.29099 * 3.2171, rel=1e-3)
    assert 11 - difference.low == pytest.approx(difference.high - 11)


def test_two_repetitions_are_too_few_to_tell() -> None:
    difference = difference_of_means([1.0, 2.0], [3.0, 4.0, 5.0])
    assert difference.low is None
    assert judge(difference).verdict == "cannot tell"
    assert "too few repeats" in judge(difference).reason
    assert mean_interval([1.0, 2.0]).low is None


def test_repetitions_that_never_vary_have_an_interval_of_no_width() -> None:
    difference = difference_of_means([5.0] * 3, [6.0] * 3)
    assert (difference.low, difference.high) == (1, 1)
    assert judge(difference).verdict == "slower"


def test_bootstrap_is_seeded_and_holds_the_difference() -> None:
    base, candidate = list(range(100, 120)), list(range(150, 170))
    first = difference_by_bootstrap(base, candidate, np.median, np.median)
    assert first == difference_by_bootstrap(base, candidate, np.median, np.median)
    assert first.value == 50
    assert first.low is not None
    assert first.high is not None
    assert 40 < first.low <= 50 <= first.high < 60


def test_identical_parts_cancel_whatever_their_own_bounds() -> None:
    same = Pair(simulated(1000, 500, 2000), simulated(1000, 500, 2000), identical=True)
    difference = difference_of_sums([same], shared_error=True)
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    assert judge(difference).verdict == "no change"


def test_a_shared_error_narrows_the_interval_of_a_difference() -> None:
    pair = Pair(simulated(100, 80, 130), simulated(50, 40, 65))
    shared = difference_of_sums([pair], shared_error=True)
    apart = difference_of_sums([pair], shared_error=False)
    own = np.hypot(5, 2.5)
    assert shared.low == pytest.approx((65 - 130) - own)
    assert shared.high == pytest.approx((40 - 80) + own)
    assert (apart.low, apart.high) == (40 - 130, 65 - 80)
    assert "error is shared" in shared.basis
    assert "independent" in apart.basis


def test_a_shared_interval_is_never_wider_than_the_independent_one() -> None:
    pair = Pair(simulated(100, 99, 101), simulated(90, 60, 91))
    shared = difference_of_sums([pair], shared_error=True)
    assert shared.low == pytest.approx(60 - 101)
    assert shared.high == pytest.approx(91 - 101 + np.hypot(1, 4.5)) or shared.high == pytest.approx(91 - 99)


def test_own_errors_of_many_kernels_add_in_quadrature() -> None:
    one = difference_of_sums([Pair(simulated(100, 80, 120), simulated(100, 80, 120))], shared_error=True)
    four = difference_of_sums([Pair(simulated(100, 80, 120), simulated(100, 80, 120))] * 4, shared_error=True)
    assert one.high is not None
    assert four.high == pytest.approx(2 * one.high)


def test_estimates_never_share_the_simulators_error() -> None:
    pair = Pair(Part(100, 80, 130, "estimated"), Part(50, 40, 65, "estimated"))
    difference = difference_of_sums([pair], shared_error=True)
    assert (difference.low, difference.high) == (-90, -15)


def test_a_part_without_bounds_leaves_the_difference_without() -> None:
    pair = Pair(Part(100, None, None, "simulated"), simulated(50, 40, 65))
    difference = difference_of_sums([pair], shared_error=True)
    assert difference.value == -50
    assert difference.low is None
    assert judge(difference).verdict == "cannot tell"


@pytest.mark.parametrize(
    ("value", "low", "high", "higher_is_better", "verdict"),
    [
        (-10.0, -12.0, -8.0, False, "faster"),
        (-10.0, -12.0, -8.0, True, "slower"),
        (10.0, 8.0, 12.0, False, "slower"),
        (10.0, 8.0, 12.0, True, "faster"),
        (-0.5, -0.9, 0.9, False, "no change"),
        (-0.5, -5.0, 5.0, False, "cannot tell"),
        (-5.0, -11.0, 1.0, False, "cannot tell"),
        (-0.9, -1.7, -0.1, False, "cannot tell"),
    ],
)
def test_verdicts_on_a_base_of_100_with_a_noise_floor_of_1(
    value: float, low: float, high: float, higher_is_better: bool, verdict: str
) -> None:
    judgement = judge(Difference(100.0, value, low, high, "by hand"), higher_is_better=higher_is_better)
    assert judgement.verdict == verdict
    assert judgement.reason


def test_nothing_measured_is_not_no_change() -> None:
    assert judge(None).verdict == "cannot tell"
    assert judge(Difference(0.0, 0.0, 0.0, 0.0, "")).verdict == "cannot tell"


def test_a_blocked_comparison_says_why() -> None:
    judgement = judge(Difference(100.0, -50.0, -51.0, -49.0, ""), blocked="different prompts")
    assert judgement.verdict == "cannot tell"
    assert judgement.reason == "different prompts"


bounded = st.tuples(st.integers(1, 1000), st.integers(0, 500), st.integers(0, 500)).map(
    lambda v: simulated(v[0], max(0, v[0] - v[1]), v[0] + v[2])
)


@given(st.lists(st.tuples(st.one_of(st.none(), bounded), bounded), min_size=1, max_size=6))
def test_sharing_an_error_never_widens_an_interval(sides: list[tuple[Part | None, Part]]) -> None:
    pairs = [Pair(base, candidate) for base, candidate in sides]
    shared, apart = (difference_of_sums(pairs, shared_error=share) for share in (True, False))
    assert shared.value == apart.value
    assert None not in (shared.low, shared.high, apart.low, apart.high)
    assert apart.low <= shared.low <= shared.value <= shared.high <= apart.high  # type: ignore[operator]
