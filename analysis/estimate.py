"""A number with the bounds it is known to and the kinds of evidence it was made of."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from collectors.records import Launch, Provenance


@dataclass(frozen=True, slots=True)
class Provenances:
    """Which share (0 to 1) of a number was measured, simulated and estimated."""

    measured: float = 0.0
    simulated: float = 0.0
    estimated: float = 0.0

    @property
    def label(self) -> str:
        """One word ("simulated"), or each with its share when mixed; shares under 0.5 % fold away."""
        shares = {"measured": self.measured, "simulated": self.simulated, "estimated": self.estimated}
        kept = sorted(((share, name) for name, share in shares.items() if share >= 0.005), reverse=True)
        if len(kept) == 1:
            return kept[0][1]
        return ", ".join(f"{name} {share:.0%}".replace("%", " %") for share, name in kept)


@dataclass(frozen=True, slots=True)
class Part:
    """One term of a sum: its value, its bounds (None when nobody earned any) and its one provenance."""

    value: float
    low: float | None
    high: float | None
    provenance: Provenance

    def scaled(self, factor: float) -> Part:
        """The part times a positive exact factor."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return replace(self, value=self.value * factor, low=low, high=high)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its bounds and provenance. `low` and `high` are None when a term of it has none.

    `basis` is one sentence on how the number was made, for its tooltip.
    """

    value: float
    low: float | None
    high: float | None
    provenance: Provenances
    basis: str = ""

    def scaled(self, factor: float, basis: str | None = None) -> Estimate:
        """The estimate times a positive exact factor."""
        low, high = (None if end is None else end * factor for end in (self.low, self.high))
        return replace(self, value=self.value * factor, low=low, high=high, basis=basis or self.basis)

    def dividing(self, numerator: float, basis: str) -> Estimate:
        """`numerator / self`: a rate out of a time; the bounds trade places. NaN where the time is zero."""
        low, high = (None if end is None else _ratio(numerator, end) for end in (self.high, self.low))
        return replace(self, value=_ratio(numerator, self.value), low=low, high=high, basis=basis)


def part(launch: Launch, executions: int | None = None) -> Part:
    """What a launch contributes to a total when it runs `executions` times (default: its count)."""
    times = launch.count if executions is None else executions
    low, high = (None if end is None else times * end for end in (launch.low_ns, launch.high_ns))
    return Part(times * launch.time_ns, low, high, launch.provenance)


def total(parts: Iterable[Part], basis: str = "") -> Estimate:
    """The sum of parts. Bounds add linearly: simulated parts err together, so nothing is averaged away."""
    terms = tuple(parts)
    value = math.fsum(term.value for term in terms)
    lows = [term.low for term in terms if term.low is not None]
    highs = [term.high for term in terms if term.high is not None]
    low = math.fsum(lows) if len(lows) == len(terms) else None
    high = math.fsum(highs) if len(highs) == len(terms) else None
    return Estimate(value, low, high, mix(terms), basis)


def mix(parts: Iterable[Part]) -> Provenances:
    """Shares of a sum by provenance; a sum of zero has the shares of its terms counted alike."""
    terms = tuple(parts)
    whole = math.fsum(term.value for term in terms)
    weights = [term.value / whole if whole else 1 / len(terms) for term in terms]
    shares = {"measured": 0.0, "simulated": 0.0, "estimated": 0.0}
    for term, weight in zip(terms, weights, strict=True):
        shares[term.provenance] += weight
    return Provenances(**shares)


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan
