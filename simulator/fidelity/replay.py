"""A profile's own instruction stream as a trace, so that costs and timeline can be checked without a
kernel's source.

Reads the JSON of `neuron-profile view --output-format json` (2.27, 2.28): opcodes, operand patterns and
addresses. Data dependencies come back from the addresses, times are kept beside the trace and never used to
build it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from simulator.trace import (
    Dge,
    Engine,
    Instruction,
    Memory,
    Operation,
    Region,
    Source,
    Tensor,
    Trace,
    Transfer,
)

Row = Mapping[str, Any]

_ENGINES: dict[str, Engine] = {
    "Tensor": "tensor",
    "TensorMatrix": "tensor",
    "Vector": "vector",
    "Scalar": "scalar",
    "GpSimd": "gpsimd",
    "Sync": "sync",
}
_CALLS = {
    "MATMUL": "nc_matmul",
    "COPY": "tensor_copy",
    "CAST": "tensor_copy",
    "ACTIVATE": "activation",
    "TENSOR_REDUCE": "tensor_reduce",
    "TENSOR_SCALAR": "tensor_scalar",
    "TENSOR_TENSOR": "tensor_tensor",
    "RECIPROCAL": "reciprocal",
}
_DTYPES = {"fp32": ("float32", 4), "bfloat16": ("bfloat16", 2)}
_SBUF_BASE = 0x802000000000
_PARTITION_STRIDE = 0x40000
_PSUM_BASE = 0x2000000
_PSUM_BYTES = 0x4000
_SBUF, _PSUM, _HBM = range(3)
_FIRST_TABLE = 3
_OPERAND = re.compile(r"(src|dst)=(?:(\w+)@)?0x([0-9a-f]+)\[([-\d,]+)\]\[([\d,]+)\]")
_POINTER = re.compile(r"(?:bias_ptr=\w+@|imm=)0x([0-9a-f]+)")
_PATTERN = re.compile(r"(src|dst)_pattern=\[([-\d,]+)\]\[([\d,]+)\]")


@dataclass(slots=True)
class Replay:
    """One core's stream. `start_ns[i]` and `duration_ns[i]` are what the profiler measured for instruction i.

    An fp32 matmul is two MATMUL rows; its duration reaches from the start of the first to the end of the
    second.
    """

    trace: Trace
    start_ns: list[float] = field(default_factory=list)
    duration_ns: list[float] = field(default_factory=list)


def replay(profile: Mapping[str, list[Row]], *, target: str, subgraph: str = "sg00") -> Replay:
    """The compute and DMA instructions of one core of a json profile."""
    rows = sorted(
        (r for r in profile["instruction"] if r["subgraph"] == subgraph), key=lambda r: r["timestamp"]
    )
    builder = _Builder(target)
    for row in rows:
        builder.add(row)
    return builder.replay


class _Builder:
    """Turns rows into instructions in order of their start."""

    def __init__(self, target: str) -> None:
        names: tuple[tuple[str, Memory], ...] = (("sbuf", "sbuf"), ("psum", "psum"), ("hbm", "hbm"))
        tensors = [
            Tensor(n, name, memory, (), "uint8", 128, 0, 0, address=None if memory == "hbm" else (0, 0))
            for n, (name, memory) in enumerate(names)
        ]
        self.replay = Replay(Trace("replay", target, 1, [[]], tensors, [Source("", 0, "")], {}))
        self._weights: Region | None = None
        self._first_pass: tuple[tuple[Region, Region, Region], int] | None = None

    def add(self, row: Row) -> None:
        """Take one row in; the runtime's own (semaphores, drains) have no operands and are left out."""
        handler = _HANDLERS.get(row["opcode"])
        if handler is not None:
            handler(self, row)

    def load_weights(self, row: Row) -> None:
        """LDWEIGHTS: the stationary region of the next matmul."""
        self._weights = _operands(row)["src"][0]

    def matmul(self, row: Row) -> None:
        """MATMUL; the second pass of an fp32 pair joins the first."""
        operands = _operands(row)
        (moving, dtype, count), (target, _, _) = operands["src"], operands["dst"]
        weights = self._weights or moving
        key = (weights, moving, target)
        transposes = row["instruction_type"] == "TRANSPOSE"
        if self._first_pass and self._first_pass[0] == key and dtype == "float32" and not transposes:
            first = self._first_pass[1]
            self._first_pass = None
            self.replay.duration_ns[first] = row["timestamp"] + row["duration"] - self.replay.start_ns[first]
            return
        self._first_pass = (key, len(self.replay.start_ns))
        self._append(
            row,
            "nc_matmul",
            count,
            dtypes=("float32", dtype, dtype),
            reads=(weights, moving),
            writes=(target,),
            attributes={"is_transpose": True} if transposes else {},
        )

    def stream(self, row: Row) -> None:
        """An instruction of the vector or scalar engine."""
        operands = _operands(row)
        (source, read_type, count), (target, written_type, _) = operands["src"], operands["dst"]
        pointers = [int(p, 16) for p in _POINTER.findall(row["operands"]) if int(p, 16)]
        attributes: dict[str, Any] = {"pointers": len(pointers)} if pointers else {}
        if row["opcode"] == "ACTIVATE":
            attributes["op"] = str(row["operands"]).split("complete ")[-1].split()[0].lower()
        scalars = tuple(Region(_SBUF, 0, 128, p, p + 4) for p in pointers)
        self._append(
            row,
            _CALLS[row["opcode"]],
            count,
            dtypes=(written_type, read_type),
            reads=(source, *scalars),
            writes=(target,),
            attributes=attributes,
        )

    def transfer(self, row: Row) -> None:
        """DMA_DIRECT2D: the engine says how descriptors are made."""
        text = row["operands"]
        sides = {side: _side(text, side) for side in ("src", "dst")}
        for region, _, _ in sides.values():
            self._known_tensor(region.tensor)
        (source, size, count), (target, written, _) = sides["src"], sides["dst"]
        memories: list[Memory] = [_memory(source), _memory(target)]
        dge: Dge = "swdge" if row["label"] == "GpSimd" else "hwdge"
        moved = Transfer(
            bytes=count * min(size, written),
            descriptors=count,
            descriptor_bytes=min(size, written),
            partitions=128,
            source_memory=memories[0],
            target_memory=memories[1],
            dge=dge,
            casts=size != written,
        )
        self._append(row, "dma_copy", size, dtypes=(), reads=(source,), writes=(target,), transfer=moved)

    def _known_tensor(self, number: int) -> None:
        tensors = self.replay.trace.tensors
        while len(tensors) <= number:
            tensors.append(Tensor(len(tensors), f"table{len(tensors)}", "hbm", (), "uint8", 1, 0, None))

    def _append(
        self,
        row: Row,
        call: str,
        elements: int,
        *,
        dtypes: tuple[str, ...],
        reads: tuple[Region, ...],
        writes: tuple[Region, ...],
        attributes: dict[str, Any] | None = None,
        transfer: Transfer | None = None,
    ) -> None:
        core = self.replay.trace.cores[0]
        core.append(
            Instruction(
                index=len(core),
                core=0,
                operation=Operation(
                    engine=_ENGINES[row["label"]],
                    call=call,
                    opcode=row["opcode"],
                    partitions=128,
                    elements=elements,
                    dtypes=dtypes,
                    memories=tuple(_memory(r) for r in (*writes, *reads)),
                    attributes=attributes or {},
                ),
                reads=reads,
                writes=writes,
                source=0,
                transfer=transfer,
            )
        )
        self.replay.start_ns.append(float(row["timestamp"]))
        self.replay.duration_ns.append(float(row["duration"]))


_HANDLERS: dict[str, Callable[[_Builder, Row], None]] = {
    "LDWEIGHTS": _Builder.load_weights,
    "MATMUL": _Builder.matmul,
    "DMA_DIRECT2D": _Builder.transfer,
    **dict.fromkeys((o for o in _CALLS if o != "MATMUL"), _Builder.stream),
}


def _memory(region: Region) -> Memory:
    return ("sbuf", "psum", "hbm")[min(region.tensor, _HBM)]


def _operands(row: Row) -> dict[str, tuple[Region, str, int]]:
    """Region, dtype and element count of `src` and `dst`; a matmul's destination is fp32 and has no type."""
    found = {}
    for side, kind, address, strides, sizes in _OPERAND.findall(row["operands"]):
        dtype, width = _DTYPES[kind or "fp32"]
        counts = _integers(sizes)
        low, high = _reach(zip(_integers(strides), counts, strict=True))
        found[side] = (_on_chip(int(address, 16), low * width, (high + 1) * width), dtype, prod(counts))
    return found


def _on_chip(address: int, low: int, high: int) -> Region:
    if _PSUM_BASE <= address < _PSUM_BASE + _PSUM_BYTES:
        return Region(_PSUM, 0, 128, address - _PSUM_BASE + low, address - _PSUM_BASE + high)
    return Region(_SBUF, 0, 128, address + low, address + high)


def _side(text: str, side: str) -> tuple[Region, int, int]:
    """Region, element size and element count of one side of a transfer."""
    size = int(_value(text, f"{side}_elem_size"))
    strides, counts = next((_integers(a), _integers(b)) for s, a, b in _PATTERN.findall(text) if s == side)
    table = re.search(rf"{side}_table_index=(\d+)", text)
    if table:
        low, high = _reach(zip(strides, counts, strict=True))
        return Region(_FIRST_TABLE + int(table.group(1)), 0, 1, low, high + size), size, prod(counts)
    address = int(_value(text, f"{side}_addr_imm"), 16)
    if address < _SBUF_BASE:
        low, high = _reach(zip(strides, counts, strict=True))
        return Region(_HBM, 0, 1, address + low, address + high + size), size, prod(counts)
    inside = [(s, c) for s, c in zip(strides, counts, strict=True) if s != _PARTITION_STRIDE]
    low, high = _reach(inside)
    first = (address - _SBUF_BASE) % _PARTITION_STRIDE
    return Region(_SBUF, 0, 128, first + low, first + high + size), size, prod(counts)


def _value(text: str, name: str) -> str:
    found = re.search(rf"{name}=(\w+)", text)
    return found.group(1) if found else "0"


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _reach(axes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Lowest and highest offset of a strided pattern."""
    ends = [stride * (count - 1) for stride, count in axes]
    return sum(min(0, e) for e in ends), sum(max(0, e) for e in ends)
