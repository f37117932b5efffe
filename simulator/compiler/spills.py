"""What does not fit into SBUF is saved to HBM and loaded again: the spilling of the first dialect's compiler.

NKI's release notes and Neuron Explorer's glossary describe it (`spill_save_bytes`, `spill_reload_bytes`,
queues named SpillReload); which tile a compiler spills is not published. Assumed here: in program order,
where room is short, the tile whose next use is farthest (Belady's rule, the fewest reloads any choice can
have). Loads move down to what needs them first. A tile that holds nothing but what was loaded is loaded again
and needs no saving. The current dialect spills nothing: there a kernel that does not fit is refused.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from simulator.compiler.renumbered import renumbered
from simulator.errors import KernelRefused
from simulator.machine.facts import machine
from simulator.nki.capacity import peak_of, uses_of
from simulator.trace import Engine, Instruction, Operation, Region, Source, Tensor, Trace, Transfer

SAVE, RELOAD = "spill_save", "spill_reload"
SPILLS = (f"{SAVE}_bytes", f"{RELOAD}_bytes")
"""Neuron Explorer's names for what spilling moves."""
_ENGINES: dict[str, Engine] = {SAVE: "scalar", RELOAD: "sync"}
"""As public profiles show for a kernel's own tensors in HBM: stores from ScalarE, loads from SyncE."""
_NEVER = 1 << 60
_NAMED = 5


def spilled(trace: Trace) -> Trace:
    """The trace with what it needs to fit into SBUF saved and loaded again, and a warning that names it."""
    room = int(machine(trace.target).onchip.sbuf_partition_bytes)
    if all(peak_of(uses_of(core), trace.tensors, "sbuf")[0] <= room for core in trace.cores):
        return trace
    tensors = list(trace.tensors)
    warnings = list(trace.warnings)
    cores = []
    for core in trace.cores:
        spilling = _Spilling(core, tensors, room, trace.sources)
        cores.append(renumbered(list(spilling.program())))
        if spilling.evicted:
            warnings.append(_told(trace, spilling))
    return replace(trace, cores=cores, tensors=tensors, warnings=warnings)


@dataclass(slots=True)
class _Spilling:
    """One core's program made to fit. `evicted` are the tensors that were, with how often.

    `now[tensor]` is the tensor that holds its value, `home[tensor]` where in HBM it is saved; `loader` is the
    load of a tile nothing else writes.
    """

    core: Sequence[Instruction]
    tensors: list[Tensor]
    room: int
    sources: Sequence[Source]
    evicted: dict[int, int] = field(default_factory=dict)
    saved_bytes: int = 0
    reloaded_bytes: int = 0
    now: dict[int, int] = field(default_factory=dict)
    home: dict[int, int] = field(default_factory=dict)
    resident: dict[int, None] = field(default_factory=dict)
    clean: set[int] = field(default_factory=set)
    loader: dict[int, Instruction] = field(default_factory=dict)
    uses: dict[int, list[int]] = field(default_factory=dict)
    _made: int = 0

    def program(self) -> Iterator[Instruction]:
        """The instructions in order, with saves and reloads among them."""
        self._look_ahead()
        for at, instruction in enumerate(self.core):
            wanted = self._spillable(instruction)
            if len(wanted) == 1 and self.loader.get(wanted[0]) is instruction:
                continue
            yield from self._make_room(at, wanted)
            yield self._placed(instruction)
            written = {r.tensor for r in instruction.writes}
            self.clean.difference_update(written)
            for tensor in wanted:
                if self._next_use(tensor, at) == _NEVER:
                    self.resident.pop(tensor, None)

    def _look_ahead(self) -> None:
        """Where every tile is used, and which are only ever loaded."""
        self.room -= max(self._addressed(), default=0)
        writers: dict[int, list[Instruction]] = {}
        for instruction in self.core:
            for region in instruction.writes:
                writers.setdefault(region.tensor, []).append(instruction)
        self.loader = {
            tensor: by[0] for tensor, by in writers.items() if len(by) == 1 and self._loads(by[0], tensor)
        }
        for at, instruction in enumerate(self.core):
            for tensor in self._spillable(instruction):
                if self.loader.get(tensor) is not instruction:
                    self.uses.setdefault(tensor, []).append(at)

    def _addressed(self) -> Iterator[int]:
        """The bytes of a partition that tensors at an author's address reach to."""
        for tensor in {r.tensor for i in self.core for r in (*i.reads, *i.writes)}:
            found = self.tensors[tensor]
            if found.memory == "sbuf" and found.address is not None:
                yield found.address[1] + found.bytes_per_row

    def _loads(self, instruction: Instruction, tensor: int) -> bool:
        """Whether an instruction does nothing but fill a tile from memory that nobody writes meanwhile."""
        transfer = instruction.transfer
        if transfer is None or transfer.source_memory != "hbm" or len(instruction.writes) != 1:
            return False
        return all(self.tensors[r.tensor].role == "input" for r in instruction.reads) and (
            self._free(tensor) and not instruction.no_reorder
        )

    def _free(self, tensor: int) -> bool:
        found = self.tensors[tensor]
        return found.memory == "sbuf" and found.address is None

    def _spillable(self, instruction: Instruction) -> list[int]:
        """On-chip tensors the compiler places, in the order an instruction names them."""
        regions = (*instruction.reads, *instruction.writes)
        return list(dict.fromkeys(r.tensor for r in regions if self._free(r.tensor)))

    def _next_use(self, tensor: int, at: int) -> int:
        uses = self.uses.get(tensor, [])
        after = bisect_right(uses, at)
        return uses[after] if after < len(uses) else _NEVER

    def _make_room(self, at: int, wanted: Sequence[int]) -> Iterator[Instruction]:
        coming = [tensor for tensor in wanted if tensor not in self.resident]
        need = sum(self.tensors[t].bytes_per_row for t in (*self.resident, *coming))
        while need > self.room:
            others = [t for t in self.resident if t not in wanted]
            if not others:
                raise self._too_large(at, need)
            victim = max(others, key=lambda t: (self._next_use(t, at), t in self.clean))
            need -= self.tensors[victim].bytes_per_row
            yield from self._evict(victim)
        for tensor in coming:
            yield from self._bring(tensor)

    def _too_large(self, at: int, need: int) -> KernelRefused:
        source = self.sources[self.core[at].source]
        return KernelRefused(
            f"one instruction needs {need:,} bytes per partition of SBUF and there are {self.room:,}",
            "use smaller tiles: what one instruction touches cannot be spilled",
            rule="sbuf-capacity",
            file=source.file,
            line=source.line,
        )

    def _evict(self, tensor: int) -> Iterator[Instruction]:
        del self.resident[tensor]
        self.evicted[tensor] = self.evicted.get(tensor, 0) + 1
        if tensor in self.clean or tensor in self.loader:
            return
        if tensor not in self.home:
            self.home[tensor] = self._new(tensor, "hbm")
        self.clean.add(tensor)
        self.saved_bytes += self._size(tensor)
        yield self._transfer(SAVE, self._region(self._held(tensor)), self._region(self.home[tensor]))

    def _bring(self, tensor: int) -> Iterator[Instruction]:
        """Make a tile resident: its first load, its load again, its saved copy, or nothing before a write."""
        self.resident[tensor] = None
        again = tensor in self.evicted
        if again:
            self.now[tensor] = self._new(tensor, "sbuf")
        if tensor in self.loader:
            yield self._loaded(self.loader[tensor], again=again)
        elif again:
            self.reloaded_bytes += self._size(tensor)
            yield self._transfer(RELOAD, self._region(self.home[tensor]), self._region(self._held(tensor)))

    def _loaded(self, load: Instruction, *, again: bool) -> Instruction:
        if not again:
            return load
        self._made += 1
        assert load.transfer is not None
        self.reloaded_bytes += load.transfer.bytes
        marked = replace(load.operation, attributes={**load.operation.attributes, "spill": RELOAD})
        placed = self._placed(load)
        return replace(placed, operation=marked, index=len(self.core) + self._made)

    def _held(self, tensor: int) -> int:
        return self.now.get(tensor, tensor)

    def _placed(self, instruction: Instruction) -> Instruction:
        def moved(regions: Iterable[Region]) -> tuple[Region, ...]:
            return tuple(r._replace(tensor=self._held(r.tensor)) for r in regions)

        return replace(instruction, reads=moved(instruction.reads), writes=moved(instruction.writes))

    def _new(self, tensor: int, memory: str) -> int:
        """Another place for a tile's value."""
        old = self.tensors[tensor]
        made = replace(old, id=len(self.tensors), name=f"{old.name} (spilled)", role="scratch")
        self.tensors.append(replace(made, memory="hbm") if memory == "hbm" else made)
        return made.id

    def _size(self, tensor: int) -> int:
        return self.tensors[tensor].rows * self.tensors[tensor].bytes_per_row

    def _region(self, tensor: int) -> Region:
        return Region(tensor, 0, self.tensors[tensor].rows, 0, self.tensors[tensor].bytes_per_row)

    def _transfer(self, kind: str, source: Region, target: Region) -> Instruction:
        self._made += 1
        here, there = self.tensors[source.tensor], self.tensors[target.tensor]
        on_chip = here if here.memory == "sbuf" else there
        size = self._size(on_chip.id)
        elements = on_chip.bytes_per_row
        engine = _ENGINES[kind]
        transfer = Transfer(
            bytes=size,
            descriptors=on_chip.rows,
            descriptor_bytes=on_chip.bytes_per_row,
            partitions=on_chip.rows,
            source_memory=here.memory,
            target_memory=there.memory,
            dge="hwdge",
            queue=f"q{engine.capitalize()}SpillReload0",
        )
        operation = Operation(
            engine,
            "dma_copy",
            "DMA_DIRECT2D",
            on_chip.rows,
            elements,
            (on_chip.dtype, on_chip.dtype),
            (there.memory, here.memory),
            {"spill": kind},
        )
        index = len(self.core) + self._made
        core = self.core[0].core
        return Instruction(index, core, operation, (source,), (target,), on_chip.source, transfer)


def _told(trace: Trace, spilling: _Spilling) -> str:
    most = sorted(spilling.evicted, key=lambda t: -spilling.evicted[t] * spilling.tensors[t].bytes_per_row)
    names = []
    for tensor in most[:_NAMED]:
        source = trace.sources[trace.tensors[tensor].source]
        names.append(f"{trace.tensors[tensor].name} ({source.file}:{source.line})")
    rest = f" and {len(most) - _NAMED} more" if len(most) > _NAMED else ""
    return (
        f"SBUF of {trace.target} holds {spilling.room:,} bytes per partition, too few for this kernel: the "
        f"compiler spills {', '.join(names)}{rest}: {spilling.saved_bytes:,} bytes saved to HBM and "
        f"{spilling.reloaded_bytes:,} loaded again"
    )


def spill_bytes(instruction: Instruction) -> dict[str, int]:
    """Bytes an instruction moves because of spilling, under Neuron Explorer's names."""
    kind = instruction.operation.attributes.get("spill")
    if kind is None or instruction.transfer is None:
        return {}
    return {f"{kind}_bytes": instruction.transfer.bytes}
