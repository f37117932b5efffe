"""Which kernel to rewrite next: every launch by what a rewrite could save, and what says so."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.align import Group, align, pairs
from analysis.columns import Tables
from analysis.comparability import shares_simulator, unlikenesses
from analysis.evidence import evidence
from analysis.machine_facts import MachineFacts
from analysis.roofline import Bounds, bounds
from analysis.rulebook import Checked, check_all
from analysis.rules.finding import CannotTell, Finding, Gain, ordered
from analysis.rules.thresholds import MIN_GAIN_SHARE
from analysis.score import Formula, Points, Scale, latency_of, points, scale_of
from analysis.side import total_of
from analysis.statistics import difference_of_sums
from analysis.totals import Totals, totals
from collectors.records import Launch, Phase, Run


@dataclass(frozen=True, slots=True)
class Range:
    """Low, expected and high of one gain, in one unit."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True)
class Known:
    """A faster variant another run has for the same slots, and its gain as a fraction of their time."""

    run_id: str
    label: str
    variants: tuple[str, ...]
    slots: tuple[str, ...]
    gain: Gain


@dataclass(frozen=True, slots=True)
class Opportunity:
    """One slot's variant in one phase, all buckets together, and what a rewrite could win.

    `total_ns` is over the run, `share` of the end-to-end time; `gain_ns` is over the run, `gain_ns_per_token`
    is None outside decode, `gain_points` None where the run has no points. `floor_ns` (over the run) is the
    attainable bound and `bound` says which, None where nothing says it. `is_kernel` is False for estimated
    rows. `why` is the sentence to show first.
    """

    phase: Phase
    slot: str
    covers: tuple[str, ...]
    variant: str
    is_kernel: bool
    provenance: str
    launches: int
    total_ns: int
    share: float
    gain: Gain
    gain_ns: Range
    gain_ns_per_token: Range | None
    gain_points: Range | None
    floor_ns: float | None
    bound: str
    why: str
    advice: str
    findings: tuple[Finding, ...]
    cannot_tell: tuple[CannotTell, ...]
    known: Known | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Opportunities by expected gain, largest first; `reason` says why there are none, or why none has
    points.

    `dropped` counts those whose ceiling is under half a percent of the end-to-end time.
    """

    opportunities: tuple[Opportunity, ...]
    points: Points
    dropped: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Context:
    run: Run
    totals: Totals
    whole_ns: float
    machine: MachineFacts | None
    tables: Mapping[str, Tables]
    known: Mapping[int, Known]
    scale: Scale | None
    latency_ns: float


def rank(
    run: Run,
    formula: Formula = "final",
    *,
    machine: MachineFacts | None = None,
    tables: Mapping[str, Tables] | None = None,
    alternatives: Sequence[Run] = (),
) -> Ranking:
    """Rank a run's launches by expected gain.

    `machine` gives the bounds, `tables` (by profile_id) lets more rules speak, `alternatives` are runs whose
    variants may already be faster. A run whose accuracy failed has no opportunities: speed that computes the
    wrong thing is not a gain to build on.
    """
    summed = totals(run)
    score = points(summed, run, formula)
    if run.accuracy == 0:
        return Ranking((), score, 0, f"{score.reason}; mend the kernels before making them faster")
    whole = summed.e2e_ns or summed.kernel_ns
    if whole is None or not whole.value:
        return Ranking((), score, 0, "the run has no end-to-end time")
    context = _context(run, summed, whole.value, formula, score, machine, tables or {}, alternatives)
    listed = [_opportunity(launches, context) for launches in _grouped(run.launches)]
    kept = [each for each in listed if each.gain_ns.high >= MIN_GAIN_SHARE * whole.value]
    kept.sort(key=lambda each: (each.gain_ns.expected, each.gain_ns.high), reverse=True)
    return Ranking(tuple(kept), score, len(listed) - len(kept), score.reason)


def _context(
    run: Run,
    summed: Totals,
    whole_ns: float,
    formula: Formula,
    score: Points,
    machine: MachineFacts | None,
    tables: Mapping[str, Tables],
    alternatives: Sequence[Run],
) -> _Context:
    scale, latency = scale_of(summed, run), latency_of(summed, formula)
    scored = scale if isinstance(scale, Scale) and score.value is not None else None
    known = _known(run, alternatives)
    return _Context(
        run, summed, whole_ns, machine, tables, known, scored, latency.value if latency else whole_ns
    )


def _grouped(launches: Sequence[Launch]) -> Iterator[tuple[Launch, ...]]:
    groups: dict[tuple[str, str, str], list[Launch]] = {}
    for launch in launches:
        groups.setdefault((launch.phase, launch.slot, launch.variant), []).append(launch)
    yield from (tuple(group) for group in groups.values())


def _opportunity(launches: tuple[Launch, ...], context: _Context) -> Opportunity:
    first, whole = launches[0], total_of(launches)
    heaviest = max(launches, key=lambda launch: launch.count * launch.time_ns)
    judged = [_judge(launch, context) for launch in launches]
    weights = [launch.count * launch.time_ns / whole if whole else 0.0 for launch in launches]
    gain = Gain(
        *(
            math.fsum(
                weight * getattr(each, end) for weight, (each, _, _) in zip(weights, judged, strict=True)
            )
            for end in ("low", "expected", "high")
        )
    )
    _, limits, checked = judged[launches.index(heaviest)]
    gain_ns = _scaled(gain, whole)
    steps = context.totals.decode_steps
    per_token = first.phase == "decode" and steps
    known = context.known.get(id(heaviest))
    return Opportunity(
        phase=first.phase,
        slot=first.slot,
        covers=first.covers,
        variant=first.variant,
        is_kernel=heaviest.profile_id is not None,
        provenance=heaviest.provenance,
        launches=sum(launch.count for launch in launches),
        total_ns=whole,
        share=whole / context.whole_ns,
        gain=gain,
        gain_ns=gain_ns,
        gain_ns_per_token=_scaled(gain, whole / steps) if per_token and steps else None,
        gain_points=_points(gain_ns, context),
        floor_ns=_floor(launches, [each[1] for each in judged]),
        bound=_bound(limits, known),
        why=_why(limits, checked, known),
        advice=checked.findings[0].advice if checked.findings else "",
        findings=checked.findings,
        cannot_tell=checked.cannot_tell,
        known=known,
    )


def _judge(launch: Launch, context: _Context) -> tuple[Gain, Bounds | None, Checked]:
    profile = context.run.profiles.get(launch.profile_id or "")
    tables = context.tables.get(launch.profile_id or "")
    checked = check_all(evidence(context.run, launch, context.machine, tables, context.whole_ns))
    limits = bounds(profile, context.machine) if profile and context.machine else None
    return combined(checked.findings, limits, context.known.get(id(launch))), limits, checked


def combined(findings: Sequence[Finding], limits: Bounds | None, known: Known | None = None) -> Gain:
    """One gain out of a launch's findings, its roofline and a variant known to be faster.

    The roofline is the parent: nothing gains past the floor. Remedies are taken one at a time for low and
    expected, and together (what one leaves, the next works on) for high. Where no rule fired, the floor alone
    gives the ceiling and half the way to perfect overlap is expected. A faster variant is not an estimate, so
    it raises all three.
    """
    attained = limits.attained if limits else None
    ceiling = 1.0 if attained is None else 1 - attained
    if findings:
        together = 1 - math.prod(1 - each.gain.high for each in findings)
        low, expected = (max(getattr(each.gain, end) for each in findings) for end in ("low", "expected"))
        gain = ordered(min(low, ceiling), min(expected, ceiling), min(together, ceiling))
    elif limits and attained is not None:
        gain = ordered(0.0, min(_half_way(limits), ceiling), ceiling)
    else:
        gain = Gain(0.0, 0.0, 0.0)
    if known is None:
        return gain
    high = max(gain.high, known.gain.high)
    return ordered(max(gain.low, known.gain.low), max(gain.expected, known.gain.expected), high)


def _half_way(limits: Bounds) -> float:
    if limits.overlap_ns is None or not limits.duration_ns:
        return 0.0
    return max(0.0, 1 - limits.overlap_ns / limits.duration_ns) / 2


def _known(run: Run, alternatives: Sequence[Run]) -> dict[int, Known]:
    """The fastest comparable variant per launch (by id); fused variants stand against all they cover."""
    best: dict[int, Known] = {}
    for other in alternatives:
        if other.run_id == run.run_id or any(each.severity == "blocks" for each in unlikenesses(run, other)):
            continue
        for group in align(run, other):
            faster = _faster(group, run, other)
            for launch in group.base if faster else ():
                if faster and (
                    id(launch) not in best or faster.gain.expected > best[id(launch)].gain.expected
                ):
                    best[id(launch)] = faster
    return best


def _faster(group: Group, run: Run, other: Run) -> Known | None:
    if not group.base or not group.candidate or total_of(group.candidate) >= total_of(group.base):
        return None
    difference = difference_of_sums(pairs(group), shared_error=shares_simulator(run, other))
    if difference.low is None or difference.high is None or difference.high >= 0:
        return None
    gain = ordered(*(-end / difference.base for end in (difference.high, difference.value, difference.low)))
    variants = tuple(dict.fromkeys(launch.variant for launch in group.candidate))
    return Known(other.run_id, other.label, variants, group.slots, gain)


def _points(gain_ns: Range, context: _Context) -> Range | None:
    scale, whole, latency = context.scale, context.whole_ns, context.latency_ns
    if scale is None:
        return None
    now = scale.points_at(latency, whole)
    ends = (gain_ns.low, gain_ns.expected, gain_ns.high)
    return Range(
        *(scale.points_at(latency - end, whole - end) - now if end < whole else math.inf for end in ends)
    )


def _floor(launches: Sequence[Launch], limits: Sequence[Bounds | None]) -> float | None:
    floors = [each.floor_ns if each else None for each in limits]
    known = [
        launch.count * floor for launch, floor in zip(launches, floors, strict=True) if floor is not None
    ]
    return math.fsum(known) if len(known) == len(launches) else None


def _bound(limits: Bounds | None, known: Known | None) -> str:
    if limits and limits.bound:
        return f"{limits.bound}: {limits.basis}"
    return f"variant {' + '.join(known.variants)} of {known.label}" if known else ""


def _why(limits: Bounds | None, checked: Checked, known: Known | None) -> str:
    if known:
        what, now = " + ".join(known.slots), " + ".join(known.variants)
        return f"{now} in {known.label} does {what} in {known.gain.expected:.0%} less time"
    if checked.findings:
        return checked.findings[0].evidence
    if limits and limits.attained is not None:
        return f"no rule fired; it reaches {limits.attained:.0%} of its {limits.bound} floor"
    return "no rule fired and no bound is known"


def _scaled(gain: Gain, amount: float) -> Range:
    return Range(gain.low * amount, gain.expected * amount, gain.high * amount)
