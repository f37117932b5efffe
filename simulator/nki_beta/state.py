"""What one core of a launch remembers between calls of the first dialect."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulator.nki.tracer import current

if TYPE_CHECKING:
    from simulator.nki_beta.result import Result


@dataclass(slots=True)
class State:
    """One core's execution of a kernel.

    `pending` is the call whose destination is not known yet. `lent[storage]` are results that live in a
    tensor they were assigned to, which must move before it is overwritten. `identities` are the matrices a
    transpose multiplies with, by dtype. `grid` is the launch's, `place` this program's place in it, `running`
    while a kernel runs, which may call others.
    """

    pending: Result | None = None
    lent: dict[int, list[weakref.ref[Result]]] = field(default_factory=dict)
    identities: dict[Any, Any] = field(default_factory=dict)
    grid: tuple[int, ...] = ()
    place: tuple[int, ...] = ()
    running: bool = False


_local = threading.local()


def state() -> State:
    """The state of the program that runs in this thread; a new program starts with an empty one."""
    program = current()
    if getattr(_local, "program", None) is not program:
        _local.program, _local.state = program, State()
    found: State = _local.state
    return found
