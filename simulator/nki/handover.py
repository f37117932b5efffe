"""Whose turn it is: the two cores of a launch run one at a time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from simulator.errors import KernelRefused

if TYPE_CHECKING:
    from simulator.nki.tracer import Program


class Handover:
    """Lets one core run at a time, so a launch is deterministic; a core gives way where it must wait.

    `second` runs the second core; it is started when the first gives way to it.
    """

    def __init__(self, cores: int) -> None:
        self.condition = threading.Condition()
        self.cores = cores
        self.turn = 0
        self.brought: dict[tuple[int, int], Any] = {}
        self.done = [False] * cores
        self.second: threading.Thread | None = None
        self.failed: BaseException | None = None

    def meet(self, program: Program, payload: Any) -> tuple[int, list[Any]]:
        """Wait for the other core's matching exchange; returns its number and what each core brought."""
        program.exchanges += 1
        number, core = program.exchanges, program.core
        if self.cores == 1:
            return number, [payload]
        with self.condition:
            self.brought[number, core] = payload
            if (number, 1 - core) not in self.brought:
                self.give_way(core)
            if (number, 1 - core) not in self.brought:
                raise KernelRefused(
                    f"core {core} waits for an exchange that core {1 - core} never reaches",
                    "let both cores call sendrecv, core_barrier and collectives in the same order",
                    rule="rendezvous",
                )
        return number, [self.brought[number, 0], self.brought[number, 1]]

    def give_way(self, core: int) -> None:
        """Let the other core run until it waits or ends. The caller holds the condition."""
        if self.done[1 - core]:
            return
        self.turn = 1 - core
        if self.second is not None and self.second.ident is None:
            self.second.start()
        self.condition.notify_all()
        self.condition.wait_for(lambda: self.turn == core or self.failed is not None)
        if self.failed is not None:
            raise self.failed
