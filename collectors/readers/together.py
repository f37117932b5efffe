"""Runs from what was given at once: parts of one evaluation, and the profiles of its graphs, are one run.

A profile belongs to an evaluation as its prefill or its decode graph. Which it is, its files' names say (NxD
Inference's folders, and the usual short words). When there is one evaluation with a latency, and one profile
at most of a graph, they belong together; otherwise everything stays on its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

from collectors.device.waterfall import Graph
from collectors.readers.attribution import attributed
from collectors.readers.evaluation import Evaluation, joined
from collectors.readers.evaluation_run import run_of_evaluation
from collectors.readers.files import digest
from collectors.readers.phases import phase_of
from collectors.readers.slots import UNATTRIBUTED
from collectors.records import Phase, Run

GRAPHS: tuple[Phase, ...] = ("prefill", "decode")
NAMES_LOOKED_AT = 3
"""The file, its folder (a bucket's in NxD Inference's layout), and the folder of the model above."""
SAME = ("instance_type", "compiler_version")
"""What two profiles of one compiled model agree in."""


def together(profiles: Sequence[Run], evaluations: Iterable[Evaluation]) -> list[Run]:
    """The runs of profiles and evaluations; each belongs to exactly one."""
    one, rest = _split(joined(evaluations))
    graphs = _graphs(profiles)
    others = [run_of_evaluation(each) for each in rest]
    if not graphs:
        return [*profiles, *([run_of_evaluation(one)] if one else []), *others]
    if one is not None and _fit(one, graphs):
        return [_whole(one, graphs), *_left(profiles, graphs), *others]
    if one is not None:
        others = [run_of_evaluation(one), *others]
    if len(graphs) > 1:
        return [_pair(graphs), *_left(profiles, graphs), *others]
    return [*profiles, *others]


def graph_of(run: Run) -> Phase | None:
    """The graph a profile is of: what its launches are, else what its files' names say, nearest first."""
    phases = {launch.phase for launch in run.launches}
    if len(phases) == 1 and phases <= set(GRAPHS):
        return phases.pop()
    path = PurePath(run.artifacts[0].path) if run.artifacts else PurePath()
    return phase_of((run.label, *reversed(path.parts[-NAMES_LOOKED_AT:])))


def _split(evaluations: Sequence[Evaluation]) -> tuple[Evaluation | None, list[Evaluation]]:
    """The only evaluation that says what its graphs took, and the others."""
    timed = [each for each in evaluations if each.report]
    if len(timed) != 1:
        return None, list(evaluations)
    return timed[0], [each for each in evaluations if each is not timed[0]]


def _graphs(profiles: Sequence[Run]) -> dict[Phase, Run]:
    """Profiles by the graph they are of; none when two are of the same one, or of different machines."""
    found: dict[Phase, Run] = {}
    for run in profiles:
        phase = graph_of(run)
        if phase in found:
            return {}
        if phase is not None:
            found[phase] = attributed(run, phase, whole=True)
    alike = all(len({run.environment.get(name) for run in found.values()}) < 2 for name in SAME)
    return found if alike else {}


def _fit(one: Evaluation, graphs: Mapping[Phase, Run]) -> bool:
    target, _ = one.official
    return all("unknown" in (target, run.target) or target == run.target for run in graphs.values())


def _left(profiles: Sequence[Run], graphs: Mapping[Phase, Run]) -> list[Run]:
    taken = {run.run_id for run in graphs.values()}
    return [run for run in profiles if run.run_id not in taken]


def _whole(one: Evaluation, graphs: Mapping[Phase, Run]) -> Run:
    """The evaluation with the rows of its graphs' profiles."""
    rows = {Graph(phase, None): run.launches for phase, run in graphs.items()}
    return _with_profiles(run_of_evaluation(one, rows), graphs)


def _pair(graphs: Mapping[Phase, Run]) -> Run:
    """Both graphs of a model, each executed once, of no prompt that is known."""
    first = next(iter(graphs.values()))
    rows = [launch for phase in GRAPHS if phase in graphs for launch in graphs[phase].launches]
    empty = replace(first, artifacts=(), warnings=(), profiles={}, environment={}, kernels={})
    label = " + ".join(run.label for run in graphs.values())
    return _with_profiles(replace(empty, label=label, launches=tuple(rows)), graphs)


def _with_profiles(run: Run, graphs: Mapping[Phase, Run]) -> Run:
    parts = list(graphs.values())
    ids = sorted(each.run_id for each in parts)
    targets = {each.target for each in parts} - {"unknown"}
    return replace(
        run,
        run_id=digest("together", run.run_id, *ids)[:32],
        session=digest("together", run.session, *ids)[:8],
        target=run.target if run.target != "unknown" or not targets else min(targets),
        lnc=parts[0].lnc,
        environment={**run.environment, **parts[0].environment},
        artifacts=(*run.artifacts, *(file for each in parts for file in each.artifacts)),
        warnings=tuple(dict.fromkeys((*run.warnings, *(said for each in parts for said in each.warnings)))),
        profiles={key: profile for each in parts for key, profile in each.profiles.items()},
        kernels=_kernels(parts),
        sources={key: text for each in parts for key, text in each.sources.items()},
    )


def _kernels(parts: Sequence[Run]) -> dict[str, str]:
    rows = [launch for each in parts for launch in each.launches if launch.slot != UNATTRIBUTED]
    return {slot: launch.variant for launch in rows for slot in launch.covers}
