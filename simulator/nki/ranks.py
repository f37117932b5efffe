"""Ranks that run one kernel together: each has its own HBM and its own launch; they meet at collectives.

One rank runs at a time and gives way where it waits, so an execution is deterministic.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from simulator.errors import KernelRefused, SimulatorError

Members = tuple[int, ...]


class Abandoned(SimulatorError):
    """A rank stopped because another one failed; the other's error is the one to tell."""


class Ranks:
    """What `count` ranks share: who runs, what each brought to a collective, who has ended."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._baton = threading.Semaphore(1)
        self._changed = threading.Condition()
        self._made: Counter[tuple[Members, int]] = Counter()
        self._brought: dict[tuple[Members, int], dict[int, tuple[str, Any]]] = {}
        self._waiting: dict[int, tuple[Members, int]] = {}
        self._ended: set[int] = set()
        self._failed = False

    def run_all(self, runs: Sequence[Callable[[], Any]]) -> list[Any]:
        """What each rank's run returns. Raises the first error that is a rank's own."""
        if len(runs) == 1:
            return [runs[0]()]
        outcomes: list[Any] = [None] * len(runs)
        errors: list[BaseException | None] = [None] * len(runs)

        def run(rank: int) -> None:
            with self._baton:
                try:
                    outcomes[rank] = None if self._failed else runs[rank]()
                except BaseException as error:
                    errors[rank] = error
                self._end(rank, errors[rank] is not None)

        threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(len(runs))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        own = [error for error in errors if error is not None and not isinstance(error, Abandoned)]
        if own:
            raise own[0]
        return outcomes

    def meet(self, rank: int, members: Members, call: str, payload: Any) -> dict[int, Any]:
        """Wait until every rank of `members` makes the same call; what each of them brought."""
        if members == (rank,):
            return {rank: payload}
        with self._changed:
            self._made[members, rank] += 1
            key = members, self._made[members, rank]
            brought = self._brought.setdefault(key, {})
            brought[rank] = call, payload
            self._check_same(key)
            self._changed.notify_all()
            if len(brought) < len(members):
                self._wait(rank, key)
        return {member: self._brought[key][member][1] for member in members}

    def _wait(self, rank: int, key: tuple[Members, int]) -> None:
        """The caller holds the condition and the baton, and holds both again afterwards."""
        self._waiting[rank] = key
        self._baton.release()
        self._changed.wait_for(lambda: self._is_met(key) or self._failed or self._is_stuck())
        del self._waiting[rank]
        stuck = not self._is_met(key) and not self._failed
        self._failed |= stuck
        self._changed.notify_all()
        self._changed.release()
        try:
            self._baton.acquire()
        finally:
            self._changed.acquire()
        if stuck:
            absent = sorted(set(key[0]) - set(self._brought[key]))
            raise KernelRefused(
                f"rank {rank} waits in {self._brought[key][rank][0]} for rank "
                f"{', '.join(map(str, absent))}, which never makes that call",
                "let every rank of a group make the same collectives in the same order",
                rule="collective-order",
            )
        if not self._is_met(key):
            raise Abandoned("another rank failed")

    def _is_met(self, key: tuple[Members, int]) -> bool:
        return len(self._brought[key]) == len(key[0])

    def _is_stuck(self) -> bool:
        """Whether no rank can go on: every one has ended or waits for one that does not come."""
        return len(self._waiting) + len(self._ended) == self.count and not any(
            map(self._is_met, self._waiting.values())
        )

    def _check_same(self, key: tuple[Members, int]) -> None:
        calls = {call for call, _ in self._brought[key].values()}
        if len(calls) > 1:
            raise KernelRefused(
                f"ranks of one group call {' and '.join(sorted(calls))} at the same time",
                "let every rank of a group make the same collectives in the same order",
                rule="collective-order",
            )

    def _end(self, rank: int, failed: bool) -> None:
        with self._changed:
            self._ended.add(rank)
            self._failed |= failed
            self._changed.notify_all()
