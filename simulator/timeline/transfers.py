"""DMA queues and engines of both cores, and the HBM stack they share.

Within a queue a transfer starts when the one before it has left the DMA engines it needs. Engines serve their
queues in turn, descriptor by descriptor, so transfers of different queues share an engine equally; together
they get at most what the HBM stack gives, and less while loads and
stores mix. Between events every transfer progresses at a constant rate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from simulator.machine.facts import Machine

_DONE = 1e-6
Kind = tuple[int, int, bool, bool]
"""Core, engines, whether it stores, whether it crosses the HBM stack."""


@dataclass(slots=True, eq=False)
class Moving:
    """A transfer in a queue. `left_ns` is its remaining work per engine when alone; `pull` its HBM bytes per
    ns then.
    """

    instruction: int
    core: int
    queue: str
    mask: int
    left_ns: float
    pull: float
    stores: bool = False
    started_ns: float = -1.0
    rate: float = 0.0
    kind: Kind = (0, 0, False, False)

    def __post_init__(self) -> None:
        """What its rate and those of its company depend on."""
        self.kind = (self.core, self.mask, self.stores, self.pull > 0.0)


@dataclass(slots=True)
class Channels:
    """The transfers that have reached a queue. `next_ns`: when one of them leaves its engines."""

    machine: Machine
    next_ns: float = float("inf")
    _now: float = 0.0
    _queues: dict[tuple[int, str], deque[Moving]] = field(default_factory=dict)
    _active: list[Moving] = field(default_factory=list)
    _rates: dict[tuple[Kind, ...], list[float]] = field(default_factory=dict)

    def arrive(self, now: float, moving: Moving) -> None:
        """A transfer reaches its queue."""
        self._advance(now)
        self._queues.setdefault((moving.core, moving.queue), deque()).append(moving)
        self._share(now)

    def leave(self, now: float) -> list[Moving]:
        """The transfers whose last byte moves at `now`, which is `next_ns`."""
        self._advance(now)
        done = [m for m in self._active if m.left_ns <= _DONE]
        for moving in done:
            self._queues[(moving.core, moving.queue)].remove(moving)
        self._share(now)
        return done

    def _advance(self, now: float) -> None:
        elapsed = now - self._now
        for moving in self._active:
            moving.left_ns -= elapsed * moving.rate
        self._now = now

    def _share(self, now: float) -> None:
        """Choose the active transfers and their rates, and the time of the next to finish."""
        active = self._active = [m for queue in self._queues.values() if queue for m in _heads(queue)]
        company = tuple([m.kind for m in active])
        rates = self._rates.get(company)
        if rates is None:
            rates = self._rates[company] = [self._rate(moving, active) for moving in active]
        demand = 0.0
        for moving, rate in zip(active, rates, strict=True):
            if moving.started_ns < 0:
                moving.started_ns = now
            moving.rate = rate
            demand += rate * moving.pull
        stack = self.machine.hbm.bytes_per_ns
        if demand > stack:
            for moving in active:
                if moving.pull:
                    moving.rate *= stack / demand
        self.next_ns = min([now + max(0.0, m.left_ns) / m.rate for m in active], default=float("inf"))

    def _rate(self, moving: Moving, active: list[Moving]) -> float:
        """The share of its engines a transfer gets in this company, before the HBM stack's limit."""
        rate = 1.0 / _sharers(moving, active)
        if moving.pull and any(m.stores != moving.stores and m.core == moving.core for m in active):
            rate *= self.machine.dma.mixed_share
        return rate


def _heads(queue: deque[Moving]) -> list[Moving]:
    """The transfers of a queue that nothing before them in the queue holds back."""
    heads = []
    taken = 0
    for moving in islice(queue, _WINDOW):
        if moving.mask & taken == 0:
            heads.append(moving)
        taken |= moving.mask
        if taken == _ALL:
            break
    return heads


_ALL = (1 << 16) - 1
_WINDOW = 32
"""How many transfers of a queue are looked at for engines the ones before them leave free."""


def _sharers(moving: Moving, active: list[Moving]) -> int:
    """How many transfers the busiest engine of this one serves."""
    rivals = [m for m in active if m.core == moving.core and m.mask & moving.mask]
    if len(rivals) == 1 or all(m.mask == moving.mask for m in rivals):
        return len(rivals)
    return max(sum(m.mask >> e & 1 for m in rivals) for e in range(16) if moving.mask >> e & 1)
