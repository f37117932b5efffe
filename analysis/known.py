"""Variants another run already has that are faster on the same work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.align import Group, align, pairs
from analysis.comparability import shares_simulator, unlikenesses
from analysis.rules.finding import Gain, ordered
from analysis.side import total_of
from analysis.statistics import difference_of_sums
from collectors.records import Run


@dataclass(frozen=True, slots=True)
class Known:
    """A faster variant another run has for the same slots, and its gain as a fraction of their time."""

    run_id: str
    label: str
    variants: tuple[str, ...]
    slots: tuple[str, ...]
    gain: Gain


def known_variants(run: Run, alternatives: Sequence[Run]) -> dict[int, Known]:
    """The fastest variant per launch (by `id`) in comparable runs; a fused one stands against all it covers.

    Only variants whose whole interval is faster count, and none of a run whose accuracy failed.
    """
    best: dict[int, Known] = {}
    for group, found in _faster(run, alternatives):
        for launch in group.base:
            if id(launch) not in best or found.gain.expected > best[id(launch)].gain.expected:
                best[id(launch)] = found
    return best


def _faster(run: Run, alternatives: Sequence[Run]) -> Iterator[tuple[Group, Known]]:
    for other in alternatives:
        if other.run_id == run.run_id or any(each.severity == "blocks" for each in unlikenesses(run, other)):
            continue
        for group in align(run, other):
            found = _gain(group, run, other)
            if found is not None:
                yield group, found


def _gain(group: Group, run: Run, other: Run) -> Known | None:
    if not group.base or not group.candidate or total_of(group.candidate) >= total_of(group.base):
        return None
    difference = difference_of_sums(pairs(group), shared_error=shares_simulator(run, other))
    if difference.low is None or difference.high is None or difference.high >= 0:
        return None
    gain = ordered(*(-end / difference.base for end in (difference.high, difference.value, difference.low)))
    variants = tuple(dict.fromkeys(launch.variant for launch in group.candidate))
    return Known(other.run_id, other.label, variants, group.slots, gain)
