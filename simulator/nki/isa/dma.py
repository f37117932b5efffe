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
from simulator.nki.tracer import (
    KNOWN,
    NOT_RECORDED,
    Handle,
    emit,
    free_elements,
    issue,
    learn,
    operation_on,
)
from simulator.trace import Operation, Transfer

QUEUE = {"swdge": "Dynamic", "hwdge": "DynamicHW", "none": "Static"}
TRANSPOSED = {2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 2, 0)}
"""How dma_transpose permutes by default (NKI docs, nki.isa.dma_transpose)."""
HARDWARE_TRIGGERS = ("sync", "scalar")
Movement = tuple[Operation, Transfer]


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
    scattered = None if dst.rows is None is src.rows else _scattered("dma_copy", dst, src)
    key = ("dma_copy", dst.layout, src.layout, dst.dynamic, src.dynamic, scattered, dge_mode, engine)
    operation, transfer = KNOWN.get(key) or learn(key, _copy(dst, src, dge_mode, engine))
    if computing(dst):
        _move(dst, src, oob_mode)
    return issue(operation, (dst,), (src,), name, transfer)


def _copy(dst: NkiTensor, src: NkiTensor, dge_mode: Dge | int, engine: Engine) -> Movement:
    check_same_size("dma_copy", dst, src)
    if src.layout.memory == "psum" or dst.layout.memory == "psum":
        raise refuse(
            "dma-psum", "dma_copy does not reach PSUM (since NKI 0.3)", "go through SBUF with tensor_copy"
        )
    left_open = Dge(dge_mode) is Dge.unknown and engine is Engine.unknown
    asked = Dge.hwdge if left_open and _between_tiles(dst, src) else dge_mode
    mode, trigger = _resolved(asked, engine, dst.rows is not None or src.rows is not None)
    operation = operation_on(
        "dma_copy", "DMA_DIRECT2D", trigger, (dst, src), free_elements(dst), dge_open=left_open
    )
    return operation, _transfer("dma_copy", dst, (src,), mode, trigger)


def _scattered(call: str, *sides: NkiTensor) -> tuple[float | None, ...]:
    """Of each side that lies where data says, the share of its rows that is inside its tensor."""
    if any(isinstance(side, Columns) for side in sides):
        raise refuse("tensor-indirection", f"{call} of an indirect tile", "gather it with tensor_copy first")
    return tuple([None if side.rows is None else float(side.rows.inside.mean()) for side in sides])


def _skipped(dst: NkiTensor, src: NkiTensor, dge_mode: Dge | int, engine: Engine, name: str | None) -> Handle:
    """A transfer whose address data put outside the tensor: it is issued, and moves nothing."""
    mode, trigger = _resolved(dge_mode, engine, indirect=False)
    queue = f"q{trigger.capitalize()}{QUEUE[mode]}"
    ends = (src.storage.memory, dst.storage.memory)
    transfer = Transfer(0, 1, 0.0, 0, *ends, mode, dynamic=True, queue=queue)  # type: ignore[arg-type]
    handle = emit("dma_copy", "DMA_DIRECT2D", trigger, (), (), 0, name=name, transfer=transfer)
    if handle is not NOT_RECORDED:
        handle.reads = (*src.steered, *dst.steered)
    return handle


def _between_tiles(dst: NkiTensor, src: NkiTensor) -> bool:
    """Whether a copy stays in SBUF and hardware can describe it: neither gathered nor cast."""
    on_chip = dst.layout.memory == src.layout.memory == "sbuf"
    return on_chip and dst.rows is None and src.rows is None and dst.dtype == src.dtype


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


def _scatter(dst: NkiTensor, rows: Scatter, values: np.ndarray[Any, Any]) -> None:
    cells = rows.cells[rows.inside]
    rows.flat[cells] = rounded(values[rows.inside], dst.array.dtype)


def _transfer(
    call: str, dst: NkiTensor, srcs: tuple[NkiTensor, ...], mode: str, trigger: str, transpose: bool = False
) -> Transfer:
    """What moves; an indirect side only moves the share of its rows that is inside its tensor."""
    sides = (dst, *srcs)
    kept = min([share for share in _scattered(call, *sides) if share is not None], default=1.0)
    size = round(dst.layout.nbytes * len(srcs) * kept)
    elements = min(_contiguous(side) // side.dtype.itemsize for side in sides)
    run = 2 if transpose else max(1, elements * dst.dtype.itemsize)
    descriptors = max(1, size // run) if not transpose else max(1, size // 512)
    return Transfer(
        size,
        descriptors,
        size / descriptors,
        max((t.layout.partitions for t in sides if t.layout.memory != "hbm"), default=0),
        srcs[0].layout.memory,
        dst.layout.memory,
        mode,  # type: ignore[arg-type]
        any(t.dynamic for t in sides),
        transpose,
        f"q{trigger.capitalize()}{QUEUE[mode]}",
        any(s.dtype != dst.dtype for s in srcs),
    )


def _contiguous(tensor: NkiTensor) -> int:
    """Bytes of one contiguous run, the piece one descriptor moves; partitions are never contiguous."""
    in_rows = tensor.rows is not None or tensor.layout.memory != "hbm"
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
    scattered = _scattered("dma_transpose", dst, src)
    key = ("dma_transpose", dst.layout, src.layout, dst.dynamic, src.dynamic, scattered, dge_mode)
    operation, transfer = KNOWN.get(key) or learn(key, _transpose(dst, src, dge_mode))
    order = tuple(axes) if axes is not None else TRANSPOSED[src.ndim]
    if computing(dst):
        store(dst, src.array.transpose(order))
    return issue(operation, (dst,), (src,), name, transfer)


def _transpose(dst: NkiTensor, src: NkiTensor, dge_mode: Dge | int) -> Movement:
    size = src.layout.itemsize
    if size not in (2, 4) or (size == 4 and src.rows is not None):
        raise refuse("dma-transpose-dtype", f"dma_transpose of {src.dtype.name}", "use a 2-byte dtype")
    check_same_size("dma_transpose", dst, src)
    mode, trigger = _resolved(Dge.none if size == 4 else dge_mode, Engine.unknown, src.rows is not None)
    operation = operation_on("dma_transpose", "DMA_TRANSPOSE", trigger, (dst, src), free_elements(dst))
    return operation, _transfer("dma_transpose", dst, (src,), mode, trigger, transpose=True)


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
    transfer = _transfer("dma_compute", dst, tuple(srcs), mode, trigger)
    return emit(
        "dma_compute",
        "DMA_DIRECT2D",
        trigger,
        (dst,),
        tuple(srcs),
        free_elements(dst),
        name=name,
        transfer=transfer,
    )
