"""`nki.language`: dtypes, memories, operations, tensors and loops under the names kernels use."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from simulator.nki import isa
from simulator.nki.dtypes import DTYPES, dtype_of
from simulator.nki.names import unknown_name
from simulator.nki.ops import OPS
from simulator.nki.rules import check_allocation
from simulator.nki.storage import Storage
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import current, location

sbuf, psum, hbm, private_hbm, shared_hbm = "sbuf", "psum", "private_hbm", "private_hbm", "shared_hbm"
MEMORY: dict[str, Any] = {"sbuf": "sbuf", "psum": "psum"}
USABLE_SBUF_BYTES = {"trn2": 212_984, "trn3": 245_752}
"""Per partition; aws-neuron/nkipy, HardwareConstants.h."""


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

    sbuf_size_bytes = sbuf_fmax_bytes = total_available_sbuf_size


tile_size = _TileSize()


class NKIObject:
    """Base of the plain objects a kernel passes around."""

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)


def ndarray(
    shape: tuple[int, ...],
    dtype: Any,
    buffer: str = sbuf,
    name: str = "",
    address: tuple[int, int] | None = None,
) -> NkiTensor:
    """A new tensor; the n-th `shared_hbm` tensor of a name is the same one for both cores of a pair."""
    program = current()
    sizes = tuple(int(s) for s in shape)
    kind = dtype_of(dtype)
    memory = MEMORY.get(buffer, "hbm")
    check_allocation(memory, sizes, int(np.prod(sizes[1:], dtype=np.int64)) * kind.itemsize)
    if buffer == shared_hbm:
        storage = _shared(sizes, kind, name)
    else:
        storage = Storage(np.zeros(sizes, kind), memory, name or memory, filled=False, core=program.core)
        storage.address = address
        storage.source = location(program.launch)
        program.launch.add_storage(storage)
    return NkiTensor(storage, storage.data, buffer)


def _shared(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> Storage:
    program = current()
    place = program.shared_count.get(name, 0)
    program.shared_count[name] = place + 1
    storage = program.launch.shared.get((name, place))
    if storage is None:
        storage = Storage(
            np.zeros(shape, dtype), "hbm", name or f"shared_hbm_{place}", filled=False, core=None
        )
        storage.source = location(program.launch)
        program.launch.shared[name, place] = storage
        program.launch.add_storage(storage)
    return storage


def full(
    shape: tuple[int, ...], fill_value: Any, dtype: Any, buffer: str = sbuf, name: str = ""
) -> NkiTensor:
    """A tile filled with one value."""
    tensor = ndarray(shape, dtype, buffer, name)
    isa.memset(dst=tensor, value=fill_value)
    return tensor


def zeros(shape: tuple[int, ...], dtype: Any, buffer: str = sbuf, name: str = "") -> NkiTensor:
    """A tile of zeros."""
    return full(shape, 0, dtype, buffer, name)


def ones(shape: tuple[int, ...], dtype: Any, buffer: str = sbuf, name: str = "") -> NkiTensor:
    """A tile of ones."""
    return full(shape, 1, dtype, buffer, name)


def empty_like(x: NkiTensor, dtype: Any = None, buffer: str | None = None, name: str = "") -> NkiTensor:
    """A tile of the shape of another."""
    return ndarray(x.shape, dtype or x.dtype, buffer or x.buffer, name)


def zeros_like(x: NkiTensor, dtype: Any = None, buffer: str | None = None, name: str = "") -> NkiTensor:
    """A tile of zeros of the shape of another."""
    return zeros(x.shape, dtype or x.dtype, buffer or x.buffer, name)


def load(src: NkiTensor, dtype: Any = None) -> NkiTensor:
    """A tile of SBUF with what an HBM view holds."""
    tile = ndarray(src.shape, dtype or src.dtype)
    isa.dma_copy(dst=tile, src=src)
    return tile


def store(dst: NkiTensor, value: NkiTensor) -> None:
    """A tile into an HBM view."""
    isa.dma_copy(dst=dst, src=value)


def shared_constant(constant: Any) -> NkiTensor:
    """A NumPy array as an HBM tensor that is there before the kernel runs."""
    return _constant(np.ascontiguousarray(constant), "hbm", shared_hbm)


def shared_identity_matrix(n: int, dtype: Any = "uint8", dst: NkiTensor | None = None) -> NkiTensor:
    """The n x n identity in SBUF."""
    tensor = _constant(np.eye(n, dtype=dtype_of(dtype)), "sbuf", sbuf)
    if dst is None:
        return tensor
    isa.tensor_copy(dst=dst, src=tensor)
    return dst


def _constant(array: np.ndarray[Any, Any], memory: Any, buffer: str) -> NkiTensor:
    program = current()
    storage = Storage(array, memory, "constant", filled=True, core=None if memory == "hbm" else program.core)
    program.launch.add_storage(storage)
    return NkiTensor(storage, storage.data, buffer)


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
    from simulator.nki.tracer import emit

    for value in static_range(start, stop, step):
        emit("branch", "COMPARE_BRANCH", "sync", (), (), 1)
        yield isa.VirtualRegister(value)


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any], Any], step: Any = 1) -> None:
    """`body_fun(i)` for every i of a hardware loop."""
    for index in dynamic_range(lower, upper, step):
        body_fun(index)


def while_loop(init: isa.VirtualRegister, body_fun: Callable[[Any], Any]) -> None:
    """`state = body_fun(state)` while the register is not zero."""
    state = init
    while int(state):
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


def __getattr__(name: str) -> Any:
    known = ALIASES.get(name, name)
    if known in OPS:
        return OPS[known]
    if known in DTYPES:
        return DTYPES[known]
    raise unknown_name("nki.language", name)
