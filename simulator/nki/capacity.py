"""Does a core's program fit? Live SBUF and PSUM bytes per partition in program order, and the limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.errors import KernelRefused
from simulator.machine.facts import machine
from simulator.trace import Instruction, Tensor, Trace


def check_capacity(trace: Trace, *, may_spill: bool = False) -> None:
    """Refuse a kernel whose live tensors exceed SBUF or PSUM at any instruction, whoever places them.

    With `may_spill` (the first dialect, whose compiler reorders and spills) only PSUM is looked at, which is
    never spilled to HBM, and that is a warning; `simulator.compiler.spills` does what SBUF needs.
    """
    onchip = machine(trace.target).onchip
    limits = {
        "sbuf": int(onchip.sbuf_partition_bytes),
        "psum": int(onchip.psum_banks * onchip.psum_bank_bytes),
    }
    for core, instructions in enumerate(trace.cores):
        tight = [memory for memory, limit in limits.items() if _together(trace, core, memory) > limit]
        uses = uses_of(instructions) if tight else Uses({}, {})
        for memory in tight:
            limit = limits[memory]
            peak, index = peak_of(uses, trace.tensors, memory)
            if may_spill and memory == "sbuf":
                continue
            if peak > limit and may_spill:
                trace.warnings.append(_reordered(trace, instructions[index], memory, peak, limit))
            elif peak > limit:
                raise _refusal(trace, instructions[index], memory, peak, limit)


def _together(trace: Trace, core: int, memory: str) -> int:
    """Bytes per partition were all tensors of a core live at once."""
    there = [t for t in trace.tensors if t.memory == memory and t.core == core]
    fixed = max((t.address[1] + t.bytes_per_row for t in there if t.address is not None), default=0)
    return fixed + sum([t.bytes_per_row for t in there if t.address is None])


@dataclass(frozen=True, slots=True)
class Uses:
    """Index of the first and of the last instruction that uses each tensor of a program.

    Loading a tensor is no first use: a compiler moves loads down to what needs them.
    """

    first: dict[int, int]
    last: dict[int, int]


def uses_of(instructions: Sequence[Instruction]) -> Uses:
    """The uses of a core's program."""
    rows = list(enumerate(instructions))
    last = {region[0]: at for at, i in rows for region in i.reads + i.writes}
    rows.reverse()
    first = {r[0]: at for at, i in rows for r in (i.reads + i.writes if i.transfer is None else i.reads)}
    loaded = {region[0]: at for at, i in rows if i.transfer is not None for region in i.writes}
    return Uses(loaded | first, last)


def peak_of(uses: Uses, tensors: Sequence[Tensor], memory: str) -> tuple[int, int]:
    """(largest live bytes per partition, index of the instruction that reaches it).

    A tensor lives from its first to its last use. Tensors at an author's address overlap as the author says,
    so they count once, by the highest byte they reach.
    """
    there = [tensors[t] for t in uses.first if tensors[t].memory == memory]
    fixed = max((t.address[1] + t.bytes_per_row for t in there if t.address is not None), default=0)
    changes = [(uses.first[t.id], t.bytes_per_row) for t in there if t.address is None]
    changes += [(uses.last[t.id] + 1, -t.bytes_per_row) for t in there if t.address is None]
    peak, where, live = fixed, 0, fixed
    for index, change in sorted(changes):
        live += change
        if live > peak:
            peak, where = live, index
    return peak, where


def _reordered(trace: Trace, instruction: Instruction, memory: str, peak: int, limit: int) -> str:
    source = trace.sources[instruction.source]
    return (
        f"{source.file}:{source.line}: as written, {peak:,} bytes per partition of {memory.upper()} are live "
        f"and {trace.target} has {limit:,}: the compiler reorders, which the times leave out"
    )


def _refusal(trace: Trace, instruction: Instruction, memory: str, peak: int, limit: int) -> KernelRefused:
    source = trace.sources[instruction.source]
    return KernelRefused(
        f"{peak:,} bytes per partition of {memory.upper()} are live here and {trace.target} has {limit:,}",
        "use smaller tiles, or fewer buffers at a time",
        rule=f"{memory}-capacity",
        file=source.file,
        line=source.line,
    )
