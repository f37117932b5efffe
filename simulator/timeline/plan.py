"""Everything about a trace that both schedules need, as flat lists: engines, costs, edges."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.costs.cost import Cost
from simulator.costs.dma import Movement, movement
from simulator.costs.table import CostTable
from simulator.machine.facts import Machine, machine
from simulator.timeline.capacity import Placement, place
from simulator.timeline.dependencies import Edges, find_edges
from simulator.trace import ENGINES, Instruction, Trace

PLAIN, TENSOR, SCALAR, SHARED, TRANSFER = range(5)
"""Kinds of instruction the event loop tells apart; SHARED may wait for a PSUM bank or the shared SBUF port.
"""


@dataclass(slots=True)
class Plan:
    """A trace made ready for scheduling. Instruction g is `instructions[g]`, cores one after another.

    `lane[g]` is its engine's number over both cores. `out[g]` wait for g's result, `order_out[g]` only for
    its issue; `waits[g]` and `orders[g]` count the way in. `semaphore_ns[g]` and `transfer_ns[g]` are what
    g adds after a producer that is an instruction or a transfer. `partner[g]` is the other core's half of
    an exchange, or -1.
    """

    trace: Trace
    machine: Machine
    base: list[int]
    instructions: list[Instruction] = field(default_factory=list)
    lane: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    cost: list[Cost] = field(default_factory=list)
    movement: list[Movement | None] = field(default_factory=list)
    queue: list[str] = field(default_factory=list)
    stores: list[bool] = field(default_factory=list)
    banks: list[tuple[int, ...]] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    out: list[list[int]] = field(default_factory=list)
    order_out: list[list[int]] = field(default_factory=list)
    semaphore_ns: list[float] = field(default_factory=list)
    transfer_ns: list[float] = field(default_factory=list)
    partner: list[int] = field(default_factory=list)
    reload: list[tuple[int, ...] | None] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)


def prepare(trace: Trace) -> Plan:
    """The plan of a trace on its target's machine."""
    table = machine(trace.target)
    base = [0]
    for rows in trace.cores:
        base.append(base[-1] + len(rows))
    plan = Plan(trace, table, base)
    costs = CostTable(table)
    for core, instructions in enumerate(trace.cores):
        placement = place(instructions, trace.tensors, table.onchip)
        plan.placements.append(placement)
        _add_costs(plan, core, instructions, costs, placement)
        _add_edges(plan, base[core], find_edges(instructions, trace.tensors, placement))
    _pair_up(plan)
    return plan


def _add_costs(
    plan: Plan, core: int, instructions: list[Instruction], costs: CostTable, placement: Placement
) -> None:
    first_lane = core * len(ENGINES)
    lanes = {name: first_lane + k for k, name in enumerate(ENGINES)}
    semaphores = plan.machine.semaphores
    unit = int(plan.machine.onchip.psum_bank_bytes)
    for i in instructions:
        transfers = i.transfer is not None
        moved = movement(plan.machine, i) if transfers else None
        cost = Cost(moved.issue_ns, moved.printed_ns) if moved else costs(i)
        banks = _banks(i, placement, unit) if "psum" in i.memories and not transfers else ()
        plan.lane.append(lanes[i.engine])
        plan.cost.append(cost)
        plan.banks.append(banks)
        plan.kind.append(_kind(i, cost, banks))
        plan.movement.append(moved)
        plan.queue.append(queue_name(i) if transfers else "")
        plan.stores.append(i.transfer is not None and i.transfer.target_memory == "hbm")
        plan.semaphore_ns.append(semaphores.tensor_ns if i.engine == "tensor" else semaphores.engine_ns)
        plan.transfer_ns.append(semaphores.transfer_to_trigger_ns if transfers else semaphores.transfer_ns)
        plan.reload.append(tuple(i.reads[0]) if i.call == "nc_matmul" and i.reads else None)
    plan.instructions.extend(instructions)


def queue_name(instruction: Instruction) -> str:
    """The transfer's own queue name, or one per triggering engine and descriptor mode."""
    transfer = instruction.transfer
    assert transfer is not None
    kind = {"hwdge": "DynamicHW", "swdge": "Dynamic", "none": "Static"}[transfer.dge]
    return transfer.queue or f"q{instruction.engine.capitalize()}{kind}"


def _kind(instruction: Instruction, cost: Cost, banks: tuple[int, ...]) -> int:
    if instruction.transfer is not None:
        return TRANSFER
    if instruction.engine == "tensor" and cost.load_ns:
        return TENSOR
    if instruction.engine == "scalar" and cost.table:
        return SCALAR
    return SHARED if cost.exclusive or banks else PLAIN


def _banks(instruction: Instruction, placement: Placement, unit: int) -> tuple[int, ...]:
    """PSUM banks an instruction touches."""
    touched: set[int] = set()
    for region in (*instruction.reads, *instruction.writes):
        banks = placement.banks.get(region.tensor)
        if banks:
            touched.update(banks[region.byte0 // unit : (region.byte1 - 1) // unit + 1])
    return tuple(touched)


def _add_edges(plan: Plan, base: int, edges: Edges) -> None:
    count = len(edges.waits)
    out: list[list[int]] = [[] for _ in range(count)]
    order_out: list[list[int]] = [[] for _ in range(count)]
    for index in range(count):
        for producer in edges.waits[index]:
            out[producer].append(base + index)
        for producer in edges.orders[index]:
            order_out[producer].append(base + index)
    plan.out.extend(out)
    plan.order_out.extend(order_out)
    plan.waits.extend(map(len, edges.waits))
    plan.orders.extend(map(len, edges.orders))


def _pair_up(plan: Plan) -> None:
    """Match each exchange with the other core's; one that nobody answers waits for nobody."""
    plan.partner = [-1] * len(plan.instructions)
    open_ends: dict[int, int] = {}
    for g, instruction in enumerate(plan.instructions):
        if instruction.rendezvous is None:
            continue
        other = open_ends.pop(instruction.rendezvous, None)
        if other is None:
            open_ends[instruction.rendezvous] = g
        else:
            plan.partner[g], plan.partner[other] = other, g
