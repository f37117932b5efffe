"""Transfers: `dma_copy`, `dma_transpose`, `dma_compute`.

An unknown descriptor mode resolves as the public profiles of plain copies show: software descriptors on
GpSimd, unless the author names the sync or scalar engine, whose queues generate theirs in hardware (SDK docs,
nki-dge), or both sides are SBUF, whose addresses are known (the packet counts of KevGomes1403/
nki-moe-megakernel, attn_cte v5a and v5b: every copy between tiles by hardware descriptors, no other).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simulator.nki.indirection import Columns
from simulator.nki.isa.enums import dge_mode as Dge
from simulator.nki.isa.enums import engine as Engine
from simulator.nki.isa.enums import oob_mode as Oob
from simulator.nki.numerics import computing, lift, rounded, store
from simulator.nki.ops import OPS
from simulator.nki.rules import check_same_size, refuse
from simulator.nki.storage import Scatter
from simulator.nki.tensor import NkiTensor, Outside
from simulator.nki.tracer import Handle, current, emit, free_elements
from simulator.trace import Transfer

QUEUE = {"swdge": "Dynamic", "hwdge": "DynamicHW", "none": "Static"}
TRANSPOSED = {2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 2, 0)}
"""How dma_transpose permutes by default (NKI docs, nki.isa.dma_transpose)."""
HARDWARE_TRIGGERS = ("sync", "scalar")


def dma_copy(
    dst: NkiTensor,
    src: NkiTensor,
    priority: Any = None,  # noqa: ARG001 - queues are served round robin whatever the class
    oob_mode: Oob = Oob.error,
    dge_mode: Dge | int = Dge.unknown,
    engine: Engine = Engine.unknown,
    name: str | None = None,
) -> Handle:
    """Copy between HBM and SBUF, casting where the dtypes differ; either side may be indirectly addressed."""
    if oob_mode is Oob.skip and (isinstance(dst, Outside) or isinstance(src, Outside)):
        return _skipped(dst, src, dge_mode, engine, name)
    check_same_size("dma_copy", dst, src)
    if src.storage.memory == "psum" or dst.storage.memory == "psum":
        raise refuse(
            "dma-psum", "dma_copy does not reach PSUM (since NKI 0.3)", "go through SBUF with tensor_copy"
        )
    left_open = Dge(dge_mode) is Dge.unknown and engine is Engine.unknown
    asked = Dge.hwdge if left_open and _between_tiles(dst, src) else dge_mode
    mode, trigger = _resolved(asked, engine, dst.rows is not None or src.rows is not None)
    if computing(dst):
        _move(dst, src, oob_mode)
    return _emit("dma_copy", "DMA_DIRECT2D", dst, (src,), mode, trigger, name, dge_open=left_open)


def _skipped(dst: NkiTensor, src: NkiTensor, dge_mode: Dge | int, engine: Engine, name: str | None) -> Handle:
    """A transfer whose address data put outside the tensor: it is issued, and moves nothing."""
    mode, trigger = _resolved(dge_mode, engine, indirect=False)
    queue = f"q{trigger.capitalize()}{QUEUE[mode]}"
    ends = (src.storage.memory, dst.storage.memory)
    transfer = Transfer(0, 1, 0.0, 0, *ends, mode, dynamic=True, queue=queue)  # type: ignore[arg-type]
    handle = emit("dma_copy", "DMA_DIRECT2D", trigger, (), (), 0, name=name, transfer=transfer)
    if handle.instruction is not None:
        handle.instruction.reads = (*src.steered, *dst.steered)
    return handle


def _between_tiles(dst: NkiTensor, src: NkiTensor) -> bool:
    """Whether a copy stays in SBUF and hardware can describe it: neither gathered nor cast."""
    on_chip = dst.storage.memory == src.storage.memory == "sbuf"
    return on_chip and dst.rows is None and src.rows is None and dst.array.dtype == src.array.dtype


def _resolved(mode: Dge | int, engine: Engine, indirect: bool) -> tuple[str, str]:
    """Descriptor mode and triggering engine; only software descriptors can gather or scatter."""
    asked = Dge(mode).name
    if asked == "unknown":
        asked = "hwdge" if engine.name in HARDWARE_TRIGGERS and not indirect else "swdge"
    if asked == "hwdge" and indirect:
        raise refuse("hwdge-indirect", "hardware descriptors cannot gather or scatter", "use dge_mode.swdge")
    if asked == "hwdge":
        return asked, engine.name if engine.name in HARDWARE_TRIGGERS else "sync"
    return asked, "gpsimd" if asked == "swdge" else "sync"


def _move(dst: NkiTensor, src: NkiTensor, oob: Oob) -> None:
    values = src.array
    if values.shape != dst.array.shape:
        values = values.reshape(dst.array.shape)
    _check_inside(oob, dst, src)
    if dst.rows is not None:
        _scatter(dst, dst.rows, values)
    elif src.rows is not None:
        inside = src.rows.inside
        dst.array[inside] = rounded(values[inside], dst.array.dtype)
    else:
        store(dst, lift(values) if values.dtype != dst.array.dtype else values)


def _check_inside(oob: Oob, *sides: NkiTensor) -> None:
    for side in sides:
        if side.rows is not None and oob is Oob.error and not side.rows.inside.all():
            raise refuse("bounds", "an indirect transfer names a row outside its tensor", "use oob_mode.skip")


def _check_direct(call: str, *sides: NkiTensor) -> None:
    if any(isinstance(side, Columns) for side in sides if side.rows is not None):
        raise refuse("tensor-indirection", f"{call} of an indirect tile", "gather it with tensor_copy first")


def _scatter(dst: NkiTensor, rows: Scatter, values: np.ndarray[Any, Any]) -> None:
    cells = rows.cells[rows.inside]
    rows.flat[cells] = rounded(values[rows.inside], dst.array.dtype)


def _emit(
    call: str,
    opcode: str,
    dst: NkiTensor,
    srcs: tuple[NkiTensor, ...],
    mode: str,
    trigger: str,
    name: str | None,
    transpose: bool = False,
    **attributes: Any,
) -> Handle:
    sides = (dst, *srcs)
    _check_direct(call, *sides)
    kept = min([float(t.rows.inside.mean()) for t in sides if t.rows is not None], default=1.0)
    forms: list[Any] = [t.layout for t in sides]
    forms += [t.storage.memory for t in sides]
    kind = (mode, trigger, transpose, kept, *[(t.dynamic, t.rows is None) for t in sides], *forms)
    known = current().launch.transfers
    transfer = known.get(kind)
    if transfer is None:
        transfer = known[kind] = _transfer(dst, srcs, mode, trigger, kept, transpose)
    return emit(
        call, opcode, trigger, (dst,), srcs, free_elements(dst), name=name, transfer=transfer, **attributes
    )


def _transfer(
    dst: NkiTensor, srcs: tuple[NkiTensor, ...], mode: str, trigger: str, kept: float, transpose: bool
) -> Transfer:
    """What moves, of which an indirect side keeps the share `kept` inside its tensor."""
    sides = (dst, *srcs)
    size = round(dst.layout.nbytes * len(srcs) * kept)
    elements = min(_contiguous(side) // side.dtype.itemsize for side in sides)
    run = 2 if transpose else max(1, elements * dst.dtype.itemsize)
    descriptors = max(1, size // run) if not transpose else max(1, size // 512)
    return Transfer(
        size,
        descriptors,
        size / descriptors,
        max((t.layout.partitions for t in sides if t.storage.memory != "hbm"), default=0),
        srcs[0].storage.memory,
        dst.storage.memory,
        mode,  # type: ignore[arg-type]
        any(t.dynamic for t in sides),
        transpose,
        f"q{trigger.capitalize()}{QUEUE[mode]}",
        any(s.dtype != dst.dtype for s in srcs),
    )


def _contiguous(tensor: NkiTensor) -> int:
    """Bytes of one contiguous run, the piece one descriptor moves; partitions are never contiguous."""
    in_rows = tensor.rows is not None or tensor.storage.memory != "hbm"
    return tensor.layout.run_in_row if in_rows else tensor.layout.run


def dma_transpose(
    dst: NkiTensor,
    src: NkiTensor,
    axes: Sequence[int] | None = None,
    priority: Any = None,  # noqa: ARG001
    dge_mode: Dge | int = Dge.unknown,
    oob_mode: Oob = Oob.error,  # noqa: ARG001 - a gathered source is checked when it is addressed
    name: str | None = None,
) -> Handle:
    """Transpose while moving: (1, 0), (2, 1, 0) or (3, 1, 2, 0) by the dimensions of src, or `axes`.

    The DGE transposes 2-byte elements; of 4 bytes each is a descriptor of its own.
    """
    size = src.layout.itemsize
    if size not in (2, 4) or (size == 4 and src.rows is not None):
        raise refuse("dma-transpose-dtype", f"dma_transpose of {src.dtype.name}", "use a 2-byte dtype")
    check_same_size("dma_transpose", dst, src)
    order = tuple(axes) if axes is not None else TRANSPOSED[src.ndim]
    mode, trigger = _resolved(Dge.none if size == 4 else dge_mode, Engine.unknown, src.rows is not None)
    if computing(dst):
        store(dst, src.array.transpose(order))
    return _emit("dma_transpose", "DMA_TRANSPOSE", dst, (src,), mode, trigger, name, transpose=True)


def dma_compute(
    dst: NkiTensor,
    srcs: list[NkiTensor],
    reduce_op: Any,
    scales: Sequence[float] | None = None,
    unique_indices: bool = True,
    oob_mode: Oob = Oob.error,
    name: str | None = None,
) -> Handle:
    """dst = reduce over srcs of scale x src, by the DMA engines.

    Scattering with read-modify-write names dst among the sources (NKI docs, nki.isa.dma_compute).
    """
    if not unique_indices:
        raise refuse("unique-indices", "dma_compute with indices that repeat", "make them unique")
    check_same_size("dma_compute", dst, *srcs)
    fold = (OPS["add"] if reduce_op is None else reduce_op).compute
    parts = [
        lift(s.array).reshape(dst.array.shape) * (scales[k] if scales else 1) for k, s in enumerate(srcs)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = fold(total, part)
    indirect = any(t.rows is not None for t in (dst, *srcs))
    if computing(dst):
        _check_inside(oob_mode, dst, *srcs)
        if dst.rows is not None:
            _scatter(dst, dst.rows, total)
        else:
            store(dst, total)
    mode, trigger = _resolved(Dge.unknown if indirect else Dge.none, Engine.unknown, indirect)
    return _emit("dma_compute", "DMA_DIRECT2D", dst, tuple(srcs), mode, trigger, name)
