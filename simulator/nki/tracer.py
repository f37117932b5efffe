"""What runs now: the core, its instructions so far, and the tensors and source lines they name."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from simulator.errors import KernelRefused, SimulatorError
from simulator.nki.dtypes import numpy_name
from simulator.nki.handover import Handover
from simulator.nki.initialised import anything_written, is_written, mark_written
from simulator.nki.lines import Lines
from simulator.nki.ranks import Ranks
from simulator.nki.storage import Storage
from simulator.nki.tensor import NkiTensor
from simulator.trace import Engine, Instruction, Operation, Region, Source, Tensor, Transfer

Found = TypeVar("Found", Operation, tuple[Operation, Transfer])


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
        self.lines = Lines(self.sources)
        self.shared: dict[tuple[str, int], Storage] = {}
        self.handover = Handover(lnc)
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
        form = storage.layout
        self.tensors.append(
            Tensor(
                storage.id,
                storage.name,
                storage.memory,
                form.shape,
                numpy_name(form.dtype),
                form.nbytes // form.row_bytes if form.row_bytes else 0,
                form.row_bytes,
                storage.core,
                storage.role,
                storage.address,
                storage.source,
            )
        )


class Program:
    """One core's execution of the kernel; `source` is the line of what is issued later than it was called.

    `rounds` counts how often dynamic loops went round, by line.
    """

    def __init__(self, launch: Launch, core: int) -> None:
        self.launch = launch
        self.core = core
        self.instructions = launch.cores[core]
        self.shared_count: dict[str, int] = {}
        self.in_order = 0
        self.accumulators: dict[str, Any] = {}
        self.exchanges = 0
        self.generators: dict[str, Any] = {}
        self.source: int | None = None
        self.rounds: Counter[int] = Counter()


class _Local(threading.local):
    """What runs in a thread."""

    program: Program | None = None


_local = _Local()


def current() -> Program:
    """The program that runs in this thread."""
    program = _local.program
    if program is None:
        raise SimulatorError(
            "an nki call ran outside a kernel launch", "profile the kernel with `collectors profile --kernel`"
        )
    return program


def running() -> bool:
    """Whether a kernel runs in this thread."""
    return _local.program is not None


def set_current(program: Program | None) -> None:
    """Make `program` the one this thread runs."""
    _local.program = program


def location(launch: Launch) -> int:
    """Index of the source line of the innermost frame outside this package."""
    return launch.lines.at(sys._getframe(2))


class Handle(Instruction):
    """What a call returns: an instruction others can be made to follow."""

    __slots__ = ()
    __hash__ = object.__hash__

    def depends_on(self, *producers: Handle, **_: Any) -> Handle:
        """Start only after `producers` are complete."""
        self.after += tuple([p.index for p in producers if p is not NOT_RECORDED])
        return self


NOTHING = Operation("sync", "nothing", "NOP", 1, 0, (), ())
NOT_RECORDED = Handle(-1, 0, NOTHING, (), (), 0)
"""What calls return where no instruction is kept."""

KNOWN: dict[tuple[Any, ...], Any] = {}
"""What a call comes to on operands of some forms, by the call, the forms, and what else it depends on.

A call's rules and its operation follow from these alone: calls that kernels make by the thousand look both up
under a key of their own, and equal operations are one.
"""
MANY = 1 << 17


def learn(key: tuple[Any, ...], found: Found) -> Found:
    """Remember what a call comes to: an operation, or one and its transfer."""
    if len(KNOWN) >= MANY:
        KNOWN.clear()
    KNOWN[key] = found
    return found


def operation_on(
    call: str,
    opcode: str,
    engine: str,
    operands: Sequence[NkiTensor],
    elements: int,
    macs: int = 0,
    **attributes: Any,
) -> Operation:
    """The operation of a call on its destinations, then what it reads; attributes come in one order."""
    forms = [t.layout for t in operands]
    key = (call, engine, elements, macs, *forms, *attributes.values(), *map(type, attributes.values()))
    return KNOWN.get(key) or learn(
        key,
        Operation(
            cast(Engine, engine),
            call,
            opcode,
            forms[0].partitions if forms else 1,
            elements,
            tuple([form.name for form in forms]),
            tuple([form.memory for form in forms]),
            attributes,
            macs,
        ),
    )


def issue(
    operation: Operation,
    dst: tuple[NkiTensor, ...],
    src: tuple[NkiTensor, ...],
    name: str | None = None,
    transfer: Transfer | None = None,
    rendezvous: int | None = None,
) -> Handle:
    """Record one instruction; marks `dst` written and refuses a `src` that was never written."""
    program = _local.program or current()
    reads: list[Region] = []
    writes: list[Region] = []
    steered: tuple[Region, ...] = ()
    for tensor in src:
        if not tensor.written and not is_written(tensor):
            _reads_unwritten(program.launch, operation.call, tensor)
        reads.append(tensor.region or tensor.located())
        if tensor.steered:
            steered += tensor.steered
    for tensor in dst:
        if tensor.broadcasts and 0 in tensor.layout.strides:
            raise _writes_repeated(operation.call, tensor)
        if not tensor.written:
            mark_written(tensor)
        writes.append(tensor.region or tensor.located())
        if tensor.steered:
            steered += tensor.steered
    launch = program.launch
    if not launch.record:
        return NOT_RECORDED
    line = program.source
    if line is None:
        line = launch.lines.at(sys._getframe(2))
    instructions = program.instructions
    handle = Handle(
        len(instructions),
        program.core,
        operation,
        (*reads, *steered),
        tuple(writes),
        line,
        transfer,
        name,
        (),
        rendezvous,
        program.in_order > 0,
    )
    instructions.append(handle)
    return handle


def emit(
    call: str,
    opcode: str,
    engine: str,
    dst: tuple[NkiTensor, ...],
    src: tuple[NkiTensor, ...],
    elements: int,
    *,
    name: str | None = None,
    rendezvous: int | None = None,
    transfer: Transfer | None = None,
    macs: int = 0,
    **attributes: Any,
) -> Handle:
    """`issue` the operation of a call that kept its rules."""
    operation = operation_on(call, opcode, engine, dst + src, elements, macs, **attributes)
    return issue(operation, dst, src, name, transfer, rendezvous)


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
    at = launch.sources[launch.lines.at(sys._getframe(2))]
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
