"""Does a core's program fit? Live SBUF and PSUM bytes per partition in program order, and the limits."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.errors import KernelRefused
from simulator.machine.facts import machine
from simulator.trace import Instruction, Tensor, Trace


def check_capacity(trace: Trace, *, may_spill: bool = False) -> None:
    """Refuse a kernel whose live tensors exceed SBUF or PSUM at any instruction, whoever places them.

    With `may_spill` (the first dialect, whose compiler reorders and spills) that is a warning.
    """
    onchip = machine(trace.target).onchip
    limits = {
        "sbuf": int(onchip.sbuf_partition_bytes),
        "psum": int(onchip.psum_banks * onchip.psum_bank_bytes),
    }
    for instructions in trace.cores:
        for memory, limit in limits.items():
            peak, index = peak_of(instructions, trace.tensors, memory)
            if peak > limit and may_spill:
                trace.warnings.append(_spilled(trace, instructions[index], memory, peak, limit))
            elif peak > limit:
                raise _refusal(trace, instructions[index], memory, peak, limit)


def peak_of(instructions: Sequence[Instruction], tensors: Sequence[Tensor], memory: str) -> tuple[int, int]:
    """(largest live bytes per partition, index of the instruction that reaches it).

    A tensor lives from its first to its last use, and loading it is no use: a compiler moves loads down to
    what needs them. Tensors at an author's address overlap as the author says, so they count once, by the
    highest byte they reach.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    loaded: dict[int, int] = {}
    wanted = [t.memory == memory for t in tensors]
    for instruction in instructions:
        begun = first if instruction.transfer is None else loaded
        for uses, regions in ((first, instruction.reads), (begun, instruction.writes)):
            for region in regions:
                if wanted[region.tensor]:
                    uses.setdefault(region.tensor, instruction.index)
                    last[region.tensor] = instruction.index
    first = loaded | first
    fixed = max(
        (t.address[1] + t.bytes_per_row for t in tensors if t.id in first and t.address is not None),
        default=0,
    )
    changes = [(i, tensors[t].bytes_per_row) for t, i in first.items() if tensors[t].address is None]
    changes += [(i + 1, -tensors[t].bytes_per_row) for t, i in last.items() if tensors[t].address is None]
    peak, where, live = fixed, 0, fixed
    for index, change in sorted(changes):
        live += change
        if live > peak:
            peak, where = live, index
    return peak, where


def _spilled(trace: Trace, instruction: Instruction, memory: str, peak: int, limit: int) -> str:
    source = trace.sources[instruction.source]
    return (
        f"{source.file}:{source.line}: as written, {peak:,} bytes per partition of {memory.upper()} are live "
        f"and {trace.target} has {limit:,}: the compiler reorders or spills, which the times leave out"
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
