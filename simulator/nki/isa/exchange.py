"""What the two cores of a pair do together: `sendrecv` and `core_barrier`."""

from __future__ import annotations

from typing import Any

from simulator.nki.isa.enums import dma_engine as DmaEngine
from simulator.nki.isa.enums import engine as Engine
from simulator.nki.numerics import computing, store
from simulator.nki.rules import check_same_size, refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import Handle, current, emit, free_elements
from simulator.trace import Transfer

GPSIMD_ELEMENTS = 256
"""Per partition, of any width: 1024 bytes of 32 bits, 512 of 16, 256 of 8."""


def sendrecv(
    src: NkiTensor,
    dst: NkiTensor,
    send_to_rank: int,
    recv_from_rank: int,
    pipe_id: int,  # noqa: ARG001 - pairs meet in program order
    dma_engine: DmaEngine = DmaEngine.dma,
    name: str | None = None,
) -> Handle:
    """Send src to the other core's SBUF and receive its src in dst."""
    program = current()
    if program.launch.lnc == 1:
        raise refuse("rendezvous", "sendrecv in a launch of one core", "launch the kernel with lnc 2")
    if int(send_to_rank) != 1 - program.core or int(recv_from_rank) != 1 - program.core:
        raise refuse(
            "rendezvous", f"core {program.core} exchanges with itself", "exchange with the other core"
        )
    by_gpsimd = dma_engine is DmaEngine.gpsimd_dma
    _check(src, dst, by_gpsimd)
    number, sent = program.launch.handover.meet(program, src.array.copy())
    if computing(dst):
        store(dst, sent[1 - program.core])
    form = src.layout
    transfer = Transfer(
        form.nbytes,
        form.partitions,
        form.nbytes // form.partitions,
        form.partitions,
        "sbuf",
        "sbuf",
        "swdge" if by_gpsimd else "none",
        queue="qGpsimdIntegrated" if by_gpsimd else "qSyncStatic",
    )
    return emit(
        "sendrecv",
        "SENDRECV",
        "gpsimd" if by_gpsimd else "sync",
        (dst,),
        (src,),
        free_elements(src),
        name=name,
        transfer=transfer,
        rendezvous=number,
    )


def _check(src: NkiTensor, dst: NkiTensor, by_gpsimd: bool) -> None:
    """Both in SBUF, alike, and small where GpSimd moves them (NKI docs, nki.isa.sendrecv)."""
    check_same_size("sendrecv", src, dst)
    if src.storage.memory != "sbuf" or dst.storage.memory != "sbuf":
        raise refuse("operand-memory", "sendrecv reads SBUF and writes SBUF only", "copy both to SBUF")
    if src.dtype != dst.dtype:
        raise refuse("dtype", f"sendrecv of {src.dtype.name} into {dst.dtype.name}", "give both one dtype")
    if by_gpsimd and src.layout.free > GPSIMD_ELEMENTS:
        raise refuse(
            "gpsimd-dma-size",
            f"sendrecv by gpsimd_dma of {src.layout.free} elements per partition",
            f"send at most {GPSIMD_ELEMENTS}, or use dma_engine.dma",
        )


def core_barrier(
    data: NkiTensor,
    cores: Any,  # noqa: ARG001 - a pair has two
    engine: Engine = Engine.gpsimd,
    name: str | None = None,
) -> Handle:
    """Both cores wait here for each other; `data` is visible to both afterwards."""
    program = current()
    number, _ = program.launch.handover.meet(program, None)
    where: Any = "gpsimd" if engine is Engine.unknown else engine.name
    return emit("core_barrier", "CORE_BARRIER", where, (data,), (), 1, name=name, rendezvous=number)
