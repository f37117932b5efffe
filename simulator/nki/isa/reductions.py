"""Reductions, scans and statistics: VectorE, and GpSimd across partitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simulator.nki import accumulators
from simulator.nki.isa.elementwise import apply, place
from simulator.nki.isa.enums import engine as Engine
from simulator.nki.isa.enums import reduce_cmd as ReduceCmd
from simulator.nki.numerics import computing, flat, lift, operand, store
from simulator.nki.ops import Op
from simulator.nki.rules import check_same_size, refuse
from simulator.nki.tensor import NkiTensor, tensors
from simulator.nki.tracer import Handle, emit, free_elements


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
    place("tensor_reduce", Engine.vector, "vector", ("vector",), dst, data)
    axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    if any(a % data.ndim == 0 for a in axes):
        raise refuse(
            "reduce-axis", "tensor_reduce over the partition axis", "use tensor_partition_reduce or a matmul"
        )
    left = data.size // math.prod([data.shape[a] for a in axes])
    if dst.size != left:
        raise refuse(
            "reduce-axis",
            f"tensor_reduce of {data.shape} over axis {axis} gives {left} elements, and dst is {dst.shape}",
            f"axis 0 is the partitions, {data.ndim - 1} the last free dimension; fit axis or dst",
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
    place("tensor_partition_reduce", Engine.gpsimd, "gpsimd", ("gpsimd",), dst, data)
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
    reduce_cmd: ReduceCmd = ReduceCmd.reset_reduce,
    reduce_init: Any = None,
    reduce_res_negate: bool = False,
    name: str | None = None,
) -> Handle:
    """dst = data op0 operand0, and reduce_res its reduction over the free dimensions."""
    outputs, pointers = (dst, *tensors(reduce_res)), tensors(operand0, reduce_init)
    place("tensor_scalar_reduce", Engine.vector, "vector", ("vector",), *outputs, data, *pointers)
    if computing(dst):
        value = apply(op0, lift(data.array), operand(operand0, data), reverse0)
        store(dst, value)
        accumulators.reduce(
            "vector", data, value, reduce_op, reduce_cmd, reduce_res, reduce_init, reduce_res_negate
        )
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
    pointers = tensors(initial)
    place("tensor_tensor_scan", Engine.vector, "vector", ("vector",), dst, data0, data1, *pointers)
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


def tensor_scalar_cumulative(
    dst: NkiTensor,
    src: NkiTensor,
    op0: Op,
    op1: Op,
    imm0: Any,
    imm1: Any = None,
    reduce_cmd: ReduceCmd = ReduceCmd.reset_reduce,
    name: str | None = None,
) -> Handle:
    """dst[i] = (src[i] op0 imm0) op1 dst[i - 1] along the free dimension, from the engine's registers."""
    pointers = tensors(imm0, imm1)
    place("tensor_scalar_cumulative", Engine.vector, "vector", ("vector",), dst, src, *pointers)
    check_same_size("tensor_scalar_cumulative", dst, src)
    if computing(dst):
        value = np.asarray(apply(op0, lift(src.array), operand(imm0, src)), np.float32)
        rows = value.reshape(value.shape[0], -1)
        store(dst, accumulators.cumulate("vector", src, rows, op1, reduce_cmd, imm1))
    return emit(
        "tensor_scalar_cumulative",
        "TENSOR_SCALAR_CUMULATIVE",
        "vector",
        (dst,),
        (src, *pointers),
        free_elements(src),
        name=name,
        op=op0.name,
        pointers=len(pointers),
    )


def bn_stats(dst: NkiTensor, data: NkiTensor, name: str | None = None) -> Handle:
    """Count, mean and count x variance of the even and of the odd elements: six values per partition."""
    place("bn_stats", Engine.vector, "vector", ("vector",), dst, data)
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
    place("bn_aggr", Engine.vector, "vector", ("vector",), dst, data)
    if computing(dst):
        triples = flat(data).reshape(data.array.shape[0], -1, 3)
        count = triples[:, :, 0]
        mean = (count * triples[:, :, 1]).sum(axis=1) / count.sum(axis=1)
        spread = (triples[:, :, 2] + count * (triples[:, :, 1] - mean[:, None]) ** 2).sum(axis=1)
        store(dst, np.stack([mean, spread / count.sum(axis=1)], axis=1))
    return emit("bn_aggr", "BN_AGGR", "vector", (dst,), (data,), free_elements(data), name=name)
