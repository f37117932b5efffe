"""Runs a child program and listens to it: its events, its log, and, when it dies, in which phase and why."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from collectors.device.events import FACTS, FAILED, PHASE_FINISHED, PHASE_STARTED, SAMPLES, parse_event
from collectors.device.failures import phase_failed
from collectors.device.log_phases import logged_phases
from collectors.device.processing import end_group

CHILD_SECONDS = 4 * 3600.0


class Report(Protocol):
    """Called as work goes on: the phase, and a detail worth showing."""

    def __call__(self, phase: str, detail: str = "") -> None:
        """Show it."""


def silent(phase: str, detail: str = "") -> None:
    """A report nobody reads."""


@dataclass
class Heard:
    """Everything a child said. `phase_seconds` has NxD Inference's own phases among its own."""

    phase_seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    phase: str = "start"
    failure: str | None = None

    def take(self, event: dict[str, Any], report: Report) -> None:
        """Note one event."""
        kind = event["kind"]
        self.events.append(event)
        if kind == PHASE_STARTED:
            self.phase = event["phase"]
            report(self.phase)
        elif kind == PHASE_FINISHED:
            seconds = self.phase_seconds.get(event["phase"], 0.0)
            self.phase_seconds[event["phase"]] = seconds + event["seconds"]
        elif kind == SAMPLES:
            self.samples.append(event)
        elif kind == FACTS:
            self.facts.update({name: value for name, value in event.items() if name != "kind"})
        elif kind == FAILED:
            self.phase, self.failure = event["phase"], event["error"]


def run_child(
    module: str,
    arguments: list[str],
    spec: Mapping[str, Any],
    *,
    python: str,
    environ: Mapping[str, str],
    folder: Path,
    report: Report = silent,
    timeout_s: float = CHILD_SECONDS,
) -> Heard:
    """Run `python -m module ARGUMENTS SPEC FD` to its end.

    The spec and the log are kept in `folder`. Raises `PhaseError` naming the phase the child was in when it
    failed or died.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = "-".join([module.rpartition(".")[2], *arguments])
    log, spec_file = folder / f"{name}.log", folder / f"{name}.json"
    spec_file.write_text(json.dumps(spec, indent=1), encoding="utf-8")
    reading, writing = os.pipe()
    words = [python, "-m", module, *arguments, str(spec_file), str(writing)]
    heard = Heard()
    try:
        with log.open("wb") as out:
            process = _start(words, out, writing, environ, folder)
    except OSError as error:
        os.close(reading)
        raise phase_failed("start", f"{python}: {error.strerror}") from error
    finally:
        os.close(writing)
    expired = _listen(process, reading, lambda event: heard.take(event, report), timeout_s)
    heard.phase_seconds.update(logged_phases(log.read_text("utf-8", errors="replace")))
    if expired:
        raise phase_failed(heard.phase, log, f"It was not done after {timeout_s:.0f} s.")
    if process.returncode != 0:
        raise phase_failed(
            heard.phase, log, heard.failure or f"The process ended with code {process.returncode}."
        )
    return heard


def _start(
    words: list[str], out: Any, descriptor: int, environ: Mapping[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        words,
        stdout=out,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        pass_fds=(descriptor,),
        env=dict(environ),
        cwd=folder,
        start_new_session=True,
    )


def _listen(
    process: subprocess.Popen[bytes],
    descriptor: int,
    take: Callable[[dict[str, Any]], None],
    timeout_s: float,
) -> bool:
    """Hand on events until the pipe closes; True when the time ran out first. The process has ended then."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        end_group(process)

    timer = threading.Timer(timeout_s, expire)
    timer.start()
    try:
        with os.fdopen(descriptor, encoding="utf-8") as lines:
            for line in lines:
                event = parse_event(line)
                if event is not None:
                    take(event)
        process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:
            end_group(process)
    return expired.is_set()
