"""A run's points under other host times: as they are, with the host at its least, and without it.

No kernel changes the host's part, and on the simulator it is an estimate; a score shown without saying how
much of it hangs on that estimate would mislead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from analysis.estimate import Estimate
from analysis.score import FORMULAS, Formula, Points, points
from analysis.totals import Totals, totals
from collectors.records import Launch, Run

AS_RUN, LEAST, NONE = "as run", "least host", "no host"


@dataclass(frozen=True, slots=True)
class Scenario:
    """End-to-end time, rate and points of a run were its host's part another; `basis` says which."""

    name: str
    basis: str
    host_ns: Estimate | None
    e2e_ns: Estimate | None
    tokens_per_s: Estimate | None
    points: Mapping[Formula, Points]


def scenarios(run: Run) -> tuple[Scenario, ...]:
    """As run first; the others only where the run has a host's part to vary."""
    found = [_scenario(AS_RUN, _host_said(run), run)]
    hosts = [launch for launch in run.launches if launch.phase == "host"]
    if hosts and all(launch.least_ns is not None for launch in hosts):
        least = ", ".join(f"{(launch.least_ns or 0) / 1e6:g} ms" for launch in hosts)
        basis = f"host rows as other settings than the challenge's leave them ({least} each)"
        found.append(_scenario(LEAST, basis, _with(run, _at_least)))
    if totals(run).host_ns is not None:
        basis = "device time alone: nothing between one graph and the next"
        found.append(_scenario(NONE, basis, _with(run, lambda _: None)))
    return tuple(found)


def prompts_of(every: Iterable[Run], run: Run) -> tuple[Run, ...]:
    """The runs of prompts one command made, `run` among them, by prompt."""
    same = [each for each in every if each.session == run.session and each.prompt is not None]
    return tuple(sorted(same or [run], key=lambda each: each.prompt if each.prompt is not None else -1))


def _with(run: Run, change: Callable[[Launch], Launch | None]) -> Run:
    """The run with its host rows changed or dropped, and its end-to-end time summed anew."""
    changed = (change(launch) if launch.phase == "host" else launch for launch in run.launches)
    # Measured repetitions hold the host as it was.
    return replace(run, launches=tuple(filter(None, changed)), samples=())


def _at_least(launch: Launch) -> Launch:
    least = launch.least_ns if launch.least_ns is not None else launch.time_ns
    return replace(launch, time_ns=least, low_ns=least, high_ns=least)


def _scenario(name: str, basis: str, run: Run) -> Scenario:
    whole: Totals = totals(run)
    scored = {formula: points(whole, run, formula) for formula in FORMULAS}
    return Scenario(name, basis, whole.host_ns, whole.e2e_ns, whole.tokens_per_s, scored)


def _host_said(run: Run) -> str:
    rows = [launch for launch in run.launches if launch.phase == "host"]
    if formulas := [launch.formula for launch in rows if launch.formula]:
        return "; ".join(formulas)
    host = totals(run).host_ns
    return host.basis if host else "the run has no host's part"
