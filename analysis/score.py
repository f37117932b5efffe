"""Contest points: the challenge's two published formulas, against the official baseline.

Source: aws-neuron/nki-moe, README and main.py `calculate_score`. The first text (README of January 2026) has
time to first token; main.py, and the README since 2026-03-22, have the 99th percentile of end-to-end latency.
"(1 + NKI share)" was "NKI share" alone between 2026-03-05 and 2026-04-20.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from analysis.estimate import Estimate
from analysis.totals import Totals
from collectors.records import Run

Formula = Literal["first", "final"]
FORMULAS: dict[Formula, str] = {
    "first": "TTFT ratio × throughput ratio × (1 + NKI FLOPs share)",
    "final": "accuracy × e2e p99 latency ratio × throughput ratio × (1 + NKI FLOPs share)",
}
NO_TTFT = "the official baseline gives no TTFT, so its end-to-end latency is compared with the run's"


@dataclass(frozen=True, slots=True)
class Points:
    """Points under one formula with the terms they are a product of.

    `value` is None when there are none to give and `reason` says why; `low` and `high` are None when the
    times have no interval. `latency_ratio` and `throughput_ratio` are over 1 where the run beats the official
    baseline.
    """

    formula: Formula
    text: str
    value: float | None
    low: float | None
    high: float | None
    accuracy: int | None
    latency_ratio: float | None
    throughput_ratio: float | None
    nki_flops_share: float | None
    basis: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """What turns times of a run into its points: `points_at(latency_ns, e2e_ns)`."""

    base_latency_ns: float
    base_tokens_per_s: float
    tokens: int
    share: float

    def latency_ratio(self, latency_ns: float) -> float:
        """The official latency over the run's; NaN where the run's is zero."""
        return self.base_latency_ns / latency_ns if latency_ns else math.nan

    def throughput_ratio(self, e2e_ns: float) -> float:
        """The run's tokens per second over the official ones; NaN where the run's time is zero."""
        return self.tokens * 1e9 / e2e_ns / self.base_tokens_per_s if e2e_ns else math.nan

    def points_at(self, latency_ns: float, e2e_ns: float) -> float:
        """Points at a latency and an end-to-end time, accuracy granted."""
        return self.latency_ratio(latency_ns) * self.throughput_ratio(e2e_ns) * (1 + self.share)


def points(totals: Totals, run: Run, formula: Formula = "final") -> Points:
    """The run's points, or None with the reason (accuracy unchecked, no baseline, no end-to-end time)."""
    scale = scale_of(totals, run)
    latency = latency_of(totals, formula)
    if isinstance(scale, str) or latency is None or totals.e2e_ns is None:
        reason = scale if isinstance(scale, str) else "the run has no end-to-end time"
        return _none(formula, run, reason)
    ratios = scale.latency_ratio(latency.value), scale.throughput_ratio(totals.e2e_ns.value)
    reason = accuracy_reason(run)
    # A failed check scores 0 whatever the times; an unchecked run has no score at all.
    none = 0.0 if run.accuracy == 0 else None
    value, low, high = (none, none, none) if reason else _propagated(scale, latency, totals.e2e_ns)
    return Points(
        formula,
        FORMULAS[formula],
        value,
        low,
        high,
        run.accuracy,
        *ratios,
        scale.share,
        _basis(totals, formula),
        reason,
    )


def scale_of(totals: Totals, run: Run) -> Scale | str:
    """The run's scale from times to points, or the sentence that says what is missing."""
    if run.base_latency_ms is None or run.base_tokens_per_s is None:
        return "the run has no official baseline (only the challenge's prompts do)"
    if not run.seq_len:
        return "the run has no sequence length to count tokens by"
    if totals.nki_flops_share is None:
        return "no launch says how many MACs it does, so the NKI FLOPs share is unknown"
    share = totals.nki_flops_share.value
    return Scale(run.base_latency_ms * 1e6, run.base_tokens_per_s, run.seq_len * run.batch, share)


def latency_of(totals: Totals, formula: Formula) -> Estimate | None:
    """The latency a formula divides the official one by."""
    return totals.e2e_p99_ns if formula == "final" else totals.e2e_ns


def accuracy_reason(run: Run) -> str:
    """Why a run's accuracy lets it have no points; empty when it passed."""
    if run.accuracy == 0:
        failed = [check.name for check in run.checks if not check.passed]
        return f"accuracy failed: {', '.join(failed)}" if failed else "accuracy failed"
    return "" if run.accuracy else "accuracy was not checked"


def _propagated(
    scale: Scale, latency: Estimate, e2e: Estimate
) -> tuple[float | None, float | None, float | None]:
    value = scale.points_at(latency.value, e2e.value)
    if e2e.low is None or e2e.high is None:
        return value, None, None
    ends = latency.low or latency.value, latency.high or latency.value
    return value, scale.points_at(ends[1], e2e.high), scale.points_at(ends[0], e2e.low)


def _basis(totals: Totals, formula: Formula) -> str:
    latency = latency_of(totals, formula)
    told = [FORMULAS[formula], f"latency is the {latency.basis}" if latency else ""]
    if formula == "first":
        told.append(NO_TTFT)
    if totals.nki_flops_share:
        told.append(f"NKI share: {totals.nki_flops_share.basis}")
    return "; ".join(filter(None, told))


def _none(formula: Formula, run: Run, reason: str) -> Points:
    text = FORMULAS[formula]
    return Points(formula, text, None, None, None, run.accuracy, None, None, None, text, reason)
