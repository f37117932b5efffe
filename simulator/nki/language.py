"""`nki.language` as this machine executes it."""

from __future__ import annotations
import contextlib, sys
from typing import Any
import numpy as np
from simulator.errors import UnknownName
from simulator.nki.dtypes import DTYPES, dtype_of
from simulator.nki.ops import OPS
from simulator.nki.tensor import NkiTensor, Storage
from simulator.nki.tracer import current, refused, location

globals().update(DTYPES)
globals().update(OPS)
max = OPS["maximum"]
min = OPS["minimum"]
sbuf = "sbuf"
psum = "psum"
hbm = "private_hbm"
private_hbm = "private_hbm"
shared_hbm = "shared_hbm"


class _TileSize:
    pmax = 128
    psum_fmax = 512
    psum_bank_fmax = 512
    gemm_stationary_fmax = 128
    gemm_moving_fmax = 512
    bn_stats_fmax = 512
    psum_num_banks = 8


tile_size = _TileSize()


class NKIObject:
    def __init__(self, **k):
        for a, b in k.items():
            setattr(self, a, b)


def ndarray(shape, dtype, buffer=sbuf, name="", address=None):
    p = current()
    launch = p.launch
    shape = tuple(int(s) for s in shape)
    dt = dtype_of(dtype)
    memory = {"sbuf": "sbuf", "psum": "psum"}.get(buffer, "hbm")
    if memory != "hbm" and shape[0] > 128:
        raise refused(f"a tile of {shape[0]} partitions", "use at most 128 partitions", "partition-dimension")
    if memory == "psum" and int(np.prod(shape[1:])) * dt.itemsize > 16384:
        raise refused(
            f"a PSUM tile of {int(np.prod(shape[1:])) * dt.itemsize} bytes per partition",
            "PSUM has 16 KiB",
            "psum-capacity",
        )
    if buffer == "shared_hbm":
        n = p.shared_count.get(name, 0)
        p.shared_count[name] = n + 1
        st = launch.shared.get((name, n))
        if st is None:
            st = Storage(np.zeros(shape, dt), "hbm", name or f"hbm{n}", filled=False, core=None)
            launch.shared[(name, n)] = st
            launch.add_storage(st)
    else:
        st = Storage(np.zeros(shape, dt), memory, name or memory, filled=False, core=p.core)
        st.address = address
        launch.add_storage(st)
    return NkiTensor(st, st.data, buffer, st.written)


def zeros(shape, dtype, buffer=sbuf, name=""):
    from simulator.nki import isa

    t = ndarray(shape, dtype, buffer, name)
    isa.memset(t, 0)
    return t


def program_id(axis=0):
    return current().core


def num_programs(axes=0):
    return current().launch.lnc


def program_ndim():
    return 1 if current().launch.lnc > 1 else 0


def ds(start, size):
    return slice(start, start + size)


def affine_range(a, b=None, step=1):
    return range(a) if b is None else range(a, b, step)


static_range = sequential_range = affine_range


@contextlib.contextmanager
def no_reorder():
    current().in_order += 1
    try:
        yield
    finally:
        current().in_order -= 1


def shared_identity_matrix(n, dtype="uint8", dst=None):
    p = current()
    st = Storage(np.eye(n, dtype=dtype_of(dtype)), "sbuf", "identity", filled=True, core=p.core)
    p.launch.add_storage(st)
    return NkiTensor(st, st.data, "sbuf", None)


def __getattr__(n):
    if n.startswith("__"):
        raise AttributeError(n)
    raise UnknownName(f"nki.language has no {n!r} here", "use a name of NKI 0.6")
