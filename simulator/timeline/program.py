"""A trace's instructions as columns, all cores one after another: the one pass over Python's objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, count
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from simulator.timeline.lists import Array, Lists, from_flat, lists_of
from simulator.timeline.state import ENGINE, LANES, MEMORIES
from simulator.trace import Instruction, Region, Tensor

TRANSFER_LANE = LANES
"""What all transfers run on, as far as dependencies are concerned: they complete in no order."""
_operation, _reads, _writes, _transfer = map(attrgetter, ("operation", "reads", "writes", "transfer"))
_after, _rendezvous, _no_reorder = map(attrgetter, ("after", "rendezvous", "no_reorder"))


class Tensors(NamedTuple):
    """A trace's tensors. `memory` is by `MEMORIES`; `row` and `byte` are an author's address, 0 where
    `placed` says that there is none.
    """

    memory: Array
    bytes_per_row: Array
    placed: Array
    row: Array
    byte: Array


class Uses(NamedTuple):
    """Who touches what. Core c has instructions `base[c]:base[c + 1]`, which touch boxes
    `boxes[c]:boxes[c + 1]`: the distinct regions of the core.

    `lane[i]` is the engine instruction i runs on, or `TRANSFER_LANE`. `reads` and `writes` are lists of boxes
    by instruction; `regions[b]` is a `Region` as five numbers.
    """

    base: Array
    boxes: Array
    lane: Array
    reads: Lists
    writes: Lists
    regions: Array


@dataclass(slots=True)
class Movers:
    """Instructions that start a transfer: their numbers and cores, and the number of what each does.

    `examples` has one of each `kind`. `row` is the first partition of the side that is on the chip, 0 where
    none is.
    """

    instructions: list[Instruction]
    place: Array
    core: Array
    kind: Array
    examples: list[Instruction]
    row: Array


@dataclass(slots=True)
class Program:
    """What the plan needs of the instructions.

    `operation[i]` numbers the distinct operations; `examples` has an instruction of each. `after` is what the
    author asked i to wait for; `exchanges` marks exchanges between cores, `partner` is the other core's half
    or -1. `fence` marks what nothing may pass.
    """

    uses: Uses
    operation: Array
    examples: list[Instruction]
    movers: Movers
    after: Lists
    exchanges: Array
    partner: Array
    fence: Array


def numbered(keys: Iterable[Hashable], size: int) -> tuple[Array, list[int]]:
    """The number of each of `size` keys by first occurrence, and where each number occurs first."""
    numbers: defaultdict[Hashable, int] = defaultdict(count().__next__)
    found = np.fromiter(map(numbers.__getitem__, keys), np.int64, size)
    first = np.empty(len(numbers), dtype=np.int64)
    first[found[::-1]] = np.arange(size)[::-1]
    return found, first.tolist()


def columns(tensors: Sequence[Tensor]) -> Tensors:
    """The tensors of a trace as columns."""
    addresses = [tensor.address or (0, 0) for tensor in tensors]
    row, byte = np.array(addresses, dtype=np.int64).reshape(-1, 2).T.copy()
    return Tensors(
        memory=np.array([MEMORIES[tensor.memory] for tensor in tensors], dtype=np.int64),
        bytes_per_row=np.array([tensor.bytes_per_row for tensor in tensors], dtype=np.int64),
        placed=np.array([tensor.address is not None for tensor in tensors], dtype=np.bool_),
        row=row,
        byte=byte,
    )


def program_of(cores: Sequence[Sequence[Instruction]]) -> Program:
    """The columns of the instructions of all cores."""
    instructions = list(chain.from_iterable(cores))
    base = list(accumulate(map(len, cores), initial=0))
    operation, first = numbered(map(_operation, instructions), len(instructions))
    examples = [instructions[k] for k in first]
    lanes = [ENGINE[i.operation.engine] if i.transfer is None else TRANSFER_LANE for i in examples]
    lane = np.array(lanes, dtype=np.int64)[operation]
    uses = _uses(cores, base, lane)
    exchanges, partner = _partners(instructions)
    return Program(
        uses=uses,
        operation=operation,
        examples=examples,
        movers=_movers(instructions, operation, uses),
        after=_asked(cores, base),
        exchanges=exchanges,
        partner=partner,
        fence=np.fromiter(map(_no_reorder, instructions), np.bool_, len(instructions)),
    )


def _movers(instructions: Sequence[Instruction], operation: Array, uses: Uses) -> Movers:
    moving = np.flatnonzero(uses.lane == TRANSFER_LANE)
    movers = [instructions[k] for k in moving.tolist()]
    keys = zip(operation[moving].tolist(), map(id, map(_transfer, movers)), strict=True)
    kind, first = numbered(keys, len(movers))
    examples = [movers[k] for k in first]
    stores = np.array([stores_from(i) for i in examples], dtype=np.bool_)[kind]
    onchip = np.array([_partitions(i) > 0 for i in examples], dtype=np.bool_)[kind]
    row = np.zeros(len(moving), dtype=np.int64)
    for side, chosen in ((uses.reads, onchip & stores), (uses.writes, onchip & ~stores)):
        chosen &= side.first[moving + 1] > side.first[moving]
        row[chosen] = uses.regions[side.items[side.first[moving[chosen]]], 1]
    core = np.searchsorted(uses.base[1:], moving, side="right")
    return Movers(movers, moving, core, kind, examples, row)


def stores_from(instruction: Instruction) -> bool:
    """Whether it starts a transfer to HBM."""
    return instruction.transfer is not None and instruction.transfer.target_memory == "hbm"


def _partitions(instruction: Instruction) -> int:
    return 0 if instruction.transfer is None else instruction.transfer.partitions


def _uses(cores: Sequence[Sequence[Instruction]], base: Sequence[int], lane: Array) -> Uses:
    number, boxes, regions = count(), [0], list[Iterable[Region]]()
    reads, writes = _Touched(), _Touched()
    for core in cores:
        known = defaultdict[Region, int](number.__next__)
        reads.add(list(map(_reads, core)), known)
        writes.add(list(map(_writes, core)), known)
        boxes.append(boxes[-1] + len(known))
        regions.append(known)
    cells = chain.from_iterable(chain.from_iterable(regions))
    return Uses(
        base=np.array(base, dtype=np.int64),
        boxes=np.array(boxes, dtype=np.int64),
        lane=lane,
        reads=reads.boxes(),
        writes=writes.boxes(),
        regions=np.fromiter(cells, np.int64, 5 * boxes[-1]).reshape(-1, 5),
    )


class _Touched:
    """The boxes instructions read, or write: one after another, and how many each does."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.lengths: list[int] = []

    def add(self, regions: Sequence[tuple[Region, ...]], known: Mapping[Region, int]) -> None:
        """Those of a core's instructions."""
        self.lengths += map(len, regions)
        self.items += map(known.__getitem__, chain.from_iterable(regions))

    def boxes(self) -> Lists:
        """Lists of boxes by instruction."""
        return from_flat(self.lengths, self.items)


def _asked(cores: Sequence[Sequence[Instruction]], base: Sequence[int]) -> Lists:
    """What the author asked each instruction to wait for."""
    found = [list(map(_after, core)) for core in cores]
    if all(each.count(()) == len(each) for each in found):
        return Lists(np.zeros(base[-1] + 1, dtype=np.int64), np.empty(0, dtype=np.int64))
    return lists_of(
        [[start + k for k in each] for start, core in zip(base, found, strict=False) for each in core]
    )


def _partners(instructions: Sequence[Instruction]) -> tuple[Array, Array]:
    """Which instructions are exchanges, and the other core's half of each.

    One that nobody answers has none, -1, and waits for nobody.
    """
    partner = np.full(len(instructions), -1, dtype=np.int64)
    exchanges = np.zeros(len(instructions), dtype=np.bool_)
    numbers = list(map(_rendezvous, instructions))
    if numbers.count(None) == len(numbers):
        return exchanges, partner
    open_ends: dict[int, int] = {}
    for g, rendezvous in enumerate(numbers):
        if rendezvous is None:
            continue
        exchanges[g] = True
        other = open_ends.pop(rendezvous, None)
        if other is None:
            open_ends[rendezvous] = g
        else:
            partner[g], partner[other] = other, g
    return exchanges, partner
