"""One prompt on a Neuron device: compile, check, time, profile, read, and put together as a run.

The timing pass runs without a profiler and gives every number of the headline; the profiling pass says what
the time was spent on. When profiling fails the timing is kept, and the run says what is missing and why.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Set
from pathlib import Path

from collectors.device.children import Heard, Report, silent
from collectors.device.detect import require_device, require_model_stack, require_target
from collectors.device.environment import profiling_environment
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
from collectors.device.job import Job, content_key, model_sources
from collectors.device.leftovers import tidied
from collectors.device.measured import Found, measured_run
from collectors.device.model import WHOLE
from collectors.device.pairing import Pairing, pair_folder
from collectors.device.settings import TENSOR_PARALLEL, Settings, settings_from
from collectors.device.waterfall import Graph, Timing, timing
from collectors.errors import DeviceError, UsageError
from collectors.records import Run
from collectors.request import ProfileRequest


def collect(
    request: ProfileRequest,
    *,
    settings: Settings | None = None,
    report: Report = silent,
    host: Host | None = None,
    read: Read | None = None,
) -> Run:
    """Profile one prompt on this machine's device and return the run, not yet stored.

    Its profiles' rows are still in files: `tidy` removes those once the run is stored.

    Raises `DeviceError` (`PhaseError` with the phase and its log when a pass fails) and `UsageError`.
    """
    machine = host or Host()
    require_device(machine)
    require_model_stack(machine)
    chosen = settings or settings_from(machine.environ)
    _require(request, chosen, machine)
    job = Job(request, chosen, machine, report, uuid.uuid4().hex, model_sources(chosen))
    with tidied(job.run_folder, keep=chosen.keep):
        return _collected(job, read)


def _collected(job: Job, read: Read | None) -> Run:
    request, started = job.request, time.monotonic()
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
    return measured_run(job, heard, measured, found, phases, time.monotonic() - started)


def tidy(run: Run, settings: Settings) -> None:
    """Remove what a stored run was read from; logs, specs and the run's artifacts stay."""
    if not settings.keep:
        _remove(settings.work / "runs" / run.run_id, {Path(file.path) for file in run.artifacts})


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
    require_target(host, request.target)
    module = settings.contest_dir and settings.contest_dir / f"{settings.contest_module}.py"
    if module and not module.exists():
        raise UsageError(
            f"{settings.contest_dir} has no {settings.contest_module}.py.",
            "Name the module of your model in NKI_DASHBOARD_CONTEST_MODULE.",
        )


def _compile(job: Job) -> dict[str, float]:
    """Compile the model unless its key was compiled before; seconds by phase."""
    if (job.model_folder / "compiled" / WHOLE).exists():
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


def _remove(folder: Path, kept: Set[Path]) -> None:
    discard(folder / "tables")
    for path in sorted((folder / "inspect").rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif path.is_file() and path not in kept:
            path.unlink()
