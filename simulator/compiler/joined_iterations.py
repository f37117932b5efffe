"""Small operations that iterations of a loop do each on their own become one over all of them.

Source: the public profiles of allenkchau/trainium-kernel-fusion (attention, trn2, neuron-profile 2.28). The
row maxima that each iteration reduces from [128, 2] are one TENSOR_REDUCE "src[1,2][2,8]" of eight
iterations, and so are the sums and reciprocals; everything before it in those iterations then comes before
everything behind it. How many iterations: as many as have the tiles they need on the chip at once (of the
fused kernel of 1024 tokens four, whose scores fill the eight banks of PSUM; of the baseline all eight).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush

from simulator.compiler.renumbered import renumbered
from simulator.machine.facts import OnChip, machine
from simulator.nki.capacity import peak_of, uses_of
from simulator.timeline.dependencies import with_memory_for_all
from simulator.trace import Instruction, Tensor, Trace

LARGEST = 512
"""Elements of the largest operation made so: the free size of a tile (NKI docs, nl.tile_size)."""
CALLS = frozenset({"tensor_reduce", "reciprocal"})
"""Those the profiles show; operations with an operand per partition stay apart, which one tile has each."""


def joined_iterations(trace: Trace) -> Trace:
    """The trace with such operations joined, and its program in the order that follows."""
    onchip = machine(trace.target).onchip
    return replace(trace, cores=[_core(core, trace.tensors, onchip) for core in trace.cores])


def _core(core: list[Instruction], tensors: Sequence[Tensor], onchip: OnChip) -> list[Instruction]:
    if not any(_small(instruction) for instruction in core):
        return core
    edges = with_memory_for_all(core, tensors)
    before = [waits | orders for waits, orders in zip(edges.waits.sets(), edges.orders.sets(), strict=True)]
    room = int(onchip.sbuf_partition_bytes)
    while room > 0:
        groups = _groups(core, tensors, _Room(room, int(onchip.psum_banks), int(onchip.psum_bank_bytes)))
        if not groups:
            return core
        ordered = _ordered(core, before, groups)
        if ordered is not None and _fits(ordered, tensors, onchip):
            return ordered
        room //= 2
    return core


def _fits(program: Sequence[Instruction], tensors: Sequence[Tensor], onchip: OnChip) -> bool:
    return peak_of(uses_of(program), tensors, "sbuf")[0] <= onchip.sbuf_partition_bytes


def _small(instruction: Instruction) -> bool:
    few = 2 * instruction.elements <= LARGEST
    return (
        instruction.call in CALLS
        and few
        and not instruction.no_reorder
        and "psum" not in instruction.memories
    )


@dataclass(slots=True)
class _Room:
    """What iterations that are under way together may hold: bytes per partition of SBUF, banks of PSUM."""

    sbuf: int
    banks: int
    bank_bytes: int

    def holds(self, tiles: Iterable[int], tensors: Sequence[Tensor]) -> bool:
        """Whether all these tensors fit."""
        sbuf = banks = 0
        for tile in tiles:
            size = tensors[tile].bytes_per_row
            if tensors[tile].memory == "sbuf":
                sbuf += size
            elif tensors[tile].memory == "psum":
                banks += -(-size // self.bank_bytes)
        return sbuf <= self.sbuf and banks <= self.banks


@dataclass(slots=True)
class _Group:
    """Operations that may become one, and the tiles their iterations hold until then."""

    members: list[int] = field(default_factory=list)
    tiles: set[int] = field(default_factory=set)
    elements: int = 0


def _groups(core: Sequence[Instruction], tensors: Sequence[Tensor], room: _Room) -> list[list[int]]:
    """Operations of the same line that follow each other, as many as there is room for."""
    made_of = _made_of(core, tensors)
    done: list[_Group] = []
    growing: dict[tuple[object, ...], _Group] = {}
    for instruction in core:
        if not _small(instruction):
            continue
        key = (
            instruction.source,
            instruction.call,
            instruction.engine,
            instruction.elements,
            instruction.dtypes,
        )
        tiles = made_of[instruction.reads[0].tensor]
        group = growing.setdefault(key, _Group())
        fits = group.elements + instruction.elements <= LARGEST and room.holds(group.tiles | tiles, tensors)
        if group.members and not fits:
            done.append(group)
            group = growing[key] = _Group()
        group.members.append(instruction.index)
        group.tiles |= tiles
        group.elements += instruction.elements
    return [group.members for group in (*done, *growing.values()) if len(group.members) > 1]


def _made_of(core: Sequence[Instruction], tensors: Sequence[Tensor]) -> dict[int, set[int]]:
    """The on-chip tensors that each on-chip tensor was computed from, itself among them."""
    found: dict[int, set[int]] = {}
    for instruction in core:
        sources = {r.tensor for r in instruction.reads if tensors[r.tensor].memory != "hbm"}
        for region in instruction.writes:
            if tensors[region.tensor].memory != "hbm":
                mine = found.setdefault(region.tensor, {region.tensor})
                mine.update(*(found.get(s, {s}) for s in sources))
    return found


def _ordered(
    core: Sequence[Instruction], before: Sequence[set[int]], groups: Sequence[Sequence[int]]
) -> list[Instruction] | None:
    """The program with each group as one operation, in program order as far as data allow; None if they
    depend on each other.
    """
    into = {member: group[-1] for group in groups for member in group[:-1]}
    needs: dict[int, set[int]] = {i.index: set() for i in core if i.index not in into}
    for index, producers in enumerate(before):
        mine = into.get(index, index)
        needs[mine].update(into.get(p, p) for p in producers)
    blocked = {index: len(found - {index}) for index, found in needs.items()}
    users: dict[int, list[int]] = {index: [] for index in needs}
    for index, found in needs.items():
        for producer in found - {index}:
            users[producer].append(index)
    ready = [index for index, count in blocked.items() if not count]
    heapify(ready)
    order: list[int] = []
    while ready:
        index = heappop(ready)
        order.append(index)
        for user in users[index]:
            blocked[user] -= 1
            if not blocked[user]:
                heappush(ready, user)
    if len(order) != len(needs):
        return None
    joined = {group[-1]: _joined([core[m] for m in group]) for group in groups}
    return renumbered([joined.get(index, core[index]) for index in order], joined=into)


def _joined(members: Sequence[Instruction]) -> Instruction:
    last = members[-1]
    return replace(
        last,
        operation=replace(last.operation, elements=sum(member.elements for member in members)),
        reads=tuple(region for member in members for region in member.reads),
        writes=tuple(region for member in members for region in member.writes),
        after=tuple(dict.fromkeys(a for member in members for a in member.after)),
    )
