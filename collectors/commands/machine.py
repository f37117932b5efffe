"""Machine constants as `analysis` takes them."""

from __future__ import annotations

from analysis.machine_facts import MachineFacts, machine_facts


def facts(target: str) -> MachineFacts:
    """The constants of a target."""
    from simulator.machine.facts import machine

    found = machine(target)
    return machine_facts(found.target, found.constants)
