"""What a rule answers: a finding, that it cannot tell, or (None) that it looked and found nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.ideal import share
from collectors.records import Profile


@dataclass(frozen=True, slots=True)
class Gain:
    """Fractions (0 to 1) of the launch's time a remedy could save; `high` is a ceiling, `low` may be 0."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that fired: the values that made it, the bound it appeals to, the gain and what to try."""

    rule: str
    title: str
    evidence: str
    bound: str
    gain: Gain
    advice: str


@dataclass(frozen=True, slots=True)
class CannotTell:
    """A rule whose signal is missing, and which."""

    rule: str
    reason: str


Outcome = Finding | CannotTell | None


def engine_gain(engines: Mapping[str, float | None], engine: str, saved: float) -> Gain:
    """What saving a fraction `saved` of one engine's active time is worth to the launch.

    High: all of it, were the engine on the critical path throughout. Low: the saved fraction of the time in
    which no other engine can have been active (its active time less everybody else's), which nothing could
    hide. Expected: high times how active the engine is, a busier engine being more often the one waited for.
    """
    active = engines.get(engine) or 0.0
    others = sum(value for name, value in engines.items() if name != engine and value is not None)
    high = saved * active
    low = saved * max(0.0, active - others)
    return ordered(low, high * active, high)


def resource_gain(profile: Profile, resource: str, engine: str, saved: float) -> Gain:
    """What saving a fraction `saved` of one resource, worked by `engine`, is worth to the launch.

    Where the resource was idealised, all of it is worth its cost c. Time is that of the longest path, each
    linear in the resource, so it falls less and less: a fraction is worth at least `saved * c` (expected), at
    most c, and no more than is saved. Low is 0: the remedy may not be had. Elsewhere, `engine_gain`.
    """
    cost = share(profile, resource)
    if cost is None:
        return engine_gain(profile.engines, engine, saved)
    return ordered(0.0, saved * cost, min(cost, saved * (profile.engines.get(engine) or 0.0)))


def ordered(low: float, expected: float, high: float) -> Gain:
    """A gain with its three figures in [0, 1] and in order."""
    top = min(max(high, 0.0), 1.0)
    bottom = min(max(low, 0.0), top)
    return Gain(bottom, min(max(expected, bottom), top), top)
