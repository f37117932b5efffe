"""A measured run, put together from what the timing and the profiling passes brought."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from collectors.device.children import Heard
from collectors.device.events import CHECK
from collectors.device.graphs import GraphProfile
from collectors.device.host import Host
from collectors.device.job import Job, text_digest
from collectors.device.waterfall import Graph, Timing, launches, samples
from collectors.records import Check, Run

CHALLENGE_REPETITIONS = 20


@dataclass
class Found:
    """What the profiling pass brought: rows by graph, and what went wrong."""

    graphs: dict[Graph, GraphProfile] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def measured_run(
    job: Job, heard: Heard, measured: Timing, found: Found, phases: Mapping[str, float], wall_s: float
) -> Run:
    """The run of a prompt. `phases` are seconds by phase; `wall_s` is the whole command's."""
    request, facts = job.request, heard.facts
    rows, warnings = launches(
        measured, {graph: profile.launches for graph, profile in found.graphs.items()}, facts["new_tokens"]
    )
    checks = _checks(heard)
    profiles = list(found.graphs.values())
    sources = {f"sha256:{text_digest(text)}": text for text in job.sources.values()}
    return Run(
        run_id=job.run_id,
        session=request.session,
        label=request.label,
        created_at=datetime.now(UTC),
        provenance="measured",
        backend="neuron",
        target=request.target,
        lnc=request.lnc,
        prompt=request.prompt.number,
        prompt_tokens=facts["prompt_tokens"],
        new_tokens=facts["new_tokens"],
        seq_len=request.seq_len,
        batch=request.batch,
        kernels=_kernels(job, facts),
        accuracy=None if not checks else int(all(check.passed for check in checks)),
        base_latency_ms=request.prompt.base_latency_ms,
        base_tokens_per_s=request.prompt.base_tokens_per_s,
        configuration=_configuration(job, facts, phases),
        environment=machine_facts(job.host),
        wall_s=wall_s,
        launches=rows,
        checks=checks,
        samples=samples(measured),
        artifacts=tuple(artifact for profile in profiles for artifact in profile.artifacts),
        warnings=(*found.warnings, *warnings, *_said(profiles), *_timing_warnings(facts, measured)),
        sources={**sources, **{key: text for profile in profiles for key, text in profile.sources.items()}},
        profiles={key: value for profile in profiles for key, value in profile.profiles.items()},
    )


def _kernels(job: Job, facts: Mapping[str, Any]) -> dict[str, str]:
    """What ran in every slot: the chosen variant where it is plugged in, else whose code it was."""
    ran: Mapping[str, str] = facts.get("kernels", {})
    other = "contest_clone" if job.settings.contest_dir else "nxd_inference"
    return {slot: ran.get(slot, other) for slot in job.request.kernels}


def _configuration(job: Job, facts: Mapping[str, Any], phases: Mapping[str, float]) -> dict[str, Any]:
    return {
        "kernels": job.request.kernels_text,
        "seq_len": job.request.seq_len,
        "batch": job.request.batch,
        "repeat": job.request.repeat,
        "compiled_model": job.key,
        "contest_dir": str(job.settings.contest_dir or ""),
        "phase_seconds": {name: round(seconds, 3) for name, seconds in phases.items()},
        "buckets": facts.get("buckets"),
        "nki_flops_share": facts.get("nki_flops_share"),
        "nki_macs": facts.get("nki_macs"),
        "total_macs": facts.get("total_macs"),
        "source_files": {name: f"sha256:{text_digest(text)}" for name, text in job.sources.items()},
    }


def machine_facts(host: Host) -> dict[str, Any]:
    """The device and its software, as a run records them."""
    return {
        "python": platform.python_version(),
        "system": platform.release(),
        "instance_type": host.instance_type,
        "driver": host.driver,
        "packages": dict(host.packages),
        "tools": [{"name": tool.name, "version": tool.version} for tool in host.tools],
        "interpreter": host.interpreter,
    }


def _checks(heard: Heard) -> tuple[Check, ...]:
    return tuple(
        Check(
            name="logits against NxD Inference's own model",
            slot=None,
            variant=None,
            passed=bool(event["passed"]),
            error=None,
            tolerance=None,
            detail=str(event["detail"]),
        )
        for event in heard.events
        if event["kind"] == CHECK
    )


def _said(profiles: Sequence[GraphProfile]) -> tuple[str, ...]:
    return tuple(warning for profile in profiles for warning in profile.warnings)


def _timing_warnings(facts: Mapping[str, Any], measured: Timing) -> tuple[str, ...]:
    said = []
    if facts.get("async_mode"):
        said.append("async_mode is on: calls return before the device is done, so host time is overstated.")
    if reason := facts.get("nki_share_missing"):
        said.append(f"The NKI share is not known: {reason}.")
    if measured.repetitions < CHALLENGE_REPETITIONS:
        said.append(
            f"{measured.repetitions} repetitions; the challenge's p99 is over {CHALLENGE_REPETITIONS}."
        )
    return tuple(said)
