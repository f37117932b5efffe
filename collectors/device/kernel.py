"""One NKI kernel on a device: compiled in a child process, captured with the profiler, read, a run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from collectors.device.children import Heard, Report, run_child, silent
from collectors.device.detect import kernel_compiler, require_device, require_target
from collectors.device.environment import base_environment, kernel_environment
from collectors.device.failures import PhaseError, phase_failed
from collectors.device.graphs import GraphProfile, Read, Shot, read_shot
from collectors.device.host import Host
from collectors.device.job import SOURCE_ROOT, text_digest
from collectors.device.leftovers import tidied
from collectors.device.measured import machine_facts
from collectors.device.settings import Settings, settings_from
from collectors.device.tools import Capture, capture
from collectors.device.versions import parse_version, releases
from collectors.device.waterfall import Graph
from collectors.errors import DeviceError
from collectors.records import Launch, Run
from collectors.request import KernelRequest
from simulator.expressions import Expression

PROGRAM = "collectors.device.kernel_program"


@dataclass(frozen=True)
class Compiled:
    """A kernel's NEFF, the files its arrays went to, and what its one execution gave."""

    neff: Path
    inputs: Mapping[str, Path]
    arguments: Mapping[str, Mapping[str, Any]]
    folder: Path
    heard: Heard


def collect_kernel(
    request: KernelRequest,
    *,
    settings: Settings | None = None,
    report: Report = silent,
    host: Host | None = None,
    read: Read | None = None,
) -> Run:
    """Profile one kernel on this machine's device and return the run, not yet stored.

    Raises `DeviceError` (`PhaseError` with the phase and its log when a step fails).
    """
    machine = host or Host()
    chosen = settings or settings_from(machine.environ)
    started = time.monotonic()
    compiled = compile_kernel(request, machine, chosen, report)
    tool = machine.tool()
    report("capture", request.function)
    with tidied(compiled.folder, keep=chosen.keep):
        taken, said = _captured(compiled, machine, chosen)
        shot = Shot(Graph("kernel", 0), taken.neff, taken.ntff, (*taken.warnings, *said))
        profile = read_shot(shot, tool, compiled.folder / "tables", report, read)
    return _run(request, machine, compiled, profile, time.monotonic() - started)


def compile_kernel(
    request: KernelRequest, host: Host, settings: Settings, report: Report = silent
) -> Compiled:
    """Compile and execute a kernel once, in a child process. Raises `DeviceError`."""
    require_device(host)
    require_target(host, request.target)
    found = kernel_compiler(host)
    if found.ok is False:
        raise DeviceError(f"The kernel cannot be compiled: {found.detail}.", found.mend)
    folder = settings.work / "runs" / uuid.uuid4().hex
    artifacts = folder / "artifacts"
    artifacts.mkdir(parents=True)
    arguments = write_arguments(request.arguments, folder)
    spec = {
        "file": str(Path(request.file).resolve()),
        "function": request.function,
        "paths": request.paths,
        "arguments": arguments,
        "lnc": request.lnc,
        "standalone": standalone(host),
        "artifacts": str(artifacts),
    }
    base = base_environment(host.environ, target=request.target, work=folder, source=SOURCE_ROOT)
    environ = kernel_environment(base, artifacts, request.lnc)
    with tidied(folder, keep=settings.keep):
        heard = run_child(
            PROGRAM, [], spec, python=host.interpreter, environ=environ, folder=folder, report=report
        )
    neff = heard.facts.get("neff")
    if neff is None:
        raise phase_failed("compile", folder / "kernel_program.log", "The compiler left no NEFF.")
    inputs = {name: Path(given["file"]) for name, given in arguments.items() if "file" in given}
    return Compiled(Path(neff), inputs, arguments, folder, heard)


def standalone(host: Host) -> bool:
    """Whether this machine's NKI compiles a kernel without torch; a release the table lacks is taken to."""
    installed = parse_version(host.packages.get("nki", ""))[:2]
    return next((row.nki_standalone for row in releases() if parse_version(row.nki) == installed), True)


def write_arguments(arguments: Mapping[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """Arrays to files of raw bytes (NumPy's own format has no bfloat16), scalars and names as they are."""
    written: dict[str, dict[str, Any]] = {}
    for name, value in arguments.items():
        if isinstance(value, np.ndarray):
            file = folder / f"{name}.bin"
            np.ascontiguousarray(value).tofile(file)
            written[name] = {"file": str(file), "dtype": value.dtype.name, "shape": list(value.shape)}
        elif isinstance(value, Expression):
            written[name] = {"expression": value.text}
        else:
            written[name] = {"value": value.item() if isinstance(value, np.generic) else value}
    return written


def _captured(compiled: Compiled, host: Host, settings: Settings) -> tuple[Capture, tuple[str, ...]]:
    """The second execution on the real inputs, or on zeros when the NEFF names its inputs otherwise."""
    tool, session = host.tool(), compiled.folder / "profile.ntff"
    dge = settings.dge_notifications
    try:
        return capture(tool, compiled.neff, session, inputs=compiled.inputs, dge_notifications=dge), ()
    except PhaseError as error:
        if not any("input" in line.lower() for line in error.log_tail):
            raise
        taken = capture(tool, compiled.neff, session, dge_notifications=dge)
        return taken, (f"Profiled with zero-filled inputs: {error.log_tail[-1].strip()}",)


def _run(request: KernelRequest, host: Host, compiled: Compiled, profile: GraphProfile, wall_s: float) -> Run:
    text = Path(request.file).read_text("utf-8")
    digest = f"sha256:{text_digest(text)}"
    sources = dict(profile.sources)
    if not any(source == text for source in sources.values()):
        sources[digest] = text
    key = next(key for key, source in sources.items() if source == text)
    return Run(
        run_id=compiled.folder.name,
        session=request.session,
        label=request.label,
        created_at=datetime.now(UTC),
        provenance="measured",
        backend="neuron",
        target=request.target,
        lnc=request.lnc,
        prompt=None,
        prompt_tokens=None,
        new_tokens=None,
        seq_len=None,
        batch=1,
        kernels={request.function: Path(request.file).name},
        accuracy=None,
        base_latency_ms=None,
        base_tokens_per_s=None,
        configuration={
            "kernel": f"{request.file}::{request.function}",
            "arguments": dict(request.argument_texts),
            "phase_seconds": compiled.heard.phase_seconds,
            "outputs": compiled.heard.facts.get("outputs"),
            "source_files": {Path(request.file).name: key},
        },
        environment=machine_facts(host),
        wall_s=wall_s,
        launches=tuple(_whole(request, profile)),
        artifacts=profile.artifacts,
        warnings=(*profile.warnings, *_output_warnings(compiled.heard)),
        sources=sources,
        profiles=profile.profiles,
    )


def _whole(request: KernelRequest, profile: GraphProfile) -> list[Launch]:
    """The reader's rows as rows of this kernel, all in the phase "kernel"."""
    name = request.function
    return [
        replace(row, phase="kernel", bucket=None, slot=name, covers=(name,), variant=Path(request.file).stem)
        for row in profile.launches
    ]


def _output_warnings(heard: Heard) -> list[str]:
    said = []
    for place, output in enumerate(heard.facts.get("outputs", [])):
        if not output["finite"]:
            said.append(f"Output {place} holds NaN or infinity.")
        if not output["nonzero"]:
            said.append(f"Output {place} is all zeros: the kernel may have computed nothing.")
    return said
