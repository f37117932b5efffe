"""What the hardware and the compiler refuse, a function a rule; `execute` adds the kernel's file and line."""

from __future__ import annotations

from simulator.errors import KernelRefused
from simulator.nki.tensor import NkiTensor

PARTITIONS = 128
STATIONARY_FREE = 128
MOVING_FREE = {"trn2": 512}
"""Columns of a matmul's moving tile: a bank of float32. Later ones write all of PSUM (nki.isa of NKI 0.6)."""
PSUM_PARTITION_BYTES = 16 * 1024
PSUM_BANK_BYTES = 2048


def refuse(rule: str, message: str, hint: str) -> KernelRefused:
    """The refusal of a kernel that breaks `rule`."""
    return KernelRefused(message, hint, rule=rule)


def check_generation(call: str, target: str) -> None:
    """Instructions that NeuronCore-v4 brought (NKI docs)."""
    if target == "trn2":
        raise refuse("generation", f"{call} on {target}: it came with NeuronCore-v4", "profile it for trn3")


def check_allocation(memory: str, shape: tuple[int, ...], bytes_per_partition: int) -> None:
    """Partition dimension at most 128; a PSUM tile at most 16 KiB per partition."""
    if memory == "hbm":
        return
    if not shape or shape[0] > PARTITIONS:
        raise refuse(
            "partition-dimension",
            f"a tile of shape {shape} has {shape[0] if shape else 0} partitions",
            f"put at most {PARTITIONS} on the first dimension",
        )
    if memory == "psum" and bytes_per_partition > PSUM_PARTITION_BYTES:
        raise refuse(
            "psum-capacity",
            f"a PSUM tile of {bytes_per_partition} bytes per partition exceeds {PSUM_PARTITION_BYTES}",
            "split the tile over the free dimension",
        )


def check_partitions(call: str, *tensors: NkiTensor) -> None:
    """Start partition: 0 above 64 partitions, 0 or 64 above 32, else a multiple of 32 (SDK docs)."""
    for tensor in tensors:
        start, count = tensor.layout.row, tensor.layout.partitions
        step = 128 if count > 64 else 64 if count > 32 else 32
        if start % step:
            raise refuse(
                "start-partition",
                f"{call} reaches {count} partitions of {tensor.name!r} from partition {start}",
                f"start at a multiple of {step}" if step < 128 else "start at partition 0",
            )


def check_same_size(call: str, *tensors: NkiTensor) -> None:
    """Every operand has as many elements as the first."""
    size = tensors[0].layout.size
    for tensor in tensors[1:]:
        if tensor.layout.size != size:
            shapes = " and ".join(str(t.shape) for t in tensors)
            raise refuse("shape", f"{call} is given shapes {shapes}", "make the element counts equal")


def check_on_chip(call: str, *tensors: NkiTensor) -> None:
    """Compute engines reach SBUF and PSUM only."""
    for tensor in tensors:
        if tensor.layout.memory == "hbm":
            raise refuse(
                "operand-memory",
                f"{call} is given {tensor.storage.name!r}, which is in HBM",
                "bring it to SBUF with nisa.dma_copy first",
            )


def check_engine(call: str, engine: str, allowed: tuple[str, ...], *tensors: NkiTensor) -> None:
    """The engine can run the call, and GpSimd reaches no PSUM."""
    if engine not in allowed:
        raise refuse("engine", f"{call} cannot run on {engine}", f"use {' or '.join(allowed)}")
    if engine == "gpsimd" and any(t.layout.memory == "psum" for t in tensors):
        raise refuse(
            "gpsimd-psum", f"{call} on gpsimd touches PSUM, which it cannot reach", "use vector or scalar"
        )


def check_matmul(
    target: str, dst: NkiTensor, stationary: NkiTensor, moving: NkiTensor
) -> tuple[int, int, int]:
    """Tile limits and memories of a matmul; returns (contracted rows, stationary columns, moving columns)."""
    rows = stationary.layout.partitions
    columns, width = stationary.layout.free, moving.layout.free
    if moving.layout.partitions != rows:
        raise refuse(
            "shape",
            f"nc_matmul contracts {rows} stationary with {moving.layout.partitions} moving partitions",
            "give both the same number of partitions",
        )
    most = MOVING_FREE.get(target, PSUM_PARTITION_BYTES // dst.layout.itemsize)
    if columns > STATIONARY_FREE or width > most:
        raise refuse(
            "tile-limit",
            f"nc_matmul of {columns} stationary and {width} moving columns",
            f"use at most {STATIONARY_FREE} and {most} on {target}",
        )
    if stationary.layout.memory != "sbuf" or moving.layout.memory != "sbuf" or dst.layout.memory != "psum":
        raise refuse(
            "operand-memory",
            "nc_matmul reads SBUF and writes PSUM only",
            "copy operands to SBUF, dst to nl.psum",
        )
    if dst.layout.size != columns * width:
        raise refuse("shape", f"nc_matmul gives [{columns}, {width}] but dst is {dst.shape}", "fit dst to it")
    return rows, columns, width


def check_tiling(
    call: str, stationary: tuple[int, int], position: tuple[int, ...], size: tuple[int, ...]
) -> None:
    """A part of the PE array: 32, 64 or 128 rows and columns from a multiple of them, no less than the
    stationary tile (NKI docs, nki.isa.nc_matmul).
    """
    if not size and not position:
        return
    fits = len(size) == len(position) == 2 and all(
        s in (32, 64, 128) and not p % s and 0 <= p < 128 and used <= s
        for s, p, used in zip(size, position, stationary, strict=True)
    )
    if not fits:
        raise refuse(
            "tile-position",
            f"{call} of {stationary[0]} x {stationary[1]} at {tuple(position)} in a tile of {tuple(size)}",
            "use 32, 64 or 128 rows and columns that hold it, from a multiple of them",
        )


def check_bank(call: str, dst: NkiTensor) -> None:
    """One matmul writes within one 2 KiB PSUM bank."""
    form = dst.layout
    used = form.free * form.itemsize
    if dst.start % form.row_bytes % PSUM_BANK_BYTES + used > PSUM_BANK_BYTES:
        raise refuse(
            "psum-bank",
            f"{call} writes {used} bytes per partition across a {PSUM_BANK_BYTES}-byte PSUM bank",
            "write at most 512 fp32 columns inside one bank",
        )
