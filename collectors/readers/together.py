"""Runs from what was given at once: parts of one evaluation, and the profiles of its graphs, are one run.

A profile belongs to an evaluation as its prefill or its decode graph, of one bucket or of all. Which it is,
its files' names say (NxD Inference's folders, and the usual short words). When there is one evaluation with a
latency, and one profile at most of a graph, those that the prompt executes belong together; otherwise
everything stays on its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import NamedTuple

import qwen
from collectors.device.waterfall import Graph
from collectors.readers.attribution import attributed
from collectors.readers.evaluation import Evaluation, joined
from collectors.readers.evaluation_run import run_of_evaluation
from collectors.readers.files import digest
from collectors.readers.phases import bucket_number, phase_of
from collectors.readers.slots import UNATTRIBUTED
from collectors.records import Phase, Run
from kernels.errors import KernelError

GRAPHS: tuple[Phase, ...] = ("prefill", "decode")
NAMES_LOOKED_AT = 3
"""The file, its folder (a bucket's in NxD Inference's layout), and the folder of the model above."""
SAME = ("instance_type", "compiler_version")
"""What two profiles of one compiled model agree in."""


class _Named(NamedTuple):
    """A graph as names tell it: the place of its bucket among its model's, None where they do not say."""

    phase: Phase
    number: int | None


def together(profiles: Sequence[Run], evaluations: Iterable[Evaluation]) -> list[Run]:
    """The runs of profiles and evaluations; each belongs to exactly one."""
    one, rest = _split(joined(evaluations))
    named = _graphs(profiles)
    others = [run_of_evaluation(each) for each in rest]
    if one is not None:
        ran = _executed(one, named) if _fit(one, named.values()) else {}
        if ran:
            return [_whole(one, ran), *_left(profiles, ran.values()), *others]
        others = [run_of_evaluation(one), *others]
    both = {graph.phase: run for graph, run in named.items()}
    if len(both) == len(named) > 1:
        return [_pair(both), *_left(profiles, both.values()), *others]
    return [*profiles, *others]


def graph_of(run: Run) -> Phase | None:
    """The graph a profile is of: what its launches are, else what its files' names say, nearest first."""
    phases = {launch.phase for launch in run.launches}
    if len(phases) == 1 and phases <= set(GRAPHS):
        return phases.pop()
    return phase_of(_names(run))


def _names(run: Run) -> tuple[str, ...]:
    path = PurePath(run.artifacts[0].path) if run.artifacts else PurePath()
    return (run.label, *reversed(path.parts[-NAMES_LOOKED_AT:]))


def _split(evaluations: Sequence[Evaluation]) -> tuple[Evaluation | None, list[Evaluation]]:
    """The only evaluation that says what its graphs took, and the others."""
    timed = [each for each in evaluations if each.report]
    if len(timed) != 1:
        return None, list(evaluations)
    return timed[0], [each for each in evaluations if each is not timed[0]]


def _graphs(profiles: Sequence[Run]) -> dict[_Named, Run]:
    """Profiles by the graph they are of; none when two may be of one graph, or are of different machines."""
    found: dict[_Named, Run] = {}
    for run in profiles:
        phase = graph_of(run)
        if phase is None:
            continue
        graph = _Named(phase, bucket_number(_names(run)))
        if any(
            each.phase == phase and (each == graph or None in (each.number, graph.number)) for each in found
        ):
            return {}
        found[graph] = attributed(run, phase, whole=True)
    alike = all(len({run.environment.get(name) for run in found.values()}) < 2 for name in SAME)
    return found if alike else {}


def _fit(one: Evaluation, graphs: Iterable[Run]) -> bool:
    target, _ = one.official
    return all("unknown" in (target, run.target) or target == run.target for run in graphs)


def _executed(one: Evaluation, named: Mapping[_Named, Run]) -> dict[Graph, Run]:
    """The graphs that the evaluation's prompt executes, with the lengths of their buckets where known."""
    lengths, ran = _buckets(one)
    unknown = [graph for graph in named if graph.number is None or not lengths]
    if len({graph.phase for graph in unknown}) < len(unknown):
        return {}
    found = {Graph(graph.phase, None): named[graph] for graph in unknown}
    for graph, run in named.items():
        if graph.number is None or graph.number >= len(lengths):
            continue
        if (length := lengths[graph.number]) in ran[graph.phase]:
            found[Graph(graph.phase, length)] = run
    return found


def _buckets(one: Evaluation) -> tuple[tuple[int, ...], Mapping[Phase, Collection[int]]]:
    """Lengths of a model's buckets, and those that each phase of the prompt executes; empty when unknown."""
    if not one.seq_len or not one.prompt_tokens:
        return (), {}
    try:
        lengths = qwen.buckets(one.seq_len)
        prefill = qwen.bucket_of(one.prompt_tokens, one.seq_len)
    except KernelError:
        return (), {}
    return lengths, {"prefill": {prefill}, "decode": qwen.decode_steps(one.prompt_tokens, one.seq_len)}


def _left(profiles: Sequence[Run], taken: Iterable[Run]) -> list[Run]:
    ids = {run.run_id for run in taken}
    return [run for run in profiles if run.run_id not in ids]


def _whole(one: Evaluation, graphs: Mapping[Graph, Run]) -> Run:
    """The evaluation with the rows of its graphs' profiles."""
    rows = {graph: run.launches for graph, run in graphs.items()}
    return _with_profiles(run_of_evaluation(one, rows), list(graphs.values()))


def _pair(graphs: Mapping[Phase, Run]) -> Run:
    """Both graphs of a model, each executed once, of no prompt that is known."""
    first = next(iter(graphs.values()))
    rows = [launch for phase in GRAPHS if phase in graphs for launch in graphs[phase].launches]
    empty = replace(first, artifacts=(), warnings=(), profiles={}, environment={}, kernels={})
    label = " + ".join(run.label for run in graphs.values())
    return _with_profiles(replace(empty, label=label, launches=tuple(rows)), list(graphs.values()))


def _with_profiles(run: Run, parts: Sequence[Run]) -> Run:
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
