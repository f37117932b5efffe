"""Where SBUF and PSUM run out: an allocation that must wait for the memory of dead tensors.

Tensors are placed in program order. A new one takes memory never used, then that of the tensor dead longest
(the compiler's address rotation); the instructions that write it first then wait for the last users of what
it replaces. So prefetch reaches as far as memory does, in either scheduling order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulator.machine.facts import OnChip
from simulator.timeline.compiled import entry, part
from simulator.timeline.lists import Array
from simulator.timeline.program import TRANSFER_LANE, Tensors, Uses
from simulator.timeline.state import MEMORIES

_SBUF, _PSUM = MEMORIES["sbuf"], MEMORIES["psum"]


class Placement(NamedTuple):
    """Where tensors went. A core's tensors follow the previous core's, as many as the trace has.

    Tensor t reuses the memory of `gone[reuses[t, 0]:reuses[t, 1]]`, whose last users by lane are `users[t]`,
    -1 for none. Where no author chose them it got `banks[t]` PSUM banks, which are `units[t]`. `peaks` are of
    each core's live sets: bytes per partition of SBUF, then of PSUM.
    """

    reuses: Array
    gone: Array
    users: Array
    banks: Array
    units: Array
    peaks: Array


class Lives(NamedTuple):
    """When on-chip tensors live: from `first[t]` to `last[t]`. `births` and `deaths` list a core's, by time;
    The others are to work in.
    """

    first: Array
    last: Array
    births: Array
    deaths: Array
    new: Array
    stock: Array
    head: Array
    behind: Array


class Memory(NamedTuple):
    """Sizes of what is handed out: bytes of SBUF per partition, PSUM banks, bytes of a bank."""

    sbuf: int
    banks: int
    bank: int


def anywhere(cores: int, tensors: int, banks: int = 0) -> Placement:
    """The placement of tensors in memory that never runs out; room for `banks` units each."""
    every = cores * tensors
    return Placement(
        reuses=np.zeros((every, 2), dtype=np.int64),
        gone=np.empty(every, dtype=np.int64),
        users=np.full((every, TRANSFER_LANE + 1), -1, dtype=np.int64),
        banks=np.zeros(every, dtype=np.int64),
        units=np.empty((every, banks), dtype=np.int64),
        peaks=np.zeros((cores, 2), dtype=np.int64),
    )


def place(uses: Uses, tensors: Tensors, onchip: OnChip) -> Placement:
    """Place every core's on-chip tensors; see the module's text."""
    count, cores = len(tensors.memory), len(uses.base) - 1
    memory = Memory(int(onchip.sbuf_partition_bytes), int(onchip.psum_banks), int(onchip.psum_bank_bytes))
    made = anywhere(cores, count, memory.banks)
    births, deaths, new = np.empty((3, count), dtype=np.int64)
    first, last, behind = np.full((3, cores * count), -1, dtype=np.int64)
    stock, head = np.empty((count + 1) * memory.banks, np.int64), np.full(len(uses.lane), -1)
    hand_out(uses, tensors, memory, Lives(first, last, births, deaths, new, stock, head, behind), made)
    return made


@entry
def hand_out(uses: Uses, tensors: Tensors, memory: Memory, lives: Lives, made: Placement) -> None:
    """Hand out the memories of every core in program order."""
    gone = 0
    for core in range(len(uses.base) - 1):
        count = _live(uses, tensors, lives, made.users, core)
        made.peaks[core, 0] = _peak(tensors, lives, _SBUF, count)
        made.peaks[core, 1] = _peak(tensors, lives, _PSUM, count)
        gone = _rotate(tensors, lives, made, _SBUF, count, memory.sbuf, 1, gone)
        gone = _rotate(tensors, lives, made, _PSUM, count, memory.banks, memory.bank, gone)


@part
def _live(uses: Uses, tensors: Tensors, lives: Lives, users: Array, core: int) -> int:
    """List births and deaths of a core's tensors, and their last users; returns how many there are.

    Those born at once are in the order of their numbers, those that die at once in the order of birth.
    """
    count, used = len(tensors.memory), 0
    for i in range(uses.base[core], uses.base[core + 1]):
        for each in (uses.reads, uses.writes):
            for at in range(each.first[i], each.first[i + 1]):
                t = core * count + uses.regions[each.items[at], 0]
                if lives.first[t] < 0:
                    lives.first[t] = i
                lives.last[t] = i
                users[t, uses.lane[i]] = i
    for t in range(core * count, (core + 1) * count):
        kind = tensors.memory[t - core * count]
        if lives.first[t] >= 0 and kind in (_SBUF, _PSUM):
            lives.new[used] = t
            used += 1
    start, end = uses.base[core], uses.base[core + 1]
    _sort(lives, lives.new, used, lives.first, start, end, lives.births)
    _sort(lives, lives.births, used, lives.last, start, end, lives.deaths)
    return used


@part
def _sort(lives: Lives, items: Array, count: int, time: Array, start: int, end: int, out: Array) -> None:
    """Items by their times, which are from `start` to `end`; those of the same time stay in their order."""
    for k in range(count - 1, -1, -1):
        at = time[items[k]]
        lives.behind[items[k]] = lives.head[at]
        lives.head[at] = items[k]
    found = 0
    for at in range(start, end):
        item = lives.head[at]
        lives.head[at] = -1
        while item >= 0:
            out[found] = item
            found += 1
            item = lives.behind[item]


@part
def _peak(tensors: Tensors, lives: Lives, kind: int, count: int) -> int:
    """The largest sum of bytes per partition live at once in one memory."""
    dead = live = peak = 0
    for k in range(count):
        born = lives.births[k]
        while lives.last[lives.deaths[dead]] < lives.first[born]:
            live -= _size(tensors, lives.deaths[dead], kind)
            dead += 1
        live += _size(tensors, born, kind)
        peak = max(peak, live)
    return peak


@part
def _size(tensors: Tensors, t: int, kind: int) -> int:
    tensor = t % len(tensors.memory)
    return tensors.bytes_per_row[tensor] if tensors.memory[tensor] == kind else 0


@part
def _free(tensors: Tensors, kind: int, count: int, items: Array, out: Array, to: int) -> int:
    """Put the items that lie in one memory, where no author put them, into `out`; returns where they end."""
    for k in range(count):
        tensor = items[k] % len(tensors.memory)
        if tensors.memory[tensor] == kind and not tensors.placed[tensor]:
            out[to] = items[k]
            to += 1
    return to


@part
def _rotate(
    tensors: Tensors, lives: Lives, made: Placement, kind: int, count: int, size: int, unit: int, start: int
) -> int:
    """Hand out `size` units of one memory; `gone` is filled from `start` to what is returned."""
    end = _free(tensors, kind, count, lives.deaths, made.gone, start)
    born = _free(tensors, kind, count, lives.births, lives.new, 0)
    named = kind == _PSUM
    for k in range(size if named else 0):
        lives.stock[k] = k
    left, put, took, dead = size, size, 0, start
    for k in range(born):
        t = lives.new[k]
        need = _need(tensors, t, size, unit)
        made.reuses[t, 0] = dead
        while left < need and dead < end and lives.last[made.gone[dead]] < lives.first[t]:
            gone = made.gone[dead]
            dead += 1
            left += _need(tensors, gone, size, unit)
            for at in range(made.banks[gone]):
                lives.stock[put] = made.units[gone, at]
                put += 1
        made.reuses[t, 1] = dead
        left -= need
        if named:
            made.banks[t] = need
            for at in range(need):
                if took < put:
                    made.units[t, at] = lives.stock[took]
                    took += 1
                else:
                    made.units[t, at] = (t % len(tensors.memory) + at) % size
    return end


@part
def _need(tensors: Tensors, t: int, size: int, unit: int) -> int:
    need: int = -(-tensors.bytes_per_row[t % len(tensors.memory)] // unit)
    return min(size, need)


@part
def banks_of(uses: Uses, tensors: Tensors, made: Placement, core: int, box: int, bank: int) -> int:
    """The PSUM banks of a box, a bit each; `bank` is their size."""
    tensor = uses.regions[box, 0]
    if tensors.memory[tensor] != _PSUM:
        return 0
    t, bits = core * len(tensors.memory) + tensor, 0
    placed, byte = tensors.placed[tensor], tensors.byte[tensor]
    end = (byte + max(1, tensors.bytes_per_row[tensor]) - 1) // bank - byte // bank + 1
    if not placed:
        end = made.banks[t]
    last = (uses.regions[box, 4] - 1) // bank + 1
    for at in range(uses.regions[box, 3] // bank, min(last, end)):
        bits |= 1 << (byte // bank + at if placed else made.units[t, at])
    return bits
