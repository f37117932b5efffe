"""Copies, fills, arithmetic, reductions and scans: VectorE, and ScalarE or GpSimd where they can."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.nki.isa.enums import engine as Engine
from simulator.nki.isa.enums import reduce_cmd as ReduceCmd
from simulator.nki.numerics import computing, flat, lift, operand, rounded, store
from simulator.nki.ops import Op
from simulator.nki.rules import check_engine, check_on_chip, check_partitions, check_same_size, refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import Handle, emit, free_elements

ANY = ("vector", "scalar", "gpsimd")


def _place(call: str, engine: Engine, default: str, allowed: tuple[str, ...], *tensors: NkiTensor) -> str:
    where = default if engine is Engine.unknown else engine.name
    check_engine(call, where, allowed, *tensors)
    check_on_chip(call, *tensors)
    check_partitions(call, *tensors)
    return where


def _tensors(*values: Any) -> tuple[NkiTensor, ...]:
    return tuple(v for v in values if isinstance(v, NkiTensor))


def _contiguous(*tensors: NkiTensor) -> bool:
    return all(
        t.array.ndim < 2 or t.array.shape[-1] == 1 or t.array.strides[-1] == t.array.itemsize for t in tensors
    )


def apply(op: Op, left: Any, right: Any, reverse: bool = False) -> Any:
    """One binary operation as the engines do it: silent overflow, booleans as 1.0 and 0.0."""
    with np.errstate(all="ignore"):
        return op.compute(right, left) if reverse else op.compute(left, right)


def tensor_copy(
    dst: NkiTensor, src: NkiTensor, engine: Engine = Engine.unknown, name: str | None = None
) -> Handle:
    """dst = src with a cast; vector by default."""
    where = _place("tensor_copy", engine, "vector", ANY, dst, src)
    check_same_size("tensor_copy", dst, src)
    if computing(dst):
        store(dst, lift(src.array) if src.array.dtype != dst.array.dtype else src.array)
    return emit(
        "tensor_copy",
        "COPY",
        where,
        (dst,),
        (src,),
        free_elements(src),
        name=name,
        contiguous=_contiguous(dst, src),
    )


def memset(dst: NkiTensor, value: Any, engine: Engine = Engine.unknown, name: str | None = None) -> Handle:
    """dst = value everywhere."""
    where = _place("memset", engine, "vector", ("vector", "gpsimd"), dst)
    if computing(dst):
        dst.array[...] = rounded(np.asarray(value), dst.array.dtype)
    return emit("memset", "MEMSET", where, (dst,), (), free_elements(dst), name=name, value=value)


def tensor_tensor(
    dst: NkiTensor,
    data1: NkiTensor,
    data2: NkiTensor,
    op: Op,
    engine: Engine = Engine.unknown,
    name: str | None = None,
) -> Handle:
    """dst = data1 op data2; on GpSimd for integers and power unless an operand is in PSUM, else on vector."""
    psum = any(t.storage.memory == "psum" for t in (dst, data1, data2))
    integers = all(t.array.dtype in (np.int32, np.uint32) for t in (data1, data2)) and not op.bitwise
    default = "gpsimd" if (integers or op.name == "power") and not psum else "vector"
    where = _place("tensor_tensor", engine, default, ("vector", "gpsimd"), dst, data1, data2)
    check_same_size("tensor_tensor", data1, data2, dst)
    if computing(dst):
        store(dst, apply(op, lift(data1.array), lift(data2.array).reshape(data1.array.shape)))
    return emit(
        "tensor_tensor",
        "TENSOR_TENSOR",
        where,
        (dst,),
        (data1, data2),
        free_elements(data1),
        name=name,
        op=op.name,
        contiguous=_contiguous(dst, data1, data2),
    )


def tensor_scalar(
    dst: NkiTensor,
    data: NkiTensor,
    op0: Op,
    operand0: Any,
    reverse0: bool = False,
    op1: Op | None = None,
    operand1: Any = None,
    reverse1: bool = False,
    engine: Engine = Engine.unknown,
    name: str | None = None,
) -> Handle:
    """dst = (data op0 operand0) op1 operand1; operands are constants or one value per partition."""
    where = _place("tensor_scalar", engine, "vector", ANY, dst, data, *_tensors(operand0, operand1))
    check_same_size("tensor_scalar", dst, data)
    if computing(dst):
        value = apply(op0, lift(data.array), operand(operand0, data), reverse0)
        if op1 is not None:
            value = apply(op1, value, operand(operand1, data), reverse1)
        store(dst, value)
    pointers = _tensors(operand0, operand1)
    return emit(
        "tensor_scalar",
        "TENSOR_SCALAR",
        where,
        (dst,),
        (data, *pointers),
        free_elements(data),
        name=name,
        op=op0.name,
        op1=op1.name if op1 else "",
        pointers=len(pointers),
        contiguous=_contiguous(dst, data),
    )


def scalar_tensor_tensor(
    dst: NkiTensor,
    data: NkiTensor,
    op0: Op,
    operand0: Any,
    op1: Op,
    operand1: NkiTensor,
    reverse0: bool = False,
    reverse1: bool = False,
    name: str | None = None,
) -> Handle:
    """dst = (data op0 operand0) op1 operand1 with operand0 per partition and operand1 a tile."""
    pointers = _tensors(operand0)
    _place("scalar_tensor_tensor", Engine.vector, "vector", ("vector",), dst, data, operand1, *pointers)
    check_same_size("scalar_tensor_tensor", data, operand1, dst)
    if computing(dst):
        value = apply(op0, lift(data.array), operand(operand0, data), reverse0)
        store(dst, apply(op1, value, lift(operand1.array).reshape(data.array.shape), reverse1))
    return emit(
        "scalar_tensor_tensor",
        "SCALAR_TENSOR_TENSOR",
        "vector",
        (dst,),
        (data, operand1, *pointers),
        free_elements(data),
        name=name,
        op=op0.name,
        pointers=len(pointers),
    )


def folded(op: Op, values: Any, axes: tuple[int, ...]) -> Any:
    """Reduce float32 values over free axes."""
    if op.reduce is None:
        raise refuse(
            "reduce-op", f"{op!r} does not reduce", "use nl.add, nl.multiply, nl.maximum or nl.minimum"
        )
    for axis in sorted((a % values.ndim for a in axes), reverse=True):
        values = op.reduce.reduce(values, axis=axis)
    return values


def tensor_reduce(
    dst: NkiTensor,
    op: Op,
    data: NkiTensor,
    axis: Any,
    negate: bool = False,
    keepdims: bool = False,  # noqa: ARG001 - dst's shape says it
    name: str | None = None,
) -> Handle:
    """Reduce free axes of data on vector."""
    _place("tensor_reduce", Engine.vector, "vector", ("vector",), dst, data)
    axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    if any(a % data.array.ndim == 0 for a in axes):
        raise refuse(
            "reduce-axis", "tensor_reduce over the partition axis", "use tensor_partition_reduce or a matmul"
        )
    if computing(dst):
        values = folded(op, lift(data.array), axes)
        store(dst, -values if negate else values)
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


def tensor_partition_reduce(dst: NkiTensor, op: Op, data: NkiTensor, name: str | None = None) -> Handle:
    """Reduce over partitions on GpSimd; dst has one partition."""
    _place("tensor_partition_reduce", Engine.gpsimd, "gpsimd", ("gpsimd",), dst, data)
    if computing(dst):
        store(dst, folded(op, lift(data.array), (0,)))
    return emit(
        "tensor_partition_reduce",
        "PARTITION_REDUCE",
        "gpsimd",
        (dst,),
        (data,),
        free_elements(data),
        name=name,
        op=op.name,
    )


def tensor_scalar_reduce(
    dst: NkiTensor,
    data: NkiTensor,
    op0: Op,
    operand0: Any,
    reduce_op: Op,
    reduce_res: NkiTensor | None = None,
    reverse0: bool = False,
    reduce_cmd: ReduceCmd = ReduceCmd.reset_reduce,  # noqa: ARG001 - one call is one whole reduction here
    reduce_init: Any = None,
    reduce_res_negate: bool = False,
    name: str | None = None,
) -> Handle:
    """dst = data op0 operand0, and reduce_res its reduction over the free dimensions."""
    outputs, pointers = (dst, *_tensors(reduce_res)), _tensors(operand0, reduce_init)
    _place("tensor_scalar_reduce", Engine.vector, "vector", ("vector",), *outputs, data, *pointers)
    if computing(dst):
        value = apply(op0, lift(data.array), operand(operand0, data), reverse0)
        store(dst, value)
        if reduce_res is not None:
            total = folded(reduce_op, np.asarray(value, np.float32).reshape(value.shape[0], -1), (1,))
            if reduce_init is not None:
                total = apply(reduce_op, total, np.asarray(operand(reduce_init, reduce_res)).reshape(-1))
            store(reduce_res, -total if reduce_res_negate else total)
    return emit(
        "tensor_scalar_reduce",
        "TENSOR_SCALAR",
        "vector",
        outputs,
        (data, *pointers),
        free_elements(data),
        name=name,
        op=op0.name,
        reduce=True,
        pointers=len(pointers),
    )


def reciprocal(dst: NkiTensor, data: NkiTensor, name: str | None = None) -> Handle:
    """dst = 1 / data on vector."""
    _place("reciprocal", Engine.vector, "vector", ("vector",), dst, data)
    if computing(dst):
        with np.errstate(divide="ignore"):
            store(dst, np.float32(1) / lift(data.array))
    return emit("reciprocal", "RECIPROCAL", "vector", (dst,), (data,), free_elements(data), name=name)


def tensor_tensor_scan(
    dst: NkiTensor,
    data0: NkiTensor,
    data1: NkiTensor,
    initial: Any,
    op0: Op,
    op1: Op,
    reverse0: bool = False,
    reverse1: bool = False,
    name: str | None = None,
) -> Handle:
    """state = (data0[i] op0 state) op1 data1[i] along the free dimension; every state is kept."""
    pointers = _tensors(initial)
    _place("tensor_tensor_scan", Engine.vector, "vector", ("vector",), dst, data0, data1, *pointers)
    check_same_size("tensor_tensor_scan", data0, data1, dst)
    if computing(dst):
        left, right = flat(data0), flat(data1)
        state = (
            flat(initial)[:, 0]
            if isinstance(initial, NkiTensor)
            else np.full(left.shape[0], initial, np.float32)
        )
        states = np.empty(left.shape, np.float32)
        for i in range(left.shape[1]):
            state = apply(op1, apply(op0, left[:, i], state, reverse0), right[:, i], reverse1)
            states[:, i] = state
        store(dst, states)
    return emit(
        "tensor_tensor_scan",
        "TENSOR_TENSOR_SCAN",
        "vector",
        (dst,),
        (data0, data1, *pointers),
        free_elements(data0),
        name=name,
        op=op0.name,
    )


def tensor_copy_predicated(
    dst: NkiTensor, src: Any, predicate: NkiTensor, reverse_pred: bool = False, name: str | None = None
) -> Handle:
    """dst = src where predicate is not zero (is zero, reversed); dst keeps its value elsewhere."""
    operands = (*_tensors(src), predicate)
    _place("tensor_copy_predicated", Engine.vector, "vector", ("vector",), dst, *operands)
    if computing(dst):
        keep = (predicate.array != 0).reshape(dst.array.shape)
        value = lift(src.array).reshape(dst.array.shape) if isinstance(src, NkiTensor) else np.float32(src)
        store(dst, np.where(keep != reverse_pred, value, lift(dst.array)))
    return emit(
        "tensor_copy_predicated", "COPY_PREDICATED", "vector", (dst,), operands, free_elements(dst), name=name
    )


def bn_stats(dst: NkiTensor, data: NkiTensor, name: str | None = None) -> Handle:
    """Count, mean and count x variance of the even and of the odd elements: six values per partition."""
    _place("bn_stats", Engine.vector, "vector", ("vector",), dst, data)
    if computing(dst):
        parts = [flat(data)[:, k::2] for k in (0, 1)]
        halves = [
            (np.full(p.shape[0], p.shape[1], np.float32), p.mean(axis=1), p.var(axis=1) * p.shape[1])
            for p in parts
        ]
        store(dst, np.stack([value for half in halves for value in half], axis=1))
    return emit("bn_stats", "BN_STATS", "vector", (dst,), (data,), free_elements(data), name=name)


def bn_aggr(dst: NkiTensor, data: NkiTensor, name: str | None = None) -> Handle:
    """Mean and variance from triples of (count, mean, count x variance)."""
    _place("bn_aggr", Engine.vector, "vector", ("vector",), dst, data)
    if computing(dst):
        triples = flat(data).reshape(data.array.shape[0], -1, 3)
        count = triples[:, :, 0]
        mean = (count * triples[:, :, 1]).sum(axis=1) / count.sum(axis=1)
        spread = (triples[:, :, 2] + count * (triples[:, :, 1] - mean[:, None]) ** 2).sum(axis=1)
        store(dst, np.stack([mean, spread / count.sum(axis=1)], axis=1))
    return emit("bn_aggr", "BN_AGGR", "vector", (dst,), (data,), free_elements(data), name=name)
