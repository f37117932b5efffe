"""Profiles of a model's graphs as one run, where no evaluation says what was generated with them.

Each graph is shown as one execution. Naming the prompt (`Asked`) tells the rest: which graphs it executes and
how often. What it needs and nobody profiled is an estimate with its sentence: steps of a bucket are those of
the nearest one that was, and host time is `kernels.estimates.host`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import qwen
from collectors.device.waterfall import Graph
from collectors.errors import UsageError
from collectors.prompts import OFFICIAL_SEQ_LEN, prompts, scored
from collectors.readers.files import digest
from collectors.readers.slots import UNATTRIBUTED
from collectors.records import Launch, Run
from kernels import estimates

Rows = Sequence[Launch]
STEPS = (
    "Each graph is one execution: how many steps of decode ran in each bucket is not in their profiles "
    "(collectors import --prompt N tells)."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The prompt a person says the profiles are of, and the sequence length it was generated at."""

    prompt: int | None = None
    seq_len: int = OFFICIAL_SEQ_LEN


def whole_model(graphs: Mapping[Graph, Run], asked: Asked, about_buckets: str = "") -> Run:
    """The run of a model's graphs; `about_buckets` is a warning on what is known of their lengths.

    Raises `UsageError` when a prompt is named and a graph it needs is missing.
    """
    said = [about_buckets] if about_buckets else []
    if asked.prompt is not None:
        return _of_prompt(graphs, asked, said)
    rows = [replace(row, bucket=graph.bucket) for graph, run in graphs.items() for row in run.launches]
    said += [STEPS] if sum(graph.phase == "decode" for graph in graphs) > 1 else []
    return with_profiles(_bare(graphs, rows, said), list(graphs.values()))


def with_profiles(run: Run, parts: Sequence[Run]) -> Run:
    """A run that also has the profiles, the files and the warnings of its parts."""
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


def _bare(graphs: Mapping[Graph, Run], rows: Rows, said: Sequence[str]) -> Run:
    """A run of no prompt with these rows, and nothing yet of the graphs' own."""
    first = next(iter(graphs.values()))
    label = " + ".join(run.label for run in graphs.values())
    return replace(
        first,
        run_id="",
        session="",
        label=label,
        launches=tuple(rows),
        warnings=tuple(said),
        artifacts=(),
        profiles={},
        environment={},
        kernels={},
        sources={},
    )


def _of_prompt(graphs: Mapping[Graph, Run], asked: Asked, said: Sequence[str]) -> Run:
    [target] = {run.target for run in graphs.values()}
    if target not in qwen.TARGETS or asked.prompt is None:
        raise UsageError(
            f"The profiles are of {target}, and prompts have baselines on {' and '.join(qwen.TARGETS)} only.",
            "Leave --prompt out.",
        )
    [prompt] = (scored(each, asked.seq_len) for each in prompts([asked.prompt], target))
    new = asked.seq_len - prompt.tokens
    rows = [
        row
        for graph, count in _executions(prompt.tokens, asked).items()
        for row in _rows(graphs, graph, count)
    ]
    host = estimates.host(target)
    run = replace(
        _bare(graphs, [*rows, _host(host, new)], said),
        run_id=f"prompt {prompt.number} at {asked.seq_len}",
        prompt=prompt.number,
        prompt_tokens=prompt.tokens,
        new_tokens=new,
        seq_len=asked.seq_len,
        base_latency_ms=prompt.base_latency_ms,
        base_tokens_per_s=prompt.base_tokens_per_s,
    )
    return with_profiles(run, list(graphs.values()))


def _executions(tokens: int, asked: Asked) -> dict[Graph, int]:
    """The graphs a prompt executes, and how often."""
    steps = qwen.decode_steps(tokens, asked.seq_len)
    first = Graph("prefill", qwen.bucket_of(tokens, asked.seq_len))
    return {first: 1} | {Graph("decode", bucket): count for bucket, count in steps.items()}


def _rows(graphs: Mapping[Graph, Run], wanted: Graph, count: int) -> list[Launch]:
    """Rows of a graph, or of the nearest of its phase that was profiled."""
    alike = [graph for graph in graphs if graph.phase == wanted.phase]
    if not alike:
        raise UsageError(
            f"The profiles have no graph of {wanted.phase}, which every prompt needs.",
            "Name the profiles of both graphs, prefill and decode, or leave --prompt out.",
        )
    nearest = min(alike, key=lambda graph: abs((graph.bucket or wanted.bucket or 0) - (wanted.bucket or 0)))
    rows = [replace(row, bucket=wanted.bucket, count=row.count * count) for row in graphs[nearest].launches]
    if nearest.bucket in (None, wanted.bucket):
        return rows
    formula = (
        f"bucket {wanted.bucket} was not profiled; it is taken to last as long as bucket {nearest.bucket}"
    )
    return [replace(row, provenance="estimated", formula=formula, profile_id=None) for row in rows]


def _host(estimate: estimates.Estimated, tokens: int) -> Launch:
    return Launch(
        slot="host",
        covers=("host",),
        variant="estimate",
        phase="host",
        bucket=None,
        count=tokens,
        provenance="estimated",
        time_ns=estimate.time_ns,
        low_ns=estimate.low_ns,
        high_ns=estimate.high_ns,
        nki=False,
        formula=estimate.formula,
    )


def _kernels(parts: Sequence[Run]) -> dict[str, str]:
    rows = [launch for each in parts for launch in each.launches if launch.slot != UNATTRIBUTED]
    return {slot: launch.variant for launch in rows for slot in launch.covers}
