"""What the sequencers do themselves: registers, branches, barriers, collectives."""

from __future__ import annotations

from simulator.costs.cost import Cost
from simulator.machine.facts import Machine
from simulator.trace import Instruction

_BRANCHES = frozenset({"branch", "loop", "dynamic_range", "fori_loop", "while_loop"})
_LOADS = frozenset({"register_load", "register_store", "scalar_load"})
COLLECTIVES = frozenset(
    {
        "all_reduce",
        "all_gather",
        "all_gather_v",
        "reduce_scatter",
        "all_to_all",
        "all_to_all_v",
        "collective_permute",
        "collective_permute_implicit",
        "collective_permute_implicit_reduce",
    }
)


def sequencer_cost(machine: Machine, instruction: Instruction) -> Cost | None:
    """The cost of an instruction no data path executes, or None when a data path does."""
    call = instruction.call
    if call in COLLECTIVES:
        return _collective(machine, instruction)
    if call == "core_barrier":
        return Cost(machine.pair.barrier_ns, machine.pair.barrier_ns)
    if call in _LOADS:
        return Cost(machine.sequencer.register_load_ns, machine.sequencer.register_load_ns)
    if call in _BRANCHES:
        return Cost(machine.sequencer.branch_ns, machine.sequencer.branch_ns)
    if call.startswith("register_") or instruction.engine == "sync":
        return Cost(machine.sequencer.register_op_ns, machine.sequencer.register_op_ns)
    return None


def _collective(machine: Machine, instruction: Instruction) -> Cost:
    """An estimate: a latency plus bytes over an assumed link rate; the engine only issues it."""
    moved = instruction.attributes.get("wire_bytes", 0) / machine.pair.collective_bytes_per_ns
    return Cost(machine.sequencer.register_op_ns, machine.pair.collective_ns + moved)
