"""Constants derived again, and the machine as it would be known without a family of measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from simulator.fidelity.fit.constants import DERIVATIONS, STREAMS, Derivation, Without
from simulator.fidelity.fit.evidence import Evidence
from simulator.machine.facts import Machine, with_values


@dataclass(frozen=True, slots=True)
class Derived:
    """A constant worked out again: `low` and `high` are the 10th and 90th percentile of its samples."""

    constant: str
    unit: str
    table: float
    value: float
    statistic: str
    count: int
    low: float
    high: float
    family: str
    how: str
    without: Without

    @property
    def agrees(self) -> bool:
        """Whether the table's figure is the derived one within 5 % or within the samples' spread."""
        return abs(self.table - self.value) <= 0.05 * abs(self.value) or self.low <= self.table <= self.high


def refit(evidence: Evidence) -> list[Derived]:
    """Every fitted constant that the evidence supports, worked out again.

    Some samples are what remains beside other constants, so those are derived first: three rounds settle all.
    """
    found: list[Derived] = []
    known = evidence
    for _ in range(_ROUNDS):
        found = [d for each in DERIVATIONS if (d := _derived(each, known, evidence.machine)) is not None]
        known = replace(known, machine=with_values(known.machine, {d.constant: d.value for d in found}))
    return found


_ROUNDS = 3


def _derived(derivation: Derivation, evidence: Evidence, table: Machine) -> Derived | None:
    samples = sorted(derivation.samples(evidence))
    if not samples:
        return None
    constant = table.constants[derivation.constant]
    return Derived(
        derivation.constant,
        constant.unit,
        constant.value,
        derivation.statistic(samples),
        getattr(derivation.statistic, "__name__", ""),
        len(samples),
        samples[len(samples) // 10],
        samples[-1 - len(samples) // 10],
        derivation.family,
        derivation.how,
        derivation.without,
    )


def without(evidence: Evidence, family: str) -> Machine:
    """The machine as it would be known had a family never been measured: derived from the rest alone.

    What rests on the family falls back to what stands without it; what the evidence lacks for another reason
    keeps the table's figure.
    """
    rest = replace(
        evidence,
        streams=() if family == STREAMS else evidence.streams,
        printed=tuple(p for p in evidence.printed if p.family != family),
    )
    fallen = {d.constant: d.without.value for d in DERIVATIONS if d.family == family}
    return refitted(evidence.machine, fallen | {d.constant: d.value for d in refit(rest)})


def refitted(machine: Machine, values: Mapping[str, float]) -> Machine:
    """The machine with other values of fitted constants, and the sums that follow from them."""
    known = {**{name: constant.value for name, constant in machine.constants.items()}, **values}
    sums = {name: sum(known[part] for part in parts) for name, parts in SUMS.items()}
    return with_values(machine, {**values, **sums})


SUMS: Mapping[str, tuple[str, ...]] = {
    "dma.swdge_dynamic_ns": ("dma.swdge_static_ns", "sequencer.register_load_ns")
}
"""Constants that are the sum of fitted ones: an address only data knows is first loaded into a register."""
