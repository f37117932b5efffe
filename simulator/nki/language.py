"""`nki.language`: dtypes, memories, operations, tensors and loops under the names kernels use."""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from simulator.nki import isa
from simulator.nki.allocate import (
    empty_like,
    full,
    hbm,
    ndarray,
    ones,
    private_hbm,
    psum,
    sbuf,
    shared_constant,
    shared_hbm,
    shared_identity_matrix,
    zeros,
    zeros_like,
)
from simulator.nki.composed import (
    all,  # noqa: A004
    dropout,
    gather_flattened,
    load_transpose2d,
    matmul,
    mean,
    prod,
    rand,
    random_seed,
    rms_norm,
    softmax,
    transpose,
    var,
    where,
)
from simulator.nki.dtypes import DTYPES
from simulator.nki.isa.registers import branch
from simulator.nki.names import unknown_name
from simulator.nki.ops import OPS
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import current
from simulator.nki.wrappers import REDUCTIONS

USABLE_SBUF_BYTES = {"trn2": 212_984, "trn3": 245_752}
"""Per partition; aws-neuron/nkipy, HardwareConstants.h."""

SBUF_BYTES = {"trn2": 28 << 20, "trn3": 32 << 20}
"""Of a core; AWS Neuron SDK docs, architecture guides of Trainium2 and Trainium3."""


class _TileSize:
    """`nl.tile_size`: the hardware's limits."""

    pmax = 128
    psum_fmax = psum_bank_fmax = 512
    psum_bank_fmax_bytes = 2048
    gemm_stationary_fmax = 128
    gemm_moving_fmax = 512
    bn_stats_fmax = 512
    psum_min_align = sbuf_min_align = 4
    psum_num_banks = 8

    @property
    def total_available_sbuf_size(self) -> int:
        """Usable SBUF bytes per partition on the target."""
        return USABLE_SBUF_BYTES[current().launch.target]

    sbuf_fmax_bytes = total_available_sbuf_size

    @property
    def sbuf_fmax(self) -> int:
        """The same in float32 elements."""
        return self.total_available_sbuf_size // 4

    @property
    def sbuf_size_bytes(self) -> int:
        """SBUF of the target, all partitions together."""
        return SBUF_BYTES[current().launch.target]


tile_size = _TileSize()


class NKIObject:
    """Base of the plain objects a kernel passes around.

    A dataclass takes what NKI's compiler lets public kernels do: fields that are not given are None, and
    attributes of the class that are no fields may be given.
    """

    def __new__(cls, *_arguments: Any, **_values: Any) -> NKIObject:
        code = getattr(cls.__init__, "__code__", None)
        if "__dataclass_fields__" in cls.__dict__ and code is not None and code.co_filename == "<string>":
            _fill_missing(cls)
        return super().__new__(cls)

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)


def _fill_missing(cls: Any) -> None:
    """Wrap the constructor `dataclass` generated; one the author wrote is left alone."""
    made = cls.__init__
    order = [field for field in dataclasses.fields(cls) if field.init]
    required = [
        (place, field.name)
        for place, field in enumerate(order)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]

    fields = {field.name for field in order}

    def init(self: Any, *arguments: Any, **values: Any) -> None:
        for place, name in required:
            if place >= len(arguments):
                values.setdefault(name, None)
        others = {name: values.pop(name) for name in [*values] if name not in fields and hasattr(cls, name)}
        made(self, *arguments, **values)
        for name, value in others.items():
            setattr(self, name, value)

    cls.__init__ = init


def load(src: NkiTensor, dtype: Any = None) -> NkiTensor:
    """A tile of SBUF with what an HBM view holds."""
    tile = ndarray(src.shape, dtype or src.dtype)
    isa.dma_copy(dst=tile, src=src)
    return tile


def store(dst: NkiTensor, value: NkiTensor) -> None:
    """A tile into an HBM view."""
    isa.dma_copy(dst=dst, src=value)


def program_id(axis: int = 0) -> int:  # noqa: ARG001 - a launch has one axis
    """Index of this core in the launch grid."""
    return current().core


def num_programs(axes: int = 0) -> int:  # noqa: ARG001
    """Cores of the launch grid."""
    return current().launch.lnc


def program_ndim() -> int:
    """Dimensions of the launch grid: none for a single core."""
    return 1 if current().launch.lnc > 1 else 0


def ds(start: Any, size: int) -> slice:
    """`size` elements from `start`."""
    return slice(int(start), int(start) + size)


def static_range(start: Any, stop: Any = None, step: Any = 1) -> range:
    """A loop; every loop of NKI is unrolled as it is traced."""
    return range(int(start)) if stop is None else range(int(start), int(stop), int(step))


affine_range = sequential_range = static_range


def dynamic_range(start: Any, stop: Any = None, step: Any = 1) -> Iterator[isa.VirtualRegister]:
    """A hardware loop over register bounds: runs as often as the given data says, a branch per iteration."""
    for value in static_range(start, stop, step):
        branch()
        yield isa.VirtualRegister(value)


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any], Any], step: Any = 1) -> None:
    """`body_fun(i)` for every i of a hardware loop."""
    for index in dynamic_range(lower, upper, step):
        body_fun(index)


def while_loop(init: isa.VirtualRegister, body_fun: Callable[[Any], Any]) -> None:
    """`state = body_fun(state)` while the register is not zero."""
    state = init
    while state:
        state = body_fun(state)


@contextlib.contextmanager
def no_reorder() -> Iterator[None]:
    """Instructions inside keep the author's order."""
    program = current()
    program.in_order += 1
    try:
        yield
    finally:
        program.in_order -= 1


def device_print(print_prefix: str, tensor: NkiTensor) -> None:
    """Printing on a device costs nothing here and says nothing."""


def expand_dims(x: NkiTensor, axis: int) -> NkiTensor:
    """A dimension of size one at `axis`."""
    return x.expand_dim(axis)


def broadcast_to(x: NkiTensor, shape: tuple[int, ...], dtype: Any = None) -> NkiTensor:  # noqa: ARG001
    """Dimensions of size one repeated to `shape`."""
    for dim, size in enumerate(shape):
        if x.shape[dim] != size:
            x = x.broadcast(dim, size)
    return x


def is_hbm(buffer: Any) -> bool:
    """Whether a memory region is HBM."""
    return buffer in (private_hbm, shared_hbm)


def is_sbuf(buffer: Any) -> bool:
    """Whether a memory region is SBUF."""
    return bool(buffer == sbuf)


def is_psum(buffer: Any) -> bool:
    """Whether a memory region is PSUM."""
    return bool(buffer == psum)


def is_on_chip(buffer: Any) -> bool:
    """Whether a memory region is SBUF or PSUM."""
    return is_sbuf(buffer) or is_psum(buffer)


ALIASES = {"max": "maximum", "min": "minimum", "sum": "add", "bool": "bool_"}


NAMES: dict[str, Any] = {**OPS, **DTYPES}
NAMES |= {alias: NAMES[name] for alias, name in ALIASES.items()}
NAMES |= REDUCTIONS
globals().update({name: value for name, value in NAMES.items() if not hasattr(builtins, name)})
"""Kernels look these up by the thousand; Python's own names stay what they are in this file."""


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return NAMES[name]
    raise unknown_name("nki.language", name)


__all__ = [
    "all",
    "dropout",
    "empty_like",
    "full",
    "gather_flattened",
    "hbm",
    "load_transpose2d",
    "matmul",
    "mean",
    "ndarray",
    "ones",
    "private_hbm",
    "prod",
    "psum",
    "rand",
    "random_seed",
    "rms_norm",
    "sbuf",
    "shared_constant",
    "shared_hbm",
    "shared_identity_matrix",
    "softmax",
    "transpose",
    "var",
    "where",
    "zeros",
    "zeros_like",
]
