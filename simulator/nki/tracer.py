"""What runs now: the core, its instructions so far, and the tensors and source lines they name."""

from __future__ import annotations

import sys
import threading
from types import CodeType, FrameType
from typing import Any, cast

from simulator.errors import KernelRefused, SimulatorError
from simulator.nki.dtypes import numpy_name
from simulator.nki.initialised import anything_written, is_written, mark_written
from simulator.nki.ranks import Ranks
from simulator.nki.storage import Storage
from simulator.nki.tensor import NkiTensor, region_of
from simulator.trace import Engine, Instruction, Operation, Source, Tensor, Transfer


class Launch:
    """One launch: what its cores share. `asks_core` once a kernel asked which core it runs on.

    `dialect` is the package the kernel imports, `as_written` where it asks its compiler to change nothing.
    `exchanged` is the number of the last collective that its cores made.
    """

    def __init__(self, target: str, lnc: int, *, values: bool, record: bool) -> None:
        self.target = target
        self.lnc = lnc
        self.values = values
        self.record = record
        self.cores: list[list[Instruction]] = [[] for _ in range(lnc)]
        self.tensors: list[Tensor] = []
        self.sources: list[Source] = []
        self.operations: dict[tuple[Any, ...], Operation] = {}
        self.transfers: dict[tuple[Any, ...], Transfer] = {}
        self.lines = Lines(self.sources)
        self.shared: dict[tuple[str, int], Storage] = {}
        self.handover = Handover(lnc)
        self.steering: set[str] = set()
        self.unwritten: dict[Source, dict[str, str]] = {}
        self.asks_core = False
        self.dialect = "nki"
        self.as_written = False
        self.rank = 0
        self.ranks = Ranks(1)
        self.exchanged = 0

    def add_storage(self, storage: Storage) -> None:
        """Give a storage its id and its row in the trace."""
        storage.id = len(self.tensors)
        self.tensors.append(
            Tensor(
                storage.id,
                storage.name,
                storage.memory,
                storage.layout.shape,
                numpy_name(storage.layout.dtype),
                storage.rows,
                storage.row_bytes,
                storage.core,
                storage.role,
                storage.address,
                storage.source,
            )
        )


class Lines:
    """The source lines of a launch, numbered as they come.

    Python works a line number out from the place in the code each time it is asked; here once for a place.
    """

    def __init__(self, sources: list[Source]) -> None:
        self._sources = sources
        self._numbers: dict[tuple[CodeType, int], int] = {}
        self._places: dict[tuple[int, int], int] = {}
        self._codes: list[CodeType] = []

    def index(self, frame: FrameType) -> int:
        """The number of the line a frame is at."""
        place = (id(frame.f_code), frame.f_lasti)
        found = self._places.get(place)
        if found is None:
            found = self._places[place] = self._number(frame.f_code, frame.f_lineno)
        return found

    def _number(self, code: CodeType, line: int) -> int:
        found = self._numbers.get((code, line))
        if found is None:
            found = self._numbers[code, line] = len(self._sources)
            self._sources.append(Source(code.co_filename, line, code.co_name))
        self._codes.append(code)  # as long as it lives its id is its own
        return found


class Handover:
    """Lets one core run at a time, so a launch is deterministic; a core gives way where it must wait."""

    def __init__(self, cores: int) -> None:
        self.condition = threading.Condition()
        self.cores = cores
        self.turn = 0
        self.brought: dict[tuple[int, int], Any] = {}
        self.done = [False] * cores
        self.failed: BaseException | None = None

    def meet(self, program: Program, payload: Any) -> tuple[int, list[Any]]:
        """Wait for the other core's matching exchange; returns its number and what each core brought."""
        program.exchanges += 1
        number, core = program.exchanges, program.core
        if self.cores == 1:
            return number, [payload]
        with self.condition:
            self.brought[number, core] = payload
            if (number, 1 - core) not in self.brought:
                self.give_way(core)
            if (number, 1 - core) not in self.brought:
                raise KernelRefused(
                    f"core {core} waits for an exchange that core {1 - core} never reaches",
                    "let both cores call sendrecv, core_barrier and collectives in the same order",
                    rule="rendezvous",
                )
        return number, [self.brought[number, 0], self.brought[number, 1]]

    def give_way(self, core: int) -> None:
        """Let the other core run until it waits or ends. The caller holds the condition."""
        if self.done[1 - core]:
            return
        self.turn = 1 - core
        self.condition.notify_all()
        self.condition.wait_for(lambda: self.turn == core or self.failed is not None)
        if self.failed is not None:
            raise self.failed


class Program:
    """One core's execution of the kernel; `source` is the line of what is issued later than it was called."""

    def __init__(self, launch: Launch, core: int) -> None:
        self.launch = launch
        self.core = core
        self.shared_count: dict[str, int] = {}
        self.in_order = 0
        self.accumulators: dict[str, Any] = {}
        self.exchanges = 0
        self.generators: dict[str, Any] = {}
        self.source: int | None = None


_local = threading.local()


def current() -> Program:
    """The program that runs in this thread."""
    program: Program | None = getattr(_local, "program", None)
    if program is None:
        raise SimulatorError(
            "an nki call ran outside a kernel launch", "profile the kernel with `collectors profile --kernel`"
        )
    return program


def running() -> bool:
    """Whether a kernel runs in this thread."""
    return getattr(_local, "program", None) is not None


def set_current(program: Program | None) -> None:
    """Make `program` the one this thread runs."""
    _local.program = program


_HERE = __name__.rpartition(".")[0]


def location(launch: Launch) -> int:
    """Index of the source line of the innermost frame outside this package."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_HERE):
        frame = frame.f_back
    return 0 if frame is None else launch.lines.index(frame)


class Handle:
    """What a call returns: an instruction others can be made to follow."""

    __slots__ = ("instruction",)

    def __init__(self, instruction: Instruction | None) -> None:
        self.instruction = instruction

    def depends_on(self, *producers: Handle, **_: Any) -> Handle:
        """Start only after `producers` are complete."""
        if self.instruction is not None:
            mine = tuple(p.instruction.index for p in producers if p.instruction is not None)
            self.instruction.after += mine
        return self


NOT_RECORDED = Handle(None)


def emit(
    call: str,
    opcode: str,
    engine: str,
    dst: tuple[NkiTensor, ...],
    src: tuple[NkiTensor, ...],
    elements: int,
    *,
    macs: int = 0,
    name: str | None = None,
    transfer: Transfer | None = None,
    rendezvous: int | None = None,
    **attributes: Any,
) -> Handle:
    """Record one instruction; marks `dst` written and refuses a `src` that was never written."""
    program = current()
    launch = program.launch
    for tensor in src:
        if not tensor.storage.filled and not is_written(tensor):
            _reads_unwritten(launch, call, tensor)
    for tensor in dst:
        if tensor.layout.repeats:
            raise _writes_repeated(call, tensor)
        if not tensor.storage.filled:
            mark_written(tensor)
    if not launch.record:
        return NOT_RECORDED
    operation = _operation(launch, call, opcode, engine, dst + src, elements, macs, attributes)
    reads = [region_of(t) for t in src]
    writes = [region_of(t) for t in dst]
    for tensor in src + dst:
        if tensor.steered:
            reads += tensor.steered
    line = location(launch) if program.source is None else program.source
    instructions = launch.cores[program.core]
    instruction = Instruction(
        len(instructions),
        program.core,
        operation,
        tuple(reads),
        tuple(writes),
        line,
        transfer,
        name,
        (),
        rendezvous,
        program.in_order > 0,
    )
    instructions.append(instruction)
    return Handle(instruction)


def _operation(
    launch: Launch,
    call: str,
    opcode: str,
    engine: str,
    operands: tuple[NkiTensor, ...],
    elements: int,
    macs: int,
    attributes: dict[str, Any],
) -> Operation:
    """The launch's operation on operands of these forms; a call names its attributes in one order."""
    forms: list[Any] = [t.layout for t in operands]
    forms += [t.storage.memory for t in operands]
    kind = (call, engine, elements, macs, *forms, *attributes.values())
    found = launch.operations.get(kind)
    if found is None:
        found = launch.operations[kind] = Operation(
            cast(Engine, engine),
            call,
            opcode,
            operands[0].layout.partitions if operands else 1,
            elements,
            tuple([t.layout.name for t in operands]),
            tuple([t.storage.memory for t in operands]),
            attributes,
            macs,
        )
    return found


def _writes_repeated(call: str, tensor: NkiTensor) -> KernelRefused:
    return KernelRefused(
        f"{call} writes {tensor.storage.name!r} through a view of shape {tensor.shape} that repeats elements",
        "write each element once, and broadcast where it is read",
        rule="broadcast-write",
    )


def _reads_unwritten(launch: Launch, call: str, tensor: NkiTensor) -> None:
    """Refuse to read a tensor nothing wrote; of one written in part the hardware reads what was there."""
    name = tensor.storage.name
    if not anything_written(tensor.storage):
        raise KernelRefused(
            f"{call} reads {name!r}, which nothing was written to",
            "write the tile first (memset, dma_copy)",
            rule="uninitialised",
        )
    at = launch.sources[location(launch)]
    launch.unwritten.setdefault(at, {})[name] = call


def unwritten_warnings(launch: Launch) -> list[str]:
    """A sentence for every line that read elements nothing had written."""
    return [
        f"{at.file}:{at.line}: {next(iter(calls.values()))} reads elements of {next(iter(calls))!r}"
        f"{f' and {len(calls) - 1} more' if len(calls) > 1 else ''} that were never written: "
        "zeros here, anything there"
        for at, calls in launch.unwritten.items()
    ]


def free_elements(tensor: NkiTensor) -> int:
    """Elements per partition."""
    return tensor.layout.free
