"""One prompt on a Neuron device: compile, check, time, profile, read, and put together as a run.

The timing pass runs without a profiler and gives every number of the headline; the profiling pass says what
the time was spent on. When profiling fails the timing is kept, and the run says what is missing and why.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
import uuid
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collectors.device.children import Heard, Report, run_child, silent
from collectors.device.detect import require_device, require_model_stack
from collectors.device.environment import base_environment, profiling_environment
from collectors.device.events import CHECK
from collectors.device.failures import phase_failed
from collectors.device.graphs import (
    GraphProfile,
    Read,
    compiled_graphs,
    discard,
    read_shot,
    shot_of,
)
from collectors.device.host import Host
from collectors.device.pairing import Pairing, pair_folder
from collectors.device.settings import TENSOR_PARALLEL, Settings, settings_from
from collectors.device.waterfall import Graph, Timing, launches, samples, timing
from collectors.errors import DeviceError, UsageError
from collectors.records import Check, Run
from collectors.request import ProfileRequest

MODEL = "collectors.device.model"
SOURCE_ROOT = Path(__file__).resolve().parents[2]
COMPILED = "model.pt"


@dataclass(frozen=True)
class Job:
    """A request on a machine: folders, environment and the spec the child programs read."""

    request: ProfileRequest
    settings: Settings
    host: Host
    report: Report
    run_id: str
    sources: Mapping[str, str]

    @property
    def key(self) -> str:
        """Content hash of what determines the compiled model."""
        return content_key(
            self.sources,
            dict(self.request.kernels),
            self.request.seq_len,
            self.request.batch,
            self.request.target,
            dict(self.host.packages),
            str(self.settings.model_path),
        )

    @property
    def model_folder(self) -> Path:
        """Where the compiled model stays between runs."""
        return self.settings.work / "models" / self.key

    @property
    def run_folder(self) -> Path:
        """Logs, specs, NEFFs and NTFFs of this run."""
        return self.settings.work / "runs" / self.run_id

    def spec(self, model_folder: Path, **extra: Any) -> dict[str, Any]:
        """What a child program is told."""
        contest = self.settings.contest_dir
        return {
            "contest_dir": str(contest) if contest else None,
            "contest_module": self.settings.contest_module,
            "kernels": dict(self.request.kernels),
            "model_path": str(self.settings.model_path),
            "compiled_path": f"{model_folder / 'compiled'}/",
            "seq_len": self.request.seq_len,
            "batch": self.request.batch,
            "prompt": self.request.prompt.text,
            "flags": {},
            **extra,
        }

    def environment(self, model_folder: Path) -> dict[str, str]:
        """The environment of a pass that does not profile."""
        return base_environment(
            self.host.environ, target=self.request.target, work=model_folder, source=SOURCE_ROOT
        )

    def child(self, name: str, spec: Mapping[str, Any], environ: Mapping[str, str]) -> Heard:
        """Run one pass of the model program."""
        return run_child(
            MODEL,
            [name],
            spec,
            python=self.host.interpreter,
            environ=environ,
            folder=self.run_folder,
            report=self.report,
        )


@dataclass
class Found:
    """What the profiling pass brought: rows by graph, and what went wrong."""

    graphs: dict[Graph, GraphProfile] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def collect(
    request: ProfileRequest,
    *,
    settings: Settings | None = None,
    report: Report = silent,
    host: Host | None = None,
    read: Read | None = None,
) -> Run:
    """Profile one prompt on this machine's device and return the run, not yet stored.

    Raises `DeviceError` (`PhaseError` with the phase and its log when a pass fails) and `UsageError`.
    """
    machine = host or Host()
    require_device(machine)
    require_model_stack(machine)
    chosen = settings or settings_from(machine.environ)
    _require(request, chosen, machine)
    job = Job(request, chosen, machine, report, uuid.uuid4().hex, model_sources(chosen))
    started = time.monotonic()
    phases = _compile(job)
    reference = _reference(job) if request.accuracy else None
    heard = job.child(
        "time",
        job.spec(job.model_folder, repeat=request.repeat, reference=reference and str(reference)),
        job.environment(job.model_folder),
    )
    phases = {**phases, **heard.phase_seconds}
    measured = timing(heard.samples)
    if not measured.e2e_ns:
        raise phase_failed("generate", "The model generated nothing under the clock.")
    found = _profile(job, measured, heard, read)
    run = _run(job, heard, measured, found, phases, time.monotonic() - started)
    if not chosen.keep:
        _tidy(job.run_folder, {Path(file.path) for file in run.artifacts})
    return run


def model_sources(settings: Settings) -> Mapping[str, str]:
    """Text of every file that decides what the model does, by name."""
    if settings.contest_dir:
        files = sorted(settings.contest_dir.glob("*.py"))
        root = settings.contest_dir
    else:
        files = [SOURCE_ROOT / "qwen.py", *sorted((SOURCE_ROOT / "kernels").glob("*.py"))]
        root = SOURCE_ROOT
    return {str(path.relative_to(root)): path.read_text("utf-8") for path in files if path.is_file()}


def content_key(*parts: Any) -> str:
    """A short SHA-256 of JSON-like values."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _require(request: ProfileRequest, settings: Settings, host: Host) -> None:
    if request.prompt.text is None:
        raise UsageError(
            "A device needs the prompt's text, and only its number is known.",
            "Give a clone of github.com/aws-neuron/nki-moe with --contest-dir; its prompts.txt is read.",
        )
    if not (settings.model_path / "config.json").exists():
        raise DeviceError(
            f"No model in {settings.model_path}.",
            "Download Qwen/Qwen3-30B-A3B there, or point NKI_DASHBOARD_MODEL_PATH at it.",
        )
    if host.target and host.target != request.target:
        raise UsageError(
            f"This machine is {host.target}, not {request.target}.", f"Use --target {host.target}."
        )
    module = settings.contest_dir and settings.contest_dir / f"{settings.contest_module}.py"
    if module and not module.exists():
        raise UsageError(
            f"{settings.contest_dir} has no {settings.contest_module}.py.",
            "Name the module of your model in NKI_DASHBOARD_CONTEST_MODULE.",
        )


def _compile(job: Job) -> dict[str, float]:
    """Compile the model unless its key was compiled before; seconds by phase."""
    if (job.model_folder / "compiled" / COMPILED).exists():
        job.report("compile", "cached")
        return {}
    heard = job.child("compile", job.spec(job.model_folder), job.environment(job.model_folder))
    return heard.phase_seconds


def _reference(job: Job) -> Path:
    """The file with the reference model's logits for this prompt, made if need be."""
    request = job.request
    about = (request.seq_len, request.batch, request.target, dict(job.host.packages))
    folder = job.settings.work / "reference" / content_key(*about, str(job.settings.model_path))
    logits = folder / f"logits-{content_key(request.prompt.text)}.pt"
    if not logits.exists():
        partial = logits.with_suffix(".partial")
        job.child("reference", job.spec(folder, reference=str(partial)), job.environment(folder))
        partial.replace(logits)
    return logits


def _profile(job: Job, measured: Timing, heard: Heard, read: Read | None) -> Found:
    """Profile every graph the prompt used. A failure becomes a warning: the timing stands without it."""
    found = Found()
    if job.settings.device_profile == "off":
        found.warnings.append("No device profile was asked for (NKI_DASHBOARD_DEVICE_PROFILE=off).")
        return found
    pairing = _recorded(job, found)
    graphs = compiled_graphs(job.model_folder / "compile", heard.facts.get("buckets", {}))
    for graph in measured.calls:
        if graph not in graphs:
            found.warnings.append(
                f"{graph.phase} bucket {graph.bucket}: its NEFF is not in the compile folder."
            )
            continue
        try:
            found.graphs[graph] = _read_graph(job, graph, graphs[graph], pairing, read)
        except DeviceError as error:
            found.warnings.append(f"{graph.phase} bucket {graph.bucket} has no profile: {error.message}")
    return found


def _recorded(job: Job, found: Found) -> Pairing | None:
    """What the runtime recorded while the model generated a few tokens."""
    output = job.run_folder / "inspect"
    environ = profiling_environment(
        job.environment(job.model_folder),
        output,
        device_profile=job.settings.device_profile,
        dge_notifications=job.settings.dge_notifications,
    )
    spec = job.spec(job.model_folder, profile_tokens=job.settings.profile_tokens)
    try:
        job.child("profile", spec, environ)
        return pair_folder(output)
    except DeviceError as error:
        found.warnings.append(f"The profiling pass gave no profile: {error.message}")
        return None


def _read_graph(
    job: Job, graph: Graph, neff: Path, pairing: Pairing | None, read: Read | None
) -> GraphProfile:
    job.report("capture", f"{graph.phase} {graph.bucket}")
    tool = job.host.tool()
    shot = shot_of(
        graph,
        neff,
        pairing,
        tool,
        job.run_folder,
        workers=TENSOR_PARALLEL,
        dge=job.settings.dge_notifications,
    )
    return read_shot(
        shot, tool, job.run_folder / "tables" / f"{graph.phase}_{graph.bucket}", job.report, read
    )


def _run(
    job: Job, heard: Heard, measured: Timing, found: Found, phases: Mapping[str, float], wall_s: float
) -> Run:
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


def _tidy(folder: Path, kept: Set[Path]) -> None:
    """Remove what has been imported or was never read; logs, specs and the run's artifacts stay."""
    discard(folder / "tables")
    for path in sorted((folder / "inspect").rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif path.is_file() and path not in kept:
            path.unlink()


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
    if measured.repetitions < 20:
        said.append(f"{measured.repetitions} repetitions; the challenge's p99 is over 20.")
    return tuple(said)


def text_digest(text: str) -> str:
    """SHA-256 of a source text."""
    return hashlib.sha256(text.encode()).hexdigest()
