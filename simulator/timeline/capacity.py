"""Where SBUF and PSUM run out: an allocation that must wait for the memory of dead tensors.

Tensors are placed in program order. A new one takes memory never used, then that of the tensor dead longest
(the compiler's address rotation); the instructions that write it first then wait for the last users of what
it replaces. So prefetch reaches as far as memory does, in either scheduling order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from simulator.machine.facts import OnChip
from simulator.trace import Instruction, Tensor


@dataclass(slots=True)
class Placement:
    """Outcome for one core. `waits[tensor]` are instructions whose completion frees what the tensor reuses.

    `banks[tensor]` are the PSUM banks of a PSUM tensor. Peaks are of the program's live sets.
    """

    waits: dict[int, tuple[int, ...]] = field(default_factory=dict)
    banks: dict[int, tuple[int, ...]] = field(default_factory=dict)
    sbuf_peak_bytes: int = 0
    psum_peak_banks: int = 0


@dataclass(slots=True)
class _Life:
    first: int
    last: int
    users: dict[str, int]


def place(instructions: Sequence[Instruction], tensors: Sequence[Tensor], onchip: OnChip) -> Placement:
    """Place one core's on-chip tensors; see the module's text."""
    lives = _lives(instructions, tensors)
    placement = Placement()
    for memory, size, unit in (
        ("sbuf", int(onchip.sbuf_partition_bytes), 1),
        ("psum", int(onchip.psum_banks), int(onchip.psum_bank_bytes)),
    ):
        members = {t: life for t, life in lives.items() if tensors[t].memory == memory}
        needs = {t: -(-tensors[t].bytes_per_row // unit) for t in members}
        peak = _peak(members, {t: tensors[t].bytes_per_row for t in members})
        if memory == "sbuf":
            placement.sbuf_peak_bytes = peak * int(onchip.partitions)
        else:
            placement.psum_peak_banks = min(size, -(-peak // unit))
        free = {t: life for t, life in members.items() if tensors[t].address is None}
        owned = _rotate(free, needs, size, placement.waits)
        if memory == "psum":
            placement.banks.update(owned)
            placement.banks.update(_addressed_banks(members, tensors, unit))
    return placement


def _lives(instructions: Sequence[Instruction], tensors: Sequence[Tensor]) -> dict[int, _Life]:
    on_chip = {t.id for t in tensors if t.memory != "hbm"}
    lives: dict[int, _Life] = {}
    for index, instruction in enumerate(instructions):
        who = "dma" if instruction.transfer is not None else instruction.engine
        for region in (*instruction.reads, *instruction.writes):
            life = lives.get(region.tensor)
            if life is None:
                if region.tensor not in on_chip:
                    continue
                life = lives[region.tensor] = _Life(index, index, {})
            life.last = index
            life.users[who] = index
    return lives


def _peak(lives: dict[int, _Life], sizes: dict[int, int]) -> int:
    changes = [(life.first, sizes[t]) for t, life in lives.items()]
    changes += [(life.last + 1, -sizes[t]) for t, life in lives.items()]
    peak = live = 0
    for _, change in sorted(changes):
        live += change
        peak = max(peak, live)
    return peak


def _rotate(
    lives: dict[int, _Life], needs: dict[int, int], size: int, waits: dict[int, tuple[int, ...]]
) -> dict[int, tuple[int, ...]]:
    """Hand out units of memory in program order; returns which units each tensor got."""
    order = sorted(lives, key=lambda t: lives[t].first)
    ending = deque(sorted(lives, key=lambda t: lives[t].last))
    free: deque[int] | None = deque(range(size)) if size <= 64 else None
    left = size
    owned: dict[int, tuple[int, ...]] = {}
    for tensor in order:
        need = min(needs[tensor], size)
        replaced: set[int] = set()
        while left < need and ending and lives[ending[0]].last < lives[tensor].first:
            dead = ending.popleft()
            replaced.update(lives[dead].users.values())
            left += min(needs[dead], size)
            if free is not None:
                free.extend(owned[dead])
        if replaced:
            waits[tensor] = tuple(replaced)
        left -= need
        if free is not None:
            owned[tensor] = tuple(free.popleft() if free else (tensor + k) % size for k in range(need))
    return owned


def _addressed_banks(
    lives: dict[int, _Life], tensors: Sequence[Tensor], unit: int
) -> dict[int, tuple[int, ...]]:
    banks = {}
    for t in lives:
        address = tensors[t].address
        if address is not None:
            last = address[1] + max(1, tensors[t].bytes_per_row) - 1
            banks[t] = tuple(range(address[1] // unit, last // unit + 1))
    return banks
