"""What executing a kernel leaves behind: instructions, the memory they touch, and where they were written.

The language (`simulator.nki`) produces a `Trace`; the timeline (`simulator.timeline`) gives its instructions
times. Nothing here knows a cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

Engine = Literal["tensor", "vector", "scalar", "gpsimd", "sync"]
Memory = Literal["sbuf", "psum", "hbm"]
Dge = Literal["hwdge", "swdge", "none"]

ENGINES: tuple[Engine, ...] = ("tensor", "vector", "scalar", "gpsimd", "sync")


FIRST_DIALECT = "neuronxcc.nki"


class Region(NamedTuple):
    """A box of bytes inside one tensor.

    `row0:row1` are partitions (SBUF, PSUM) or rows of the tensor seen as [rows, last dimension] (HBM);
    `byte0:byte1` are bytes inside a partition or a row. Half-open. A strided access is its bounding box.
    """

    tensor: int
    row0: int
    row1: int
    byte0: int
    byte1: int


@dataclass(slots=True)
class Tensor:
    """One allocation: `nl.ndarray`, a kernel argument, or a constant.

    `bytes_per_row` is bytes per partition for on-chip tensors. `core` is None for memory shared by both
    cores of an LNC pair. `address` is the author's (partition, byte) choice, None where the compiler places
    it.
    """

    id: int
    name: str
    memory: Memory
    shape: tuple[int, ...]
    dtype: str
    rows: int
    bytes_per_row: int
    core: int | None
    role: Literal["input", "output", "scratch"] = "scratch"
    address: tuple[int, int] | None = None
    source: int = 0


@dataclass(frozen=True, slots=True)
class Transfer:
    """The data movement a DMA instruction starts.

    `descriptors` contiguous pieces of `descriptor_bytes` bytes on average (the smaller of the two sides'
    contiguous runs). `partitions` is how many SBUF partitions take part (0 for HBM to HBM). `casts` says
    that the two sides have different dtypes.
    """

    bytes: int
    descriptors: int
    descriptor_bytes: float
    partitions: int
    source_memory: Memory
    target_memory: Memory
    dge: Dge
    dynamic: bool = False
    transpose: bool = False
    queue: str = ""
    casts: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """What an instruction does, wherever its operands lie; equal instructions of a launch share one.

    `call` is the `nki.isa` name that issued it ("nc_matmul"); `opcode` is what Neuron Explorer prints for it
    ("MATMUL"). `elements` is the N of the documented cost formulas: free-dimension elements per partition of
    the (first) input. `dtypes` and `memories` name destination first, then operands. `engine` of a DMA is the
    engine that triggers it.
    """

    engine: Engine
    call: str
    opcode: str
    partitions: int
    elements: int
    dtypes: tuple[str, ...]
    memories: tuple[Memory, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    macs: int = 0


@dataclass(slots=True)
class Instruction:
    """One instruction of one core, in program order: an operation on regions of memory.

    `transfer` says what a DMA moves. Two instructions with the same `rendezvous` on the two cores of a pair
    wait for each other.
    """

    index: int
    core: int
    operation: Operation
    reads: tuple[Region, ...]
    writes: tuple[Region, ...]
    source: int
    transfer: Transfer | None = None
    name: str | None = None
    after: tuple[int, ...] = ()
    rendezvous: int | None = None
    no_reorder: bool = False

    @property
    def engine(self) -> Engine:
        """Where it runs."""
        return self.operation.engine

    @property
    def call(self) -> str:
        """Its name in `nki.isa`."""
        return self.operation.call

    @property
    def opcode(self) -> str:
        """Its name in Neuron Explorer."""
        return self.operation.opcode

    @property
    def partitions(self) -> int:
        """Partitions of its destination."""
        return self.operation.partitions

    @property
    def elements(self) -> int:
        """The N of the documented cost formulas."""
        return self.operation.elements

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Of its destinations, then of its operands."""
        return self.operation.dtypes

    @property
    def memories(self) -> tuple[Memory, ...]:
        """Of its destinations, then of its operands."""
        return self.operation.memories

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What else its cost depends on, by name."""
        return self.operation.attributes

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.operation.macs


class Source(NamedTuple):
    """A line of kernel source. `file` is as the kernel was loaded; the text is in `Trace.files`."""

    file: str
    line: int
    function: str


@dataclass(slots=True)
class Trace:
    """One launch of one kernel as its cores executed it.

    `cores[c]` is core c's instructions in program order; an instruction's `index` is its place in that list.
    `results` are the kernel's returned tensors as NumPy arrays, in order (no meaning without values).
    `data_dependent` names the inputs whose values steered control flow or addresses. `dialect` is the package
    the kernel imports, "nki" or `FIRST_DIALECT`; `as_written` where it asks its compiler to change nothing.
    """

    kernel: str
    target: str
    lnc: int
    cores: list[list[Instruction]]
    tensors: list[Tensor]
    sources: list[Source]
    files: dict[str, str]
    results: tuple[np.ndarray[Any, Any], ...] = ()
    outputs: tuple[int, ...] = ()
    data_dependent: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)
    dialect: str = "nki"
    as_written: bool = False

    def does_as(self, other: Trace) -> bool:
        """Whether another trace has the same instructions on the same regions, whatever their values."""
        return [[_work(i) for i in core] for core in self.cores] == [
            [_work(i) for i in core] for core in other.cores
        ]


def _work(instruction: Instruction) -> tuple[Any, ...]:
    did = instruction.operation
    return (
        (did.engine, did.call, did.partitions, did.elements, did.dtypes, did.memories),
        (instruction.reads, instruction.writes, instruction.transfer, instruction.after),
    )
