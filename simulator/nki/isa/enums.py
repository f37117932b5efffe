"""The enumerations of `nki.isa`, with the numbers of NKI 0.6."""

from __future__ import annotations

import enum


class _Choice(enum.Enum):
    """Hashed by identity: Python's own hash of a member is a call, and members are part of many keys."""

    __hash__ = object.__hash__


class engine(_Choice):  # noqa: N801 - the name kernels use
    """Where an instruction runs; `unknown` leaves the choice to the compiler."""

    unknown = 0
    tensor = 1
    scalar = 2
    gpsimd = 3
    dma = 4
    vector = 5
    sync = 6


class dge_mode(_Choice):  # noqa: N801
    """Who generates a transfer's descriptors."""

    unknown = 0
    swdge = 1
    hwdge = 2
    none = 3


class oob_mode(_Choice):  # noqa: N801
    """What an index outside the tensor does."""

    error = 0
    skip = 1


class reduce_cmd(_Choice):  # noqa: N801
    """What happens to the engine's accumulator."""

    idle = 0
    reset = 1
    reduce = 2
    reset_reduce = 3
    load_reduce = 4


class nc_version(enum.IntEnum):  # noqa: N801
    """Generation of a NeuronCore: trn1, trn2, trn3."""

    gen2 = 2
    gen3 = 3
    gen4 = 4


class matmul_perf_mode(_Choice):  # noqa: N801
    """Faster fp8 matmuls."""

    none = "none"
    double_row = "double_row"


class dma_engine(_Choice):  # noqa: N801
    """Who moves the data of a sendrecv."""

    dma = 1
    gpsimd_dma = 2
