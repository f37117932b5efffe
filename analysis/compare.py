"""Two runs side by side: what makes them unlike, the headline numbers, and where the time moved."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from analysis.align import UNATTRIBUTED, Group, align, pairs
from analysis.comparability import SourceChange, Unlikeness, shares_simulator, source_changes, unlikenesses
from analysis.headlines import Headline, Sides, headlines
from analysis.score import FORMULAS, Formula, Points, points
from analysis.side import Side, side, total_of
from analysis.statistics import Difference, Judgement, Pair, difference_of_sums, judge
from analysis.totals import totals
from collectors.records import Phase, Run

Status = Literal["unchanged", "changed", "new", "removed"]


@dataclass(frozen=True, slots=True)
class Row:
    """The same slots of a phase in both runs. A side is None where that run has no such launch.

    `moved_ns` is the candidate's total less the base's over the whole run and is exact; the moves of all rows
    sum to the difference of the totals. `difference` is in ns per token (decode) or per request.
    """

    phase: Phase
    slots: tuple[str, ...]
    status: Status
    base: Side | None
    candidate: Side | None
    moved_ns: int
    difference: Difference
    judgement: Judgement
    sources: tuple[SourceChange, ...]

    @property
    def label(self) -> str:
        """The row's slots, joined; a phase that one run knows only as a whole is called by its name."""
        if UNATTRIBUTED in self.slots and len(self.slots) > 1:
            return f"all of {self.phase}"
        return " + ".join(self.slots)


@dataclass(frozen=True, slots=True)
class Step:
    """A bar of a waterfall: it starts at `start_ns` and moves by `moved_ns`."""

    label: str
    start_ns: float
    moved_ns: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Candidate against base. `rows` come by time moved, largest first; `verdict` is the end-to-end one."""

    base_id: str
    candidate_id: str
    differences: tuple[Unlikeness, ...]
    headlines: tuple[Headline, ...]
    rows: tuple[Row, ...]
    sources: tuple[SourceChange, ...]
    verdict: Judgement
    base_points: Mapping[Formula, Points]
    candidate_points: Mapping[Formula, Points]


def compare(base: Run, candidate: Run) -> Comparison:
    """Compare two runs. Unlike workloads still get their numbers, but every verdict is then "cannot tell"."""
    before, after = totals(base), totals(candidate)
    unlike = unlikenesses(base, candidate)
    blocked = "; ".join(each.sentence for each in unlike if each.severity == "blocks")
    changes = source_changes(base, candidate)
    shared = shares_simulator(base, candidate)
    sides = Sides(base, candidate, before, after, align(base, candidate), shared, blocked)
    base_points = {formula: points(before, base, formula) for formula in FORMULAS}
    candidate_points = {formula: points(after, candidate, formula) for formula in FORMULAS}
    headline_numbers = tuple(headlines(sides, base_points, candidate_points))
    rows = [_row(group, sides, changes) for group in sides.groups]
    return Comparison(
        base_id=base.run_id,
        candidate_id=candidate.run_id,
        differences=unlike,
        headlines=headline_numbers,
        rows=tuple(sorted(rows, key=lambda row: abs(row.moved_ns), reverse=True)),
        sources=changes,
        verdict=_verdict(headline_numbers),
        base_points=base_points,
        candidate_points=candidate_points,
    )


def waterfall(comparison: Comparison, phase: Phase | None = None) -> tuple[Step, ...]:
    """Steps from the base's time to the candidate's: per token for "decode", over the run for None.

    The first step is the base's time from zero; rows follow, largest move first; the moves sum to the
    difference.
    """
    rows = [row for row in comparison.rows if phase in (None, row.phase)]
    at = math.fsum(_time(row.base, phase) for row in rows)
    steps = [Step("base", 0.0, at)]
    for row in rows:
        moved = _time(row.candidate, phase) - _time(row.base, phase)
        if moved:
            steps.append(Step(row.label if phase else f"{row.phase}: {row.label}", at, moved))
            at += moved
    return tuple(steps)


def _time(of: Side | None, phase: Phase | None) -> float:
    if of is None:
        return 0.0
    return of.time_ns if phase else of.total_ns


def _row(group: Group, sides: Sides, changes: Sequence[SourceChange]) -> Row:
    decode = group.phase == "decode"
    per = [(t.decode_steps or 1) if decode else 1 for t in (sides.before, sides.after)]
    base, candidate = side(sides.base, group.base, per[0]), side(sides.candidate, group.candidate, per[1])
    listed = pairs(group)
    difference = _difference(listed, (per[0], per[1]), shared_error=sides.shared)
    missing = "" if base and candidate else f"only the {'base' if base else 'candidate'} has this slot"
    return Row(
        phase=group.phase,
        slots=group.slots,
        status=_status(group, all(pair.identical for pair in listed)),
        base=base,
        candidate=candidate,
        moved_ns=total_of(group.candidate) - total_of(group.base),
        difference=difference,
        judgement=judge(difference, blocked=sides.blocked or missing),
        sources=_touching(changes, (*_kernels(base), *_kernels(candidate))),
    )


def _difference(listed: Sequence[Pair], per: tuple[int, int], *, shared_error: bool) -> Difference:
    """The difference per token or request, each run divided by its own number of steps."""
    own = [
        Pair(
            pair.base and pair.base.scaled(1 / per[0]),
            pair.candidate and pair.candidate.scaled(1 / per[1]),
            identical=pair.identical and per[0] == per[1],
        )
        for pair in listed
    ]
    return difference_of_sums(own, shared_error=shared_error)


def _status(group: Group, identical: bool) -> Status:
    if not group.base or not group.candidate:
        return "removed" if group.base else "new"
    return "unchanged" if identical else "changed"


def _kernels(of: Side | None) -> tuple[str, ...]:
    return of.kernels if of else ()


def _touching(changes: Sequence[SourceChange], kernels: Sequence[str]) -> tuple[SourceChange, ...]:
    """Changed files that a row's kernels were loaded from, by the file's stem in the kernel's name."""
    named = {word for kernel in kernels for word in re.split(r"[^0-9A-Za-z_]+", kernel)}
    return tuple(change for change in changes if PurePath(change.file).stem in named)


def _verdict(listed: tuple[Headline, ...]) -> Judgement:
    judged = {headline.key: headline.judgement for headline in listed}
    for key in ("e2e", "kernel", "decode", "prefill"):
        if key in judged:
            return judged[key]
    return Judgement("cannot tell", "neither run has launches")
