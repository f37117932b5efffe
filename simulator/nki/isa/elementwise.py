"""Copies, fills and arithmetic: VectorE, and ScalarE or GpSimd where they can."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.nki.isa.enums import engine as Engine
from simulator.nki.numerics import computing, fill, lift, operand, rounded, store
from simulator.nki.ops import Op
from simulator.nki.rules import check_engine, check_on_chip, check_partitions, check_same_size
from simulator.nki.tensor import FORM, NkiTensor, tensors
from simulator.nki.tracer import KNOWN, Handle, free_elements, issue, learn, operation_on
from simulator.trace import Operation

ANY = ("vector", "scalar", "gpsimd")


def place(call: str, engine: Engine, default: str, allowed: tuple[str, ...], *operands: NkiTensor) -> str:
    """The engine a call runs on, after the rules every call of these engines keeps."""
    where = default if engine is Engine.unknown else engine.name
    check_engine(call, where, allowed, *operands)
    check_on_chip(call, *operands)
    check_partitions(call, *operands)
    return where


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
    key = ("tensor_copy", dst.layout, src.layout, engine)
    operation = KNOWN.get(key) or learn(key, _copy(dst, src, engine))
    if computing(dst):
        store(dst, lift(src.array) if src.array.dtype != dst.array.dtype else src.array)
    return issue(operation, (dst,), (src,), name)


def _copy(dst: NkiTensor, src: NkiTensor, engine: Engine) -> Operation:
    where = place("tensor_copy", engine, "vector", ANY, dst, src)
    check_same_size("tensor_copy", dst, src)
    return operation_on(
        "tensor_copy",
        "COPY",
        where,
        (dst, src),
        free_elements(src),
        contiguous=_contiguous(dst, src),
        engine_open=engine is Engine.unknown,
    )


def memset(dst: NkiTensor, value: Any, engine: Engine = Engine.unknown, name: str | None = None) -> Handle:
    """dst = value everywhere."""
    key = ("memset", dst.layout, value, type(value), engine)
    operation = KNOWN.get(key) or learn(key, _memset(dst, value, engine))
    if computing(dst):
        fill(dst, rounded(np.asarray(value), dst.array.dtype))
    return issue(operation, (dst,), (), name)


def _memset(dst: NkiTensor, value: Any, engine: Engine) -> Operation:
    where = place("memset", engine, "vector", ("vector", "gpsimd"), dst)
    return operation_on("memset", "MEMSET", where, (dst,), free_elements(dst), value=value)


def tensor_tensor(
    dst: NkiTensor,
    data1: NkiTensor,
    data2: NkiTensor,
    op: Op,
    engine: Engine = Engine.unknown,
    name: str | None = None,
) -> Handle:
    """dst = data1 op data2; on GpSimd for integers and power unless an operand is in PSUM, else on vector."""
    key = ("tensor_tensor", dst.layout, data1.layout, data2.layout, op, engine)
    operation = KNOWN.get(key) or learn(key, _tensor_tensor(dst, data1, data2, op, engine))
    if computing(dst):
        store(dst, apply(op, lift(data1.array), lift(data2.array).reshape(data1.array.shape)))
    return issue(operation, (dst,), (data1, data2), name)


def _tensor_tensor(dst: NkiTensor, data1: NkiTensor, data2: NkiTensor, op: Op, engine: Engine) -> Operation:
    operands = (data1, data2)
    psum = any(t.layout.memory == "psum" for t in (dst, *operands))
    integers = all(t.layout.name in ("int32", "uint32") for t in operands) and not op.bitwise
    default = "gpsimd" if (integers or op.name == "power") and not psum else "vector"
    where = place("tensor_tensor", engine, default, ("vector", "gpsimd"), dst, data1, data2)
    check_same_size("tensor_tensor", data1, data2, dst)
    return operation_on(
        "tensor_tensor",
        "TENSOR_TENSOR",
        where,
        (dst, data1, data2),
        free_elements(data1),
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
    pointers = tensors(operand0, operand1)
    key = ("tensor_scalar", dst.layout, data.layout, op0, op1, engine, *map(FORM, pointers))
    operation = KNOWN.get(key) or learn(key, _tensor_scalar(dst, data, op0, op1, engine, pointers))
    if computing(dst):
        value = apply(op0, lift(data.array), operand(operand0, data), reverse0)
        if op1 is not None:
            value = apply(op1, value, operand(operand1, data), reverse1)
        store(dst, value)
    return issue(operation, (dst,), (data, *pointers), name)


def _tensor_scalar(
    dst: NkiTensor, data: NkiTensor, op0: Op, op1: Op | None, engine: Engine, pointers: tuple[NkiTensor, ...]
) -> Operation:
    where = place("tensor_scalar", engine, "vector", ANY, dst, data, *pointers)
    check_same_size("tensor_scalar", dst, data)
    return operation_on(
        "tensor_scalar",
        "TENSOR_SCALAR",
        where,
        (dst, data, *pointers),
        free_elements(data),
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
    src = (data, operand1, *tensors(operand0))
    key = ("scalar_tensor_tensor", dst.layout, op0, *map(FORM, src))
    operation = KNOWN.get(key) or learn(key, _scalar_tensor_tensor(dst, src, op0))
    if computing(dst):
        value = apply(op0, lift(data.array), operand(operand0, data), reverse0)
        store(dst, apply(op1, value, lift(operand1.array).reshape(data.array.shape), reverse1))
    return issue(operation, (dst,), src, name)


def _scalar_tensor_tensor(dst: NkiTensor, src: tuple[NkiTensor, ...], op0: Op) -> Operation:
    _only_vector("scalar_tensor_tensor", dst, *src)
    check_same_size("scalar_tensor_tensor", *src[:2], dst)
    return operation_on(
        "scalar_tensor_tensor",
        "SCALAR_TENSOR_TENSOR",
        "vector",
        (dst, *src),
        free_elements(src[0]),
        op=op0.name,
        pointers=len(src) - 2,
    )


def _only_vector(call: str, *operands: NkiTensor) -> None:
    place(call, Engine.vector, "vector", ("vector",), *operands)


def reciprocal(dst: NkiTensor, data: NkiTensor, name: str | None = None) -> Handle:
    """dst = 1 / data on vector."""
    key = ("reciprocal", dst.layout, data.layout)
    operation = KNOWN.get(key) or learn(key, _reciprocal(dst, data))
    if computing(dst):
        with np.errstate(divide="ignore"):
            store(dst, np.float32(1) / lift(data.array))
    return issue(operation, (dst,), (data,), name)


def _reciprocal(dst: NkiTensor, data: NkiTensor) -> Operation:
    _only_vector("reciprocal", dst, data)
    return operation_on("reciprocal", "RECIPROCAL", "vector", (dst, data), free_elements(data))


def tensor_copy_predicated(
    dst: NkiTensor, src: Any, predicate: NkiTensor, reverse_pred: bool = False, name: str | None = None
) -> Handle:
    """dst = src where predicate is not zero (is zero, reversed); dst keeps its value elsewhere."""
    read = (*tensors(src), predicate)
    key = ("tensor_copy_predicated", dst.layout, *map(FORM, read))
    operation = KNOWN.get(key) or learn(key, _copy_predicated(dst, *read))
    if computing(dst):
        keep = (predicate.array != 0).reshape(dst.array.shape)
        value = lift(src.array).reshape(dst.array.shape) if isinstance(src, NkiTensor) else np.float32(src)
        store(dst, np.where(keep != reverse_pred, value, lift(dst.array)))
    return issue(operation, (dst,), read, name)


def _copy_predicated(dst: NkiTensor, *read: NkiTensor) -> Operation:
    _only_vector("tensor_copy_predicated", dst, *read)
    return operation_on(
        "tensor_copy_predicated", "COPY_PREDICATED", "vector", (dst, *read), free_elements(dst)
    )
