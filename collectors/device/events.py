"""What a child process tells its parent: JSON lines on a pipe of their own, apart from what it prints."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PHASE_STARTED, PHASE_FINISHED = "phase_started", "phase_finished"
SAMPLES, FACTS, CHECK, FAILED = "samples", "facts", "check", "failed"


class Events:
    """Writes events to a file descriptor, a whole line at a time."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)
        self.phase_name = "start"

    def emit(self, kind: str, **fields: Any) -> None:
        """Write one event."""
        self._file.write(json.dumps({"kind": kind, **fields}) + "\n")
        self._file.flush()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Report a phase's start and, when it ends well, how long it took in seconds."""
        self.phase_name = name
        self.emit(PHASE_STARTED, phase=name)
        started = time.perf_counter()
        yield
        self.emit(PHASE_FINISHED, phase=name, seconds=time.perf_counter() - started)

    def samples(self, metric: str, values: list[float], **fields: Any) -> None:
        """Report measured values of a metric, in order."""
        self.emit(SAMPLES, metric=metric, values=values, **fields)


def parse_event(line: str) -> dict[str, Any] | None:
    """An event from a line; None for a line cut short by the writer's death."""
    try:
        event = json.loads(line)
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and "kind" in event else None
