"""The one place that calls neuron-explorer or neuron-profile: `capture` and `view`.

Argument lists are built from `versions.toml`. Everything a tool prints goes to a log file.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from collectors.device.failures import PhaseError, phase_failed
from collectors.device.host import Tool, json_in
from collectors.device.pairing import expected_ntff
from collectors.device.versions import formats, has_option, options
from collectors.errors import DeviceError

Value = str | int | Path | bool

CAPTURE_SECONDS = 1800.0
SUMMARY_SECONDS = 1800.0
REFUSED = re.compile(r"(?:unknown flag|flag provided but not defined)\W*([\w-]+)", re.IGNORECASE)
NUMERICAL = re.compile(r"completed with numerical error", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Capture:
    """A captured execution: the NTFF to read, which execution it is, and whether its inputs were zeros."""

    neff: Path
    ntff: Path
    execution: int
    zero_inputs: bool
    warnings: tuple[str, ...] = ()


def arguments(
    tool: Tool, command: str, values: Mapping[str, Value], without: Collection[str] = ()
) -> list[str]:
    """The argument list of a sub-command, `values` by our names for its options.

    An undocumented option this tool lacks is left out; a documented one raises `DeviceError`.
    """
    known = options(command)
    words = [str(tool.path), command]
    for name, value in values.items():
        option = known[name]
        if value is False or option.spelling in without:
            continue
        if not has_option(option, tool.name, tool.release):
            if option.documented:
                raise DeviceError(
                    f"{tool.name} {tool.version} has no {option.spelling}.",
                    "Upgrade aws-neuronx-tools; `collectors doctor` says which release is installed.",
                )
            continue
        words += [option.spelling] if option.flag else [option.spelling, str(value)]
    return words


def droppable(command: str, log: str, values: Mapping[str, Value]) -> str | None:
    """The undocumented option of ours a tool has just refused, by its spelling; None when there is none."""
    refused = {f"--{name.lstrip('-')}" for name in REFUSED.findall(log)}
    ours = (options(command)[name] for name in values)
    return next((row.spelling for row in ours if not row.documented and row.spelling in refused), None)


def run(
    tool: Tool,
    command: str,
    values: Mapping[str, Value],
    *,
    log: Path,
    positional: Sequence[str] = (),
    timeout_s: float,
    environ: Mapping[str, str] | None = None,
    without: frozenset[str] = frozenset(),
) -> str:
    """Run a sub-command to its end in the log's folder; what it printed, standard error included.

    Retries without an undocumented option that this build refuses. Raises `PhaseError` when the tool fails or
    takes longer than `timeout_s`.
    """
    words = [*arguments(tool, command, values, without), *positional]
    try:
        with log.open("w", encoding="utf-8") as out:
            done = subprocess.run(  # noqa: S603
                words,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                timeout=timeout_s,
                check=False,
                cwd=log.parent,
                env=None if environ is None else dict(environ),
            )
    except subprocess.TimeoutExpired as error:
        raise phase_failed(command, log, f"{tool.name} gave no answer in {timeout_s:.0f} s.") from error
    text = log.read_text("utf-8", errors="replace")
    if done.returncode == 0:
        return text
    refused = droppable(command, text, values)
    if refused is None or refused in without:
        raise phase_failed(command, log, f"{tool.name} ended with code {done.returncode}.")
    return run(
        tool,
        command,
        values,
        log=log,
        positional=positional,
        timeout_s=timeout_s,
        environ=environ,
        without=without | {refused},
    )


def capture(
    tool: Tool,
    neff: Path,
    session_file: Path,
    *,
    executions: int = 2,
    workers: int | None = None,
    inputs: Mapping[str, Path] | None = None,
    dge_notifications: bool = False,
    single_io: bool = False,
    environ: Mapping[str, str] | None = None,
    timeout_s: float = CAPTURE_SECONDS,
) -> Capture:
    """Execute a NEFF `executions` times and profile the last one, on worker 0 when there are several.

    `inputs` are files by tensor name; without them the tool fills buffers with zeros. Raises `PhaseError`.
    """
    values: dict[str, Value] = {
        "neff": neff.resolve(),
        "session_file": session_file.resolve(),
        "executions": executions,
        "profile_nth": executions,
        "ignore_exec_errors": not inputs,
        "dge_notifications": dge_notifications,
        "single_io": single_io,
    }
    if workers is not None:
        values |= {"workers": workers, "profile_worker": 0}
    named = [word for name, path in (inputs or {}).items() for word in (name, str(path.resolve()))]
    log = session_file.with_suffix(".capture.log")
    warnings: list[str] = []
    try:
        run(tool, "capture", values, log=log, positional=named, timeout_s=timeout_s, environ=environ)
    except PhaseError:
        if not NUMERICAL.search(log.read_text("utf-8", errors="replace")):
            raise
        warnings.append(f"{neff.name}: the execution produced NaN or infinity; its profile is complete.")
    worker = None if workers is None else 0
    ntff = expected_ntff(session_file, executions, executions, worker)
    if not ntff.exists() or ntff.stat().st_size == 0:
        raise phase_failed("capture", log, f"{tool.name} said it succeeded but wrote no {ntff.name}.")
    return Capture(neff, ntff, executions, not inputs, tuple(warnings))


def summary(
    tool: Tool, neff: Path, ntff: Path, log: Path, timeout_s: float = SUMMARY_SECONDS
) -> Mapping[str, object]:
    """The tool's `summary-json` of a pair: one record by its id, log lines on the same stream ignored."""
    values: dict[str, Value] = {"neff": neff, "session_file": ntff, "format": "summary-json"}
    text = run(tool, "view", values, log=log, timeout_s=timeout_s)
    record = json_in(text)
    if not isinstance(record, dict) or not record:
        raise phase_failed("view", log, f"{tool.name} printed no summary.")
    return record


def require_format(tool: Tool, wanted: str) -> None:
    """Raise `DeviceError` when this tool cannot write a format."""
    if wanted not in formats(tool.name, tool.release):
        raise DeviceError(
            f"{tool.name} of SDK {tool.release.sdk} does not write {wanted}.",
            "Install neuron-explorer (aws-neuronx-tools 2.27 or newer).",
        )
