"""From the last lines of a log to a cause and a remedy. The known failures are data in `failures.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from collectors.errors import DeviceError

TAIL_LINES = 12


@dataclass(frozen=True, slots=True)
class Known:
    """A failure the documentation or an issue explains."""

    pattern: re.Pattern[str]
    cause: str
    mend: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a step failed, in a sentence, and what to do; `line` is the log line that gave it away."""

    cause: str
    mend: str
    line: str


class PhaseError(DeviceError):
    """A phase on the device failed: `phase` says which, `log_tail` holds the last lines of its log."""

    def __init__(self, message: str, hint: str = "", *, phase: str, log_tail: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint)
        self.phase = phase
        self.log_tail = log_tail


@cache
def _tables() -> tuple[tuple[Known, ...], tuple[re.Pattern[str], ...]]:
    text = resources.files(__package__).joinpath("failures.toml").read_text("utf-8")
    data = tomllib.loads(text)
    known = tuple(Known(re.compile(row["pattern"]), row["cause"], row["mend"]) for row in data["failure"])
    return known, tuple(re.compile(row["pattern"]) for row in data["harmless"])


def diagnose(lines: Iterable[str]) -> Diagnosis | None:
    """The last known failure in a log, lines of good runs skipped. None when unexplained."""
    known, harmless = _tables()
    for line in reversed(list(lines)):
        if any(pattern.search(line) for pattern in harmless):
            continue
        for failure in known:
            if match := failure.pattern.search(line):
                return Diagnosis(_fill(failure.cause, match), failure.mend, line.strip())
    return None


def phase_failed(phase: str, log: Path | str, detail: str = "") -> PhaseError:
    """The error for a phase that failed, with the known cause where there is one and the end of its log.

    `log` is a file, or the text itself.
    """
    lines = _lines(log)
    tail = tuple(lines[-TAIL_LINES:])
    diagnosis = diagnose(lines)
    reason = diagnosis.cause if diagnosis else detail or (tail[-1].strip() if tail else "It said nothing.")
    if diagnosis:
        reason = reason[:1].lower() + reason[1:]
    message = f"The {phase} phase failed: {reason}"
    shown = "\n".join(f"    {line}" for line in tail)
    where = f" The whole log is {log}." if isinstance(log, Path) else ""
    hint = (diagnosis.mend if diagnosis else "The last lines of its log are below.") + where
    return PhaseError(message, f"{hint}\n{shown}" if shown else hint, phase=phase, log_tail=tail)


def _lines(log: Path | str) -> list[str]:
    text = log.read_text("utf-8", errors="replace") if isinstance(log, Path) else log
    return [line for line in text.splitlines() if line.strip()]


def _fill(sentence: str, match: re.Match[str]) -> str:
    return re.sub(r"\{(\d)\}", lambda place: match[int(place[1])] or "unnamed", sentence)
