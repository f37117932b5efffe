"""New tensors: in SBUF, PSUM or HBM, empty or filled, and constants that are there before the kernel runs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from simulator.nki import isa
from simulator.nki.dtypes import dtype_of
from simulator.nki.layout import Layout, packed
from simulator.nki.rules import check_allocation
from simulator.nki.storage import Storage, given
from simulator.nki.tensor import NkiTensor, whole
from simulator.nki.tracer import current, location

sbuf, psum, hbm, private_hbm, shared_hbm = "sbuf", "psum", "private_hbm", "private_hbm", "shared_hbm"
MEMORY: dict[str, Any] = {"sbuf": "sbuf", "psum": "psum"}


def ndarray(
    shape: tuple[int, ...],
    dtype: Any,
    buffer: str = sbuf,
    name: str = "",
    address: tuple[int, int] | None = None,
) -> NkiTensor:
    """A new tensor; the n-th `shared_hbm` tensor of a name is the same one for both cores of a pair."""
    program = current()
    memory = MEMORY.get(buffer, "hbm")
    form = _allocation(tuple([int(s) for s in shape]), dtype_of(dtype), memory)
    if buffer == shared_hbm:
        storage = _shared(form, name)
    else:
        storage = Storage(form, name or memory, program.core, None, address, location(program.launch))
        program.launch.add_storage(storage)
    return whole(storage, buffer)


@lru_cache(maxsize=1 << 12)
def _allocation(shape: tuple[int, ...], dtype: np.dtype[Any], memory: Any) -> Layout:
    """The form of a new tensor that the hardware has room for."""
    form = packed(shape, dtype, memory)
    check_allocation(memory, shape, form.free * form.itemsize)
    return form


def _shared(form: Layout, name: str) -> Storage:
    program = current()
    place = program.shared_count.get(name, 0)
    program.shared_count[name] = place + 1
    storage = program.launch.shared.get((name, place))
    if storage is None:
        storage = Storage(form, name or f"shared_hbm_{place}", None, None, None, location(program.launch))
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
    storage = given(array, memory, "constant", core=None if memory == "hbm" else program.core)
    program.launch.add_storage(storage)
    return whole(storage, buffer)
