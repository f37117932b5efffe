"""Copies, fills and arithmetic: VectorE, and ScalarE or GpSimd where they can."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.nki.isa.enums import engine as Engine
from simulator.nki.numerics import computing, fill, lift, operand, rounded, store
from simulator.nki.ops import Op
from simulator.nki.rules import check_engine, check_on_chip, check_partitions, check_same_size
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import Handle, emit, free_elements

ANY = ("vector", "scalar", "gpsimd")


def place(call: str, engine: Engine, default: str, allowed: tuple[str, ...], *operands: NkiTensor) -> str:
    """The engine a call runs on, after the rules every call of these engines keeps."""
    where = default if engine is Engine.unknown else engine.name
    check_engine(call, where, allowed, *operands)
    check_on_chip(call, *operands)
    check_partitions(call, *operands)
    return where


def tensors(*values: Any) -> tuple[NkiTensor, ...]:
    """Those operands that are tiles."""
    return tuple([v for v in values if isinstance(v, NkiTensor)])


def _contiguous(*tensors: NkiTensor) -> bool:
    return all(t.layout.unit_step for t in tensors)


def apply(op: Op, left: Any, right: Any, reverse: bool = False) -> Any:
    """One binary operation as the engines do it: silent overflow, booleans as 1.0 and 0.0."""
    with np.errstate(all="ignore"):
        return op.compute(right, left) if reverse else op.compute(left, right)


def tensor_copy(
    dst: NkiTensor,
    src: NkiTensor,
    engine: Engine = Engine.unknown,
    name: str | None = None,
    dtype: Any = None,  # noqa: ARG001 - releases before 0.3 took it; dst says the type
) -> Handle:
    """dst = src with a cast; vector by default."""
    where = place("tensor_copy", engine, "vector", ANY, dst, src)
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
        engine_open=engine is Engine.unknown,
    )


def memset(dst: NkiTensor, value: Any, engine: Engine = Engine.unknown, name: str | None = None) -> Handle:
    """dst = value everywhere."""
    where = place("memset", engine, "vector", ("vector", "gpsimd"), dst)
    if computing(dst):
        fill(dst, rounded(np.asarray(value), dst.array.dtype))
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
    operands = (data1, data2)
    psum = any(t.storage.memory == "psum" for t in (dst, *operands))
    integers = all(t.layout.name in ("int32", "uint32") for t in operands) and not op.bitwise
    default = "gpsimd" if (integers or op.name == "power") and not psum else "vector"
    where = place("tensor_tensor", engine, default, ("vector", "gpsimd"), dst, data1, data2)
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
    dtype: Any = None,  # noqa: ARG001 - as in tensor_copy
) -> Handle:
    """dst = (data op0 operand0) op1 operand1; operands are constants or one value per partition."""
    where = place("tensor_scalar", engine, "vector", ANY, dst, data, *tensors(operand0, operand1))
    check_same_size("tensor_scalar", dst, data)
    if computing(dst):
        value = apply(op0, lift(data.array), operand(operand0, data), reverse0)
        if op1 is not None:
            value = apply(op1, value, operand(operand1, data), reverse1)
        store(dst, value)
    pointers = tensors(operand0, operand1)
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
    pointers = tensors(operand0)
    place("scalar_tensor_tensor", Engine.vector, "vector", ("vector",), dst, data, operand1, *pointers)
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


def reciprocal(dst: NkiTensor, data: NkiTensor, name: str | None = None) -> Handle:
    """dst = 1 / data on vector."""
    place("reciprocal", Engine.vector, "vector", ("vector",), dst, data)
    if computing(dst):
        with np.errstate(divide="ignore"):
            store(dst, np.float32(1) / lift(data.array))
    return emit("reciprocal", "RECIPROCAL", "vector", (dst,), (data,), free_elements(data), name=name)


def tensor_copy_predicated(
    dst: NkiTensor, src: Any, predicate: NkiTensor, reverse_pred: bool = False, name: str | None = None
) -> Handle:
    """dst = src where predicate is not zero (is zero, reversed); dst keeps its value elsewhere."""
    operands = (*tensors(src), predicate)
    place("tensor_copy_predicated", Engine.vector, "vector", ("vector",), dst, *operands)
    if computing(dst):
        keep = (predicate.array != 0).reshape(dst.array.shape)
        value = lift(src.array).reshape(dst.array.shape) if isinstance(src, NkiTensor) else np.float32(src)
        store(dst, np.where(keep != reverse_pred, value, lift(dst.array)))
    return emit(
        "tensor_copy_predicated", "COPY_PREDICATED", "vector", (dst,), operands, free_elements(dst), name=name
    )
