"""What runs of a kind are ranked by: points, tokens per second of a batch, or a kernel's time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analysis.estimate import Estimate
from analysis.totals import Totals
from collectors.records import Run


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of merit: what its axis is called, which way is better, and a level to compare with.

    `estimate` takes it from a run's totals, in units of `scale`; None for points, which a formula makes.
    """

    title: str
    unit: str
    higher_is_better: bool
    reference: tuple[float, str] | None = None
    estimate: Callable[[Totals], Estimate | None] | None = None
    scale: float = 1.0


# Points of the official baseline's own times without NKI, by either formula: 1 × 1 × (1 + 0).
POINTS = Measure("points", "points", True, (1.0, "official baseline, no NKI"))
DECODE_RATE = Measure(
    "decode, tokens/s", "tokens/s of decode on the device", True, estimate=lambda totals: totals.decode_per_s
)
KERNEL = Measure("µs a launch", "µs a launch", False, estimate=lambda totals: totals.kernel_ns, scale=1e3)


def measure_of(run: Run) -> Measure:
    """The official baseline was measured on one sequence, so a batch has no points."""
    if run.prompt is None:
        return KERNEL
    return POINTS if run.batch == 1 else DECODE_RATE
