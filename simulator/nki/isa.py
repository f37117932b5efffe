"""`nki.isa` as this machine executes it."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from simulator.nki.dtypes import dtype_of
from simulator.nki.ops import OPS, Op
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import Handle, current, emit, f32, free_elements, refused
from simulator.nki.exchange import core_barrier, sendrecv
from simulator.trace import Transfer


class engine(enum.Enum):
    unknown = 0
    tensor = 1
    scalar = 2
    gpsimd = 3
    dma = 4
    vector = 5
    sync = 6


tensor_engine = engine.tensor
vector_engine = engine.vector
scalar_engine = engine.scalar
gpsimd_engine = engine.gpsimd
unknown_engine = engine.unknown


class dge_mode(enum.Enum):
    unknown = 0
    swdge = 1
    hwdge = 2
    none = 3


class oob_mode(enum.Enum):
    error = 0
    skip = 1


class reduce_cmd(enum.Enum):
    idle = 0
    reset = 1
    reduce = 2
    reset_reduce = 3
    load_reduce = 4


class nc_version(enum.IntEnum):
    gen2 = 2
    gen3 = 3
    gen4 = 4


class matmul_perf_mode(enum.Enum):
    none = "none"
    double_row = "double_row"


def get_nc_version() -> nc_version:
    return {"trn2": nc_version.gen3, "trn3": nc_version.gen4}[current().launch.target]


def _eng(e: Any, default: str) -> Any:
    return default if e is engine.unknown else e.name


def put(dst: NkiTensor, value: Any) -> None:
    a = dst.array
    value = np.asarray(value)
    if value.shape != a.shape:
        value = value.reshape(a.shape)
    if a.dtype.kind in "iu" and value.dtype.kind == "f":
        value = np.rint(value)
        info = np.iinfo(a.dtype)
        value = np.clip(value, info.min, info.max)
    a[...] = value.astype(a.dtype, copy=False)


def _values() -> bool:
    return current().launch.values


def _kind(t: NkiTensor) -> bool:
    return _values() or t.array.dtype.kind in "iu"


def _contig(*ts: NkiTensor) -> bool:
    return all(
        t.array.ndim < 2 or t.array.shape[-1] == 1 or t.array.strides[-1] == t.array.itemsize for t in ts
    )


def _runs(t: NkiTensor) -> int:
    """Bytes of a contiguous run."""
    run = t.array.itemsize
    dims = list(zip(t.array.shape, t.array.strides))
    if t.storage.memory != "hbm":
        dims = dims[1:]
    for n, s in reversed(dims):
        if n == 1:
            continue
        if s != run:
            break
        run *= n
    return run


def dma_copy(
    dst,
    src,
    priority=None,
    oob_mode=oob_mode.error,
    dge_mode=dge_mode.unknown,
    engine=engine.unknown,
    name=None,
):
    if dst.array.size != src.array.size:
        raise refused(
            f"dma_copy moves {src.shape} into {dst.shape}", "make the element counts equal", "shape"
        )
    dynamic = dst.dynamic or src.dynamic
    mode = dge_mode.name
    if mode == "unknown":
        mode = "swdge" if engine.name == "unknown" or engine.name == "gpsimd" else "hwdge"
    eng = {
        "swdge": "gpsimd",
        "hwdge": engine.name if engine.name in ("sync", "scalar") else "sync",
        "none": "sync",
    }[mode]
    if _kind(dst):
        s = src.array
        if s.shape != dst.array.shape:
            s = s.reshape(dst.array.shape)
        if dst.rows is not None:
            r = dst.rows
            r.flat[r.cells[r.inside]] = s[r.inside].astype(dst.array.dtype)
            if dst.storage.written is not None:
                dst.storage.written.reshape(-1)[r.cells[r.inside]] = True
        elif src.rows is not None and not src.rows.inside.all():
            if oob_mode.name == "error":
                raise refused("dma_copy gathers a row outside the tensor", "use oob_mode.skip or fix the index", "bounds")
            keep = src.rows.inside
            dst.array[keep] = s[keep].astype(dst.array.dtype)
        else:
            put(dst, s)
    nbytes = dst.array.nbytes
    run = min(_runs(dst), _runs(src) * dst.array.itemsize // src.array.itemsize) or 1
    parts = next((t.array.shape[0] for t in (dst, src) if t.storage.memory != "hbm"), 0)
    n = max(1, nbytes // run)
    q = "q" + eng.capitalize() + {"swdge": "Dynamic", "hwdge": "DynamicHW", "none": "Static"}[mode]
    t = Transfer(
        nbytes, n, nbytes / n, parts, src.storage.memory, dst.storage.memory, mode, dynamic, False, q
    )
    return emit("dma_copy", "DMA_DIRECT2D", eng, (dst,), (src,), free_elements(dst), name=name, transfer=t)


def dma_transpose(
    dst, src, axes=None, priority=None, dge_mode=dge_mode.unknown, oob_mode=oob_mode.error, name=None
):
    a = src.array
    out = a.transpose(axes) if axes else a.reshape(a.shape[0], -1).T
    if _kind(dst):
        put(dst, out)
    nbytes = dst.array.nbytes
    t = Transfer(
        nbytes,
        max(1, nbytes // 256),
        256,
        dst.array.shape[0],
        src.storage.memory,
        dst.storage.memory,
        "swdge",
        src.dynamic,
        True,
        "qGpsimdDynamic",
    )
    return emit(
        "dma_transpose", "DMA_TRANSPOSE", "gpsimd", (dst,), (src,), free_elements(dst), name=name, transfer=t
    )


def tensor_copy(dst, src, engine=engine.unknown, name=None):
    if _kind(dst):
        put(dst, src.array)
    return emit(
        "tensor_copy",
        "COPY",
        _eng(engine, "vector"),
        (dst,),
        (src,),
        free_elements(src),
        name=name,
        contiguous=_contig(dst, src),
    )


def memset(dst, value, engine=engine.unknown, name=None):
    if _kind(dst):
        dst.array[...] = np.asarray(value).astype(dst.array.dtype)
    return emit(
        "memset", "MEMSET", _eng(engine, "vector"), (dst,), (), free_elements(dst), name=name, value=value
    )


def nc_matmul(
    dst,
    stationary,
    moving,
    is_stationary_onezero=False,
    is_moving_onezero=False,
    is_transpose=False,
    accumulate=None,
    tile_position=(),
    tile_size=(),
    perf_mode=matmul_perf_mode.none,
    name=None,
):
    s, m = stationary.array, moving.array
    k = s.shape[0]
    M = s.size // k
    N = m.size // m.shape[0]
    if k != m.shape[0]:
        raise refused(
            f"nc_matmul contracts {k} with {m.shape[0]} partitions", "give both the same partitions", "shape"
        )
    if M > 128 or N > 512:
        raise refused(
            f"nc_matmul of stationary {M} x moving {N}", "use at most 128 and 512 columns", "tile-limit"
        )
    if dst.storage.memory != "psum":
        raise refused("nc_matmul writes PSUM only", "allocate dst in nl.psum", "operand-memory")
    if dst.array.size != M * N:
        raise refused(f"nc_matmul gives [{M}, {N}], dst is {dst.shape}", "fix dst", "shape")
    add = bool(accumulate) if accumulate is not None else (dst.mask is None or bool(dst.mask.all()))
    if _values():
        r = s.reshape(k, M).astype(np.float32).T @ m.reshape(k, N).astype(np.float32)
        d = dst.array.reshape(M, N)
        if add:
            r = r + d.astype(np.float32)
        d[...] = r.astype(d.dtype)
    reads = (stationary, moving) + ((dst,) if add else ())
    return emit(
        "nc_matmul",
        "MATMUL",
        "tensor",
        (dst,),
        reads[:2],
        N,
        macs=k * M * N,
        name=name,
        stationary_free=M,
        k_rows=k,
        is_transpose=is_transpose,
        accumulate=add,
        perf_mode=perf_mode.value,
    )


def nc_transpose(dst, data, engine=engine.unknown, name=None):
    a = data.array
    p = a.shape[0]
    f = a.size // p
    eng = _eng(engine, "vector" if p <= 32 and f <= 32 and dst.storage.memory == "sbuf" else "tensor")
    if _kind(dst):
        dst.array[...] = a.reshape(p, f).T.reshape(dst.array.shape).astype(dst.array.dtype)
    return emit(
        "nc_transpose",
        "TRANSPOSE" if eng == "vector" else "MATMUL",
        eng,
        (dst,),
        (data,),
        p if eng == "tensor" else f,
        macs=0,
        name=name,
        is_transpose=True,
        stationary_free=f,
        k_rows=p,
    )


def _operand(x, like):
    if isinstance(x, NkiTensor):
        a = f32(x.array)
        a = a.reshape(a.shape[0], -1)
        return (
            a.reshape((a.shape[0],) + (1,) * (like.array.ndim - 1))
            if a.shape[1] == 1
            else a.reshape(like.array.shape)
        )
    return np.float32(x) if not isinstance(x, int) or like.array.dtype.kind == "f" else x


def _t(*xs):
    return tuple(x for x in xs if isinstance(x, NkiTensor))


def _calc(op, a, b, reverse=False):
    return op.compute(b, a) if reverse else op.compute(a, b)


def tensor_tensor(dst, data1, data2, op, engine=engine.unknown, name=None):
    if data1.array.size != data2.array.size:
        raise refused(f"tensor_tensor of {data1.shape} and {data2.shape}", "make the shapes equal", "shape")
    if _kind(dst):
        put(dst, op.compute(f32(data1.array), f32(data2.array).reshape(data1.array.shape)))
    return emit(
        "tensor_tensor",
        "TENSOR_TENSOR",
        _eng(engine, "vector"),
        (dst,),
        (data1, data2),
        free_elements(data1),
        name=name,
        op=op.name,
        contiguous=_contig(dst, data1, data2),
    )


def tensor_scalar(
    dst,
    data,
    op0,
    operand0,
    reverse0=False,
    op1=None,
    operand1=None,
    reverse1=False,
    engine=engine.unknown,
    name=None,
):
    if _kind(dst):
        v = _calc(op0, f32(data.array), _operand(operand0, data), reverse0)
        if op1 is not None:
            v = _calc(op1, v, _operand(operand1, data), reverse1)
        put(dst, v)
    return emit(
        "tensor_scalar",
        "TENSOR_SCALAR",
        _eng(engine, "vector"),
        (dst,),
        (data, *_t(operand0, operand1)),
        free_elements(data),
        name=name,
        op=op0.name,
        pointers=len(_t(operand0, operand1)),
        contiguous=_contig(dst, data),
    )


def scalar_tensor_tensor(dst, data, op0, operand0, op1, operand1, reverse0=False, reverse1=False, name=None):
    if _kind(dst):
        v = _calc(op0, f32(data.array), _operand(operand0, data), reverse0)
        put(dst, _calc(op1, v, f32(operand1.array).reshape(data.array.shape), reverse1))
    return emit(
        "scalar_tensor_tensor",
        "SCALAR_TENSOR_TENSOR",
        "vector",
        (dst,),
        (data, operand1, *_t(operand0)),
        free_elements(data),
        name=name,
        pointers=len(_t(operand0)),
    )


def _fold(op, a, axes):
    f = op.reduce
    return f.reduce(a, axis=axes) if f is not np.subtract else None


def tensor_reduce(dst, op, data, axis, negate=False, keepdims=False, name=None):
    if _kind(dst):
        axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
        a = f32(data.array)
        for ax in sorted((x % a.ndim for x in axes), reverse=True):
            a = op.reduce.reduce(a, axis=ax)
        put(dst, -a if negate else a)
    return emit(
        "tensor_reduce",
        "TENSOR_REDUCE",
        "vector",
        (dst,),
        (data,),
        free_elements(data),
        name=name,
        op=op.name,
    )


def _act(op, data, bias, scale):
    v = f32(data.array) * (_operand(scale, data) if isinstance(scale, NkiTensor) else np.float32(scale))
    if bias is not None:
        v = v + _operand(bias, data)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return op.compute(v)


def activation(
    dst,
    op,
    data,
    bias=None,
    scale=1.0,
    reduce_op=None,
    reduce_res=None,
    reduce_cmd=reduce_cmd.idle,
    name=None,
):
    outs = (dst,)
    if _values():
        v = _act(op, data, bias, scale)
        put(dst, v)
    if reduce_res is not None:
        if _values():
            put(reduce_res, v.reshape(v.shape[0], -1).sum(axis=1, dtype=np.float32))
        outs = (dst, reduce_res)
    return emit(
        "activation",
        "ACTIVATE",
        "scalar",
        outs,
        (data, *_t(bias, scale)),
        free_elements(data),
        name=name,
        op=op.name,
        pointers=len(_t(bias, scale)),
        reduce=reduce_res is not None,
    )


def activation_reduce(dst, op, data, reduce_op, reduce_res, bias=None, scale=1.0, name=None):
    if _values():
        v = _act(op, data, bias, scale)
        put(dst, v)
        put(reduce_res, v.reshape(v.shape[0], -1).sum(axis=1, dtype=np.float32))
    return emit(
        "activation_reduce",
        "ACTIVATE",
        "scalar",
        (dst, reduce_res),
        (data, *_t(bias, scale)),
        free_elements(data),
        name=name,
        op=op.name,
        reduce=True,
        pointers=len(_t(bias, scale)),
    )


def reciprocal(dst, data, name=None):
    if _values():
        put(dst, 1 / f32(data.array))
    return emit("reciprocal", "RECIPROCAL", "vector", (dst,), (data,), free_elements(data), name=name)


def iota(dst, pattern, offset=0, channel_multiplier=0, name=None):
    a = dst.array
    v = np.full(tuple(n for _, n in pattern), offset, np.int64)
    for ax, (s, n) in enumerate(pattern):
        v = v + (np.arange(n) * s).reshape((1,) * ax + (n,) + (1,) * (len(pattern) - ax - 1))
    full = np.arange(a.shape[0]).reshape((-1,) + (1,) * v.ndim) * channel_multiplier + v
    a[...] = full.reshape(a.shape).astype(a.dtype)
    return emit("iota", "IOTA", "gpsimd", (dst,), (), free_elements(dst), name=name)


def affine_select(
    dst, pattern, channel_multiplier, on_true_tile, on_false_value, cmp_op=OPS["equal"], offset=0, name=None
):
    a = dst.array
    v = np.full(tuple(n for _, n in pattern), offset, np.int64)
    for ax, (s, n) in enumerate(pattern):
        v = v + (np.arange(n) * s).reshape((1,) * ax + (n,) + (1,) * (len(pattern) - ax - 1))
    full = (np.arange(a.shape[0]).reshape((-1,) + (1,) * v.ndim) * channel_multiplier + v).reshape(a.shape)
    if _values():
        put(
            dst,
            np.where(
                cmp_op.compute(full, 0), f32(on_true_tile.array).reshape(a.shape), np.float32(on_false_value)
            ),
        )
    return emit(
        "affine_select", "IOTA_SELECT", "gpsimd", (dst,), (on_true_tile,), free_elements(dst), name=name
    )


def max8(dst, src, name=None):
    if _values():
        a = f32(src.array).reshape(src.array.shape[0], -1)
        put(dst, -np.sort(-a, axis=1)[:, :8])
    return emit("max8", "MAX8", "vector", (dst,), (src,), free_elements(src), name=name)


def _find(data, vals):
    a = f32(data.array).reshape(data.array.shape[0], -1)
    v = f32(vals.array).reshape(a.shape[0], -1)
    used = np.zeros(a.shape, bool)
    out = np.full(v.shape, -1, np.int64)
    for j in range(v.shape[1]):
        hit = (a == v[:, j : j + 1]) & ~used
        i = hit.argmax(axis=1)
        ok = hit[np.arange(len(i)), i]
        out[:, j] = np.where(ok, i, -1)
        used[np.arange(len(i))[ok], i[ok]] = True
    return out, used


def nc_find_index8(dst, data, vals, name=None):
    put(dst, _find(data, vals)[0])
    return emit(
        "nc_find_index8", "FIND_INDEX8", "vector", (dst,), (data, vals), free_elements(data), name=name
    )


def nc_match_replace8(dst, data, vals, imm, dst_idx=None, name=None):
    idx, used = _find(data, vals)
    if _values():
        put(dst, np.where(used.reshape(data.array.shape), np.float32(imm), f32(data.array)))
    if dst_idx is not None:
        put(dst_idx, idx)
    return emit(
        "nc_match_replace8",
        "MATCH_REPLACE8",
        "vector",
        (dst,) + _t(dst_idx),
        (data, vals),
        free_elements(data),
        name=name,
    )


def tensor_tensor_scan(dst, data0, data1, initial, op0, op1, reverse0=False, reverse1=False, name=None):
    if _kind(dst):
        a = f32(data0.array).reshape(data0.array.shape[0], -1)
        b = f32(data1.array).reshape(a.shape)
        r = np.empty_like(a)
        state = _operand(initial, data0)
        state = (
            np.broadcast_to(np.asarray(state, np.float32).reshape(-1), (a.shape[0],))
            if not isinstance(initial, NkiTensor)
            else np.asarray(state).reshape(-1)
        )
        for j in range(a.shape[1]):
            state = _calc(op1, _calc(op0, a[:, j], state, reverse0), b[:, j], reverse1)
            r[:, j] = state
        put(dst, r)
    return emit(
        "tensor_tensor_scan",
        "TENSOR_TENSOR_SCAN",
        "vector",
        (dst,),
        (data0, data1, *_t(initial)),
        free_elements(data0),
        name=name,
    )
