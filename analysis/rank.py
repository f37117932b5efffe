"""Which kernel to rewrite next: every launch by what a rewrite could save, and what says so."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.columns import Tables
from analysis.evidence import evidence
from analysis.ideal import ResourceCost, costs
from analysis.known import Known, known_variants
from analysis.machine_facts import MachineFacts
from analysis.roofline import Bounds, bounds
from analysis.rulebook import Checked, check_all
from analysis.rules.finding import CannotTell, Finding, Gain, ordered
from analysis.rules.thresholds import MIN_GAIN_SHARE
from analysis.score import Formula, Points, Scale, latency_of, points, scale_of
from analysis.side import total_of
from analysis.totals import Totals, totals
from collectors.records import Launch, Phase, Run


@dataclass(frozen=True, slots=True)
class Range:
    """Low, expected and high of one gain, in one unit."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True)
class Opportunity:
    """One slot's variant in one phase, all buckets together, and what a rewrite could win.

    `total_ns` is over the run, `share` of the end-to-end time; `gain_ns` is over the run, `gain_ns_per_token`
    is None outside decode, `gain_points` None where the run has no points. `floor_ns` (over the run) is the
    attainable bound and `bound` says which, None where nothing says it. `is_kernel` is False for estimated
    rows. `why` is the sentence to show first; `costs` is what holds its heaviest launch up, most first.
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
    costs: tuple[ResourceCost, ...]
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
    known = known_variants(run, alternatives)
    return _Context(
        run, summed, whole_ns, machine, tables, known, scored, latency.value if latency else whole_ns
    )


def _grouped(launches: Sequence[Launch]) -> Iterator[tuple[Launch, ...]]:
    groups: dict[tuple[str, str, str], list[Launch]] = {}
    for launch in launches:
        groups.setdefault((launch.phase, launch.slot, launch.variant), []).append(launch)
    yield from (tuple(group) for group in groups.values())


def _opportunity(launches: tuple[Launch, ...], context: _Context) -> Opportunity:
    whole, steps = total_of(launches), context.totals.decode_steps
    judged = [_judge(launch, context) for launch in launches]
    heaviest = max(judged, key=lambda each: total_of((each.launch,)))
    first, gain = heaviest.launch, _weighted(judged, whole)
    profile = context.run.profiles.get(first.profile_id or "")
    gain_ns, decoding = _scaled(gain, whole), first.phase == "decode" and steps
    return Opportunity(
        phase=first.phase,
        slot=first.slot,
        covers=first.covers,
        variant=first.variant,
        is_kernel=first.profile_id is not None,
        provenance=first.provenance,
        launches=sum(launch.count for launch in launches),
        total_ns=whole,
        share=whole / context.whole_ns,
        gain=gain,
        gain_ns=gain_ns,
        gain_ns_per_token=_scaled(gain, whole / decoding) if decoding else None,
        gain_points=_points(gain_ns, context),
        floor_ns=_floor(judged),
        bound=_bound(heaviest),
        why=_why(heaviest),
        advice=heaviest.checked.findings[0].advice if heaviest.checked.findings else "",
        costs=costs(profile) if profile else (),
        findings=heaviest.checked.findings,
        cannot_tell=heaviest.checked.cannot_tell,
        known=heaviest.known,
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    launch: Launch
    gain: Gain
    limits: Bounds | None
    checked: Checked
    known: Known | None


def _judge(launch: Launch, context: _Context) -> _Judged:
    profile = context.run.profiles.get(launch.profile_id or "")
    tables = context.tables.get(launch.profile_id or "")
    checked = check_all(evidence(context.run, launch, context.machine, tables, context.whole_ns))
    limits = bounds(profile, context.machine) if profile and context.machine else None
    known = context.known.get(id(launch))
    return _Judged(launch, combined(checked.findings, limits, known), limits, checked, known)


def _weighted(judged: Sequence[_Judged], whole: int) -> Gain:
    """The gain of several launches as a fraction of their time together."""
    if not whole:
        return Gain(0.0, 0.0, 0.0)
    saved = [_scaled(each.gain, total_of((each.launch,)) / whole) for each in judged]
    return Gain(*(math.fsum(getattr(each, end) for each in saved) for end in ("low", "expected", "high")))


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


def _points(gain_ns: Range, context: _Context) -> Range | None:
    scale, whole, latency = context.scale, context.whole_ns, context.latency_ns
    if scale is None:
        return None
    now = scale.points_at(latency, whole)
    ends = (gain_ns.low, gain_ns.expected, gain_ns.high)
    return Range(
        *(scale.points_at(latency - end, whole - end) - now if end < whole else math.inf for end in ends)
    )


def _floor(judged: Sequence[_Judged]) -> float | None:
    floors = [(each.launch.count, each.limits.floor_ns if each.limits else None) for each in judged]
    known = [count * floor for count, floor in floors if floor is not None]
    return math.fsum(known) if len(known) == len(floors) else None


def _bound(judged: _Judged) -> str:
    limits, known = judged.limits, judged.known
    if limits and limits.bound:
        return f"{limits.bound}: {limits.basis}"
    return f"variant {' + '.join(known.variants)} of {known.label}" if known else ""


def _why(judged: _Judged) -> str:
    limits, known = judged.limits, judged.known
    if known:
        what, now = " + ".join(known.slots), " + ".join(known.variants)
        return f"{now} in {known.label} does {what} in {known.gain.expected:.0%} less time"
    if judged.checked.findings:
        return judged.checked.findings[0].evidence
    if limits and limits.attained is not None:
        return f"no rule fired; it reaches {limits.attained:.0%} of its {limits.bound} floor"
    return "no rule fired and no bound is known"


def _scaled(gain: Gain, amount: float) -> Range:
    return Range(gain.low * amount, gain.expected * amount, gain.high * amount)
