"""Copies whose engine the author left open go to VectorE or ScalarE, whichever has less to do.

NKI docs, nisa.tensor_copy: "compiler selects best engine based on engine workload". The public profiles of
allenkchau/trainium-kernel-fusion show copies on both engines, more of them on the less busy one.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.costs.table import CostTable
from simulator.machine.facts import machine
from simulator.trace import Engine, Instruction, Trace

CHOICES: tuple[Engine, ...] = ("vector", "scalar")


def balanced(trace: Trace) -> Trace:
    """The trace with an engine chosen for every copy that may run on either."""
    costs = CostTable(machine(trace.target))
    return replace(trace, cores=[_core(core, costs) for core in trace.cores])


def _core(core: list[Instruction], costs: CostTable) -> list[Instruction]:
    busy = dict.fromkeys(CHOICES, 0.0)
    for instruction in core:
        if instruction.engine in busy and instruction.transfer is None and not _open(instruction):
            busy[instruction.engine] += costs(instruction).issue_ns
    return [_placed(i, busy, costs) if _open(i) else i for i in core]


def _open(instruction: Instruction) -> bool:
    return instruction.call == "tensor_copy" and bool(instruction.attributes.get("engine_open"))


def _placed(instruction: Instruction, busy: dict[Engine, float], costs: CostTable) -> Instruction:
    """The copy on the engine that would be done with it first, whose time it then takes."""
    choices = {name: _on(instruction, name) for name in CHOICES}
    ends = {name: busy[name] + costs(choice).issue_ns for name, choice in choices.items()}
    chosen = min(CHOICES, key=lambda name: ends[name])
    busy[chosen] = ends[chosen]
    return choices[chosen]


def _on(instruction: Instruction, engine: Engine) -> Instruction:
    return replace(instruction, operation=replace(instruction.operation, engine=engine))
