"""End to end as a request lives it: context encoding, decode step by step, and what the host adds."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.estimate import Estimate
from analysis.totals import Totals
from collectors.records import Phase


@dataclass(frozen=True, slots=True)
class Stage:
    """`count` times `each` in nanoseconds; `share` is of all stages together."""

    phase: Phase
    name: str
    count: int
    each: Estimate
    share: float

    @property
    def total_ns(self) -> float:
        """All executions of the stage."""
        return self.count * self.each.value


def stages(found: Totals, new_tokens: int | None) -> tuple[Stage, ...]:
    """The stages a run has figures for, in the order of execution; host time is per new token."""
    steps, tokens = found.decode_steps or 0, new_tokens or 0
    host = found.host_ns.scaled(1 / tokens) if found.host_ns and tokens else None
    rows: tuple[tuple[Phase, str, int, Estimate | None], ...] = (
        ("prefill", "context encoding", 1, found.prefill_ns),
        ("decode", "decode", steps, found.decode_ns_per_token),
        ("host", "host", tokens, host),
    )
    known = [(phase, name, count, each) for phase, name, count, each in rows if each is not None and count]
    whole = sum(count * each.value for _, _, count, each in known)
    return tuple(
        Stage(phase, name, count, each, count * each.value / whole if whole else 0.0)
        for phase, name, count, each in known
    )
