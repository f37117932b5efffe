"""Measured kernels with what was predicted for them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Origin = Literal["source", "stream"]
Role = Literal["fitted", "validation", "held out"]

HELD_OUT: Role = "held out"


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure as predicted and as measured."""

    predicted: float
    measured: float


@dataclass(frozen=True, slots=True)
class Row:
    """One measured kernel and what was predicted for it, ns.

    `origin` "source" was traced from the kernel's source and has both schedules; "stream" is a real
    instruction stream replayed in the compiler's order, so it has no list schedule. `role` says whether
    constants of the machine were fitted to this very kernel; on a "held out" one not even an interval rests.
    `problem` and `method` name what rows must share to be variants of each other. `low_ns` and `high_ns` are
    the interval shown to a user, `left_out_ns` the prediction of a machine whose constants were derived
    without this row's family, `active` the active fractions by engine, `hbm_bytes` the bytes by direction
    ("read", "write"), `packets` the DMA packets by class ("software", "hardware"). `bound` is what the
    simulation says the kernel spends its time on.
    """

    id: str
    family: str
    name: str
    problem: str
    method: str
    origin: Origin
    role: Role
    measured_ns: float
    as_written_ns: float
    list_ns: float | None = None
    low_ns: float | None = None
    high_ns: float | None = None
    active: Mapping[str, Pair] = field(default_factory=dict)
    hbm_bytes: Mapping[str, Pair] = field(default_factory=dict)
    packets: Mapping[str, Pair] = field(default_factory=dict)
    source: str = ""
    bound: str = ""
    left_out_ns: float | None = None

    @property
    def predicted_ns(self) -> float:
        """The time shown to a user: list-scheduled where there is a choice."""
        return self.as_written_ns if self.list_ns is None else self.list_ns

    @property
    def error(self) -> float:
        """(predicted - measured) / measured."""
        return self.predicted_ns / self.measured_ns - 1

    @property
    def list_error(self) -> float | None:
        """The list schedule's relative error."""
        return None if self.list_ns is None else self.list_ns / self.measured_ns - 1

    @property
    def as_written_error(self) -> float:
        """The as-written schedule's relative error."""
        return self.as_written_ns / self.measured_ns - 1

    @property
    def inside(self) -> bool | None:
        """Whether the measured time lies in the interval."""
        if self.low_ns is None or self.high_ns is None:
            return None
        return self.low_ns <= self.measured_ns <= self.high_ns


@dataclass(frozen=True, slots=True)
class Skipped:
    """A measured row that was not predicted, and why."""

    id: str
    family: str
    name: str
    problem: str
    measured_ns: float
    reason: str
