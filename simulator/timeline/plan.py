"""Everything about a trace that both schedules need, as flat lists: engines, costs, edges."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.costs.cost import Cost
from simulator.costs.dma import Movement, movement
from simulator.costs.table import CostTable
from simulator.machine.facts import Machine, machine
from simulator.pause import collector_paused
from simulator.timeline.boxes import find_boxes
from simulator.timeline.capacity import Placement, place
from simulator.timeline.dependencies import Edges, find_edges
from simulator.trace import ENGINES, Instruction, Trace

PLAIN, TENSOR, SCALAR, TRANSFER = range(4)
"""Kinds of instruction the event loop tells apart, in the order of its starters."""


@dataclass(slots=True)
class Plan:
    """A trace made ready for scheduling. Instruction g is `instructions[g]`, cores one after another.

    `lane[g]` is its engine's number over both cores. `out[g]` wait for g's result, `order_out[g]` only for
    its issue; `waits[g]` and `orders[g]` count the way in. `semaphore_ns[g]` and `transfer_ns[g]` are what
    g adds after a producer that is an instruction or a transfer. `partner[g]` is the other core's half of
    an exchange, or -1. `fence[g]` says whether nothing may pass it; `reload[g]` numbers the weights a matmul
    needs, -1 where it has none.
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
    reload: list[int] = field(default_factory=list)
    fence: list[bool] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)


def prepare(trace: Trace) -> Plan:
    """The plan of a trace on its target's machine."""
    table = machine(trace.target)
    base = [0]
    for rows in trace.cores:
        base.append(base[-1] + len(rows))
    plan = Plan(trace, table, base)
    costs = CostTable(table)
    with collector_paused():
        for core, instructions in enumerate(trace.cores):
            boxes = find_boxes(instructions, trace.tensors)
            placement = place(boxes, trace.tensors, table.onchip)
            plan.placements.append(placement)
            _add_costs(plan, core, instructions, costs, placement)
            plan.reload += [
                reads[0] if reads and i.operation.call == "nc_matmul" else -1
                for i, reads in zip(instructions, boxes.reads, strict=True)
            ]
            _add_edges(plan, base[core], find_edges(instructions, boxes, placement))
    _pair_up(plan)
    return plan


def _add_costs(
    plan: Plan, core: int, instructions: list[Instruction], costs: CostTable, placement: Placement
) -> None:
    first_lane = core * len(ENGINES)
    lanes = {name: first_lane + k for k, name in enumerate(ENGINES)}
    semaphores = plan.machine.semaphores
    unit = int(plan.machine.onchip.psum_bank_bytes)
    into = dict[str, float].fromkeys(ENGINES, semaphores.engine_ns) | {"tensor": semaphores.tensor_ns}
    moved = _movements(plan.machine, instructions)
    cost = [
        costs(i) if m is None else Cost(m.issue_ns, m.printed_ns)
        for i, m in zip(instructions, moved, strict=True)
    ]
    banks = [_banks(i, placement, unit) if i.transfer is None else () for i in instructions]
    engines = [i.operation.engine for i in instructions]
    plan.instructions += instructions
    plan.lane += [lanes[engine] for engine in engines]
    plan.movement += moved
    plan.cost += cost
    plan.banks += banks
    plan.kind += [_kind(i, c) for i, c in zip(instructions, cost, strict=True)]
    plan.queue += ["" if m is None else queue_name(i) for i, m in zip(instructions, moved, strict=True)]
    plan.stores += [i.transfer is not None and i.transfer.target_memory == "hbm" for i in instructions]
    plan.semaphore_ns += [into[engine] for engine in engines]
    plan.transfer_ns += [
        semaphores.transfer_ns if m is None else semaphores.transfer_to_trigger_ns for m in moved
    ]
    plan.fence += [i.no_reorder for i in instructions]


def _movements(machine: Machine, instructions: list[Instruction]) -> list[Movement | None]:
    """The movement of each transfer; it depends on what is moved and on the partitions that takes part."""
    known: dict[tuple[object, ...], Movement] = {}
    moved: list[Movement | None] = []
    for instruction in instructions:
        found = None
        if instruction.transfer is not None:
            rows = [region.row0 for region in instruction.reads + instruction.writes]
            kind = (instruction.transfer, len(instruction.reads), *rows)
            found = known.get(kind)
            if found is None:
                found = known[kind] = movement(machine, instruction)
        moved.append(found)
    return moved


def queue_name(instruction: Instruction) -> str:
    """The transfer's own queue name, or one per triggering engine and descriptor mode."""
    transfer = instruction.transfer
    assert transfer is not None
    kind = {"hwdge": "DynamicHW", "swdge": "Dynamic", "none": "Static"}[transfer.dge]
    return transfer.queue or f"q{instruction.engine.capitalize()}{kind}"


def _kind(instruction: Instruction, cost: Cost) -> int:
    if instruction.transfer is not None:
        return TRANSFER
    if cost.load_ns and instruction.engine == "tensor":
        return TENSOR
    return SCALAR if cost.table and instruction.engine == "scalar" else PLAIN


def _banks(instruction: Instruction, placement: Placement, unit: int) -> tuple[int, ...]:
    """PSUM banks an instruction touches."""
    found: tuple[int, ...] = ()
    if "psum" not in instruction.operation.memories:
        return found
    for region in instruction.writes + instruction.reads:
        banks = placement.banks.get(region[0])
        if banks:
            touched = banks[region[3] // unit : (region[4] - 1) // unit + 1]
            found = touched if not found else tuple({*found, *touched})
    return found


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
