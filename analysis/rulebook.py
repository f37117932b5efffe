"""Every rule, and asking them all about a launch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analysis.evidence import Evidence
from analysis.rules import (
    collectives,
    core_imbalance,
    costly_resource,
    exposed_latency,
    fp32_matmul,
    host_time,
    one_engine,
    padding,
    queue_imbalance,
    reloads,
    small_transfers,
    software_descriptors,
    table_loads,
    tensor_underfed,
    throttled,
    unfused,
)
from analysis.rules.finding import CannotTell, Finding, Outcome

RULES: dict[str, Callable[[Evidence], Outcome]] = {
    module.RULE: module.check
    for module in (
        reloads,
        small_transfers,
        software_descriptors,
        queue_imbalance,
        tensor_underfed,
        fp32_matmul,
        throttled,
        one_engine,
        table_loads,
        core_imbalance,
        costly_resource,
        exposed_latency,
        unfused,
        padding,
        collectives,
        host_time,
    )
}


@dataclass(frozen=True, slots=True)
class Checked:
    """What the rules said of a launch: findings by expected gain, largest first, and who cannot tell."""

    findings: tuple[Finding, ...]
    cannot_tell: tuple[CannotTell, ...]


def check_all(evidence: Evidence) -> Checked:
    """Ask every rule about a launch."""
    outcomes = [check(evidence) for check in RULES.values()]
    findings = sorted(
        (each for each in outcomes if isinstance(each, Finding)),
        key=lambda each: each.gain.expected,
        reverse=True,
    )
    return Checked(tuple(findings), tuple(each for each in outcomes if isinstance(each, CannotTell)))
