"""The few numbers two runs are compared by, each with its difference and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.align import Group, pairs
from analysis.estimate import Estimate
from analysis.score import FORMULAS, Formula, Points, Scale, scale_of
from analysis.statistics import (
    Difference,
    Judgement,
    Pair,
    Statistic,
    difference_by_bootstrap,
    difference_of_means,
    difference_of_sums,
    judge,
)
from analysis.totals import E2E_SAMPLES, TTFT_SAMPLES, Totals, first_token_parts, samples_of
from collectors.records import Phase, Run


@dataclass(frozen=True, slots=True)
class Headline:
    """One number of both runs, in `unit`, with the verdict on its difference; None where unknown."""

    key: str
    name: str
    unit: str
    higher_is_better: bool
    base: float | None
    candidate: float | None
    difference: Difference | None
    judgement: Judgement
    basis: str
    provenance: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Sides:
    """Both runs with what comparing totals needs; `blocked` says why no verdict is allowed, or is empty."""

    base: Run
    candidate: Run
    before: Totals
    after: Totals
    groups: tuple[Group, ...]
    shared: bool
    blocked: str


def headlines(
    sides: Sides, base_points: Mapping[Formula, Points], candidate_points: Mapping[Formula, Points]
) -> Iterator[Headline]:
    """Headline numbers that at least one of the runs has, the four of a prompt run first."""
    times: tuple[tuple[str, str, str, float, Callable[[Totals], Estimate | None], Difference | None], ...] = (
        ("decode", "decode, device", "ms/token", 1e6, lambda t: t.decode_ns_per_token, _decode(sides)),
        ("ttft", "time to first token", "ms", 1e6, lambda t: t.ttft_ns, _first_token(sides)),
        ("e2e", "end to end", "ms", 1e6, lambda t: t.e2e_ns, _end_to_end(sides)),
        ("prefill", "prefill, device", "ms", 1e6, lambda t: t.prefill_ns, _phases(sides, ("prefill",))),
        ("host", "host", "ms", 1e6, lambda t: t.host_ns, _phases(sides, ("host",))),
        ("kernel", "kernel", "us", 1e3, lambda t: t.kernel_ns, _phases(sides, ("kernel",))),
    )
    for key, name, unit, scale, read, difference in times:
        a, b = read(sides.before), read(sides.after)
        if a or b:
            yield _headline(
                key, name, unit, (a, b), difference and in_unit(difference, scale), sides.blocked, scale
            )
    e2e = _end_to_end(sides)
    rates = (("tokens_per_s", "throughput, as the challenge counts"), ("generated_per_s", "new tokens"))
    for key, name in rates:
        a, b = getattr(sides.before, key), getattr(sides.after, key)
        if a or b:
            yield _headline(key, name, "tokens/s", (a, b), _rate(a, b, e2e), sides.blocked, 1.0, higher=True)
    for formula in FORMULAS:
        yield _points_headline(formula, base_points[formula], candidate_points[formula], sides, e2e)


def _headline(
    key: str,
    name: str,
    unit: str,
    values: tuple[Estimate | None, Estimate | None],
    difference: Difference | None,
    blocked: str,
    scale: float,
    higher: bool = False,
) -> Headline:
    a, b = values
    judgement = judge(difference if a and b else None, higher_is_better=higher, blocked=blocked)
    return Headline(
        key=key,
        name=name,
        unit=unit,
        higher_is_better=higher,
        base=a.value / scale if a else None,
        candidate=b.value / scale if b else None,
        difference=difference if a and b else None,
        judgement=judgement,
        basis=(b or a).basis if (b or a) else "",  # type: ignore[union-attr]
        provenance=(a.provenance.label if a else "missing", b.provenance.label if b else "missing"),
    )


def _points_headline(
    formula: Formula, a: Points, b: Points, sides: Sides, e2e: Difference | None
) -> Headline:
    reason = sides.blocked or a.reason or b.reason
    difference = (
        None
        if reason or a.value is None or b.value is None
        else _points_difference(formula, a, b, sides, e2e)
    )
    labels = [t.e2e_ns.provenance.label if t.e2e_ns else "missing" for t in (sides.before, sides.after)]
    judgement = judge(difference, higher_is_better=True, blocked=reason)
    name = f"points, {formula} formula"
    return Headline(
        f"points_{formula}",
        name,
        "points",
        True,
        a.value,
        b.value,
        difference,
        judgement,
        b.basis,
        (labels[0], labels[1]),
    )


def _points_difference(
    formula: Formula, a: Points, b: Points, sides: Sides, e2e: Difference | None
) -> Difference:
    """By bootstrap of both runs' repetitions, else at the base's time plus either end of its difference."""
    assert a.value is not None
    assert b.value is not None
    scales = scale_of(sides.before, sides.base), scale_of(sides.after, sides.candidate)
    samples = samples_of(sides.base, E2E_SAMPLES), samples_of(sides.candidate, E2E_SAMPLES)
    scale, before = scales[1], sides.before.e2e_ns
    value = b.value - a.value
    if formula == "final" and all(samples) and isinstance(scales[0], Scale) and isinstance(scale, Scale):
        return difference_by_bootstrap(*samples, _points_statistic(scales[0]), _points_statistic(scale))
    if e2e is None or e2e.low is None or e2e.high is None or not isinstance(scale, Scale) or before is None:
        why = e2e.basis if e2e else "missing"
        return Difference(a.value, value, None, None, f"end to end has no interval ({why})")
    ends = sorted(
        scale.points_at(before.value + end, before.value + end) - a.value for end in (e2e.low, e2e.high)
    )
    return Difference(
        a.value, value, min(ends[0], value), max(ends[1], value), f"from end to end: {e2e.basis}"
    )


def _points_statistic(scale: Scale) -> Statistic:
    """Points of a sample of end-to-end times: latency is its 99th percentile, throughput from its mean."""
    product = scale.points_at(1.0, 1.0)

    def statistic(values: np.ndarray[Any, Any], axis: int = -1) -> Any:
        return product / (np.percentile(values, 99, axis=axis) * np.mean(values, axis=axis))

    return statistic


def _rate(a: Estimate | None, b: Estimate | None, e2e: Difference | None) -> Difference | None:
    if a is None or b is None or e2e is None:
        return None
    if e2e.low is None or e2e.high is None:
        return Difference(a.value, b.value - a.value, None, None, e2e.basis)
    work = a.value * e2e.base
    ends = sorted(work / (e2e.base + end) - a.value for end in (e2e.low, e2e.high) if e2e.base + end > 0)
    value = b.value - a.value
    return Difference(
        a.value, value, min(ends[0], value), max(ends[-1], value), f"from end to end: {e2e.basis}"
    )


def _decode(sides: Sides) -> Difference | None:
    steps = sides.before.decode_steps, sides.after.decode_steps
    difference = _phases(sides, ("decode",))
    return in_unit(difference, steps[0]) if difference and steps[0] and steps[0] == steps[1] else None


def _end_to_end(sides: Sides) -> Difference | None:
    sampled = _sampled(sides, E2E_SAMPLES)
    return sampled or _phases(sides, ("prefill", "decode", "host"))


def _first_token(sides: Sides) -> Difference | None:
    if sampled := _sampled(sides, TTFT_SAMPLES):
        return sampled
    counts = {
        id(launch): n
        for run in (sides.base, sides.candidate)
        for launch, n in first_token_parts(run.launches)
    }
    groups = [group for group in sides.groups if group.phase in ("prefill", "host")]
    return _sums([each for group in groups for each in pairs(group, executions=counts)], sides.shared)


def _sampled(sides: Sides, metric: str) -> Difference | None:
    a, b = samples_of(sides.base, metric), samples_of(sides.candidate, metric)
    return difference_of_means(a, b) if a and b else None


def _phases(sides: Sides, phases: tuple[Phase, ...]) -> Difference | None:
    return _sums(
        [each for group in sides.groups if group.phase in phases for each in pairs(group)], sides.shared
    )


def _sums(listed: list[Pair], shared: bool) -> Difference | None:
    return difference_of_sums(listed, shared_error=shared) if listed else None


def in_unit(difference: Difference, scale: float) -> Difference:
    """The difference divided by a positive exact scale."""
    low, high = (None if end is None else end / scale for end in (difference.low, difference.high))
    return Difference(difference.base / scale, difference.value / scale, low, high, difference.basis)
