"""Runs from what was given at once: parts of one evaluation, and the profiles of its graphs, are one run.

A profile belongs to an evaluation as its prefill or its decode graph, of one bucket or of all. Which it is,
its files' names say (NxD Inference's folders, and the usual short words). When there is one evaluation with a
latency, and one profile at most of a graph, those that the prompt executes belong together. Without an
evaluation graphs of one model are one run (`model`); otherwise everything stays on its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

import qwen
from collectors.device.waterfall import Graph
from collectors.errors import UsageError
from collectors.readers.attribution import attributed
from collectors.readers.evaluation import Evaluation, joined
from collectors.readers.evaluation_run import run_of_evaluation
from collectors.readers.model import Asked, whole_model, with_profiles
from collectors.readers.phases import bucket_number, phase_of
from collectors.records import Phase, Run
from kernels.errors import KernelError

GRAPHS: tuple[Phase, ...] = ("prefill", "decode")
NAMES_LOOKED_AT = 3
"""The file, its folder (a bucket's in NxD Inference's layout), and the folder of the model above."""
SAME = ("instance_type", "compiler_version")
"""What two profiles of one compiled model agree in."""


SHORTEST = 32
"""No bucket is shorter: a smaller number in a name is a bucket's place."""
LENGTHS = (
    "Lengths of the buckets are those of a sequence length of {seq_len}: their folders only number them."
)
ONLY_PLACES = (
    "Buckets are shown by their place, from 0: their folders only number them, and lengths are not known."
)


class _Named(NamedTuple):
    """A graph as names tell it: its bucket's place among its model's, or length; None: they do not say."""

    phase: Phase
    number: int | None


def together(
    profiles: Sequence[Run], evaluations: Iterable[Evaluation], asked: Asked | None = None
) -> list[Run]:
    """The runs of profiles and evaluations; each belongs to exactly one.

    `asked` names the prompt of profiles that have no evaluation. Raises `UsageError` when there are none.
    """
    one, rest = _split(joined(evaluations))
    named = _graphs(profiles)
    others = [run_of_evaluation(each) for each in rest]
    if one is not None:
        ran = _executed(one, named) if _fit(one, named.values()) else {}
        if ran:
            return [_whole(one, ran), *_left(profiles, ran.values()), *others]
        others = [run_of_evaluation(one), *others]
    if len(named) > 1:
        graphs, said = _ordered(named, (asked or Asked()).seq_len)
        whole = whole_model(graphs, asked or Asked(), said)
        return [whole, *_left(profiles, graphs.values()), *others]
    if asked is not None and asked.prompt is not None:
        raise UsageError(
            "--prompt is of a model's graphs, and these are not profiles of one model's prefill and decode.",
            "Leave it out, or name the files so that they tell: prefill or cte, decode or tkg, _tp0_bk2.",
        )
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


def _ordered(named: Mapping[_Named, Run], seq_len: int) -> tuple[dict[Graph, Run], str]:
    """Graphs in order of phase and bucket, with what to say of the lengths of their buckets."""
    order = sorted(named, key=lambda graph: (GRAPHS.index(graph.phase), graph.number or 0))
    numbered = any(graph.number is not None and graph.number < SHORTEST for graph in order)
    places = {graph: _length(graph.number, qwen.buckets(seq_len)) for graph in order}
    if any(length is None and graph.number is not None for graph, length in places.items()):
        return {Graph(graph.phase, graph.number): named[graph] for graph in order}, ONLY_PLACES
    said = LENGTHS.format(seq_len=seq_len) if numbered else ""
    return {Graph(graph.phase, length): named[graph] for graph, length in places.items()}, said


def _length(number: int | None, lengths: Sequence[int]) -> int | None:
    """Length of a bucket that names give by its place or by its length; None when they do not tell."""
    if number is None or number >= SHORTEST:
        return number
    return lengths[number] if number < len(lengths) else None


def _executed(one: Evaluation, named: Mapping[_Named, Run]) -> dict[Graph, Run]:
    """The graphs that the evaluation's prompt executes, with the lengths of their buckets where known."""
    lengths, ran = _buckets(one)
    unknown = [graph for graph in named if graph.number is None or not lengths]
    if len({graph.phase for graph in unknown}) < len(unknown):
        return {}
    found = {Graph(graph.phase, None): named[graph] for graph in unknown}
    for graph, run in named.items():
        if graph not in unknown and (length := _length(graph.number, lengths)) in ran[graph.phase]:
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
    return with_profiles(run_of_evaluation(one, rows), list(graphs.values()))
