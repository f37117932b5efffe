"""The scalar engine: a function of scale x data + bias, optionally reduced; and VectorE's `exponential`."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.nki import accumulators
from simulator.nki.isa.enums import reduce_cmd as ReduceCmd
from simulator.nki.numerics import computing, lift, operand, store
from simulator.nki.ops import OPS, Op
from simulator.nki.rules import check_generation, check_on_chip, check_partitions, check_same_size, refuse
from simulator.nki.tensor import FORM, NkiTensor, tensors
from simulator.nki.tracer import KNOWN, Handle, current, emit, free_elements, issue, learn, operation_on
from simulator.trace import Operation

ACTIVATIONS = frozenset(
    (
        *(
            "abs",
            "arctan",
            "copy",
            "erf",
            "erf_dx",
            "exp",
            "gelu",
            "gelu_apprx_sigmoid",
            "gelu_apprx_sigmoid_dx",
        ),
        *(
            "gelu_apprx_tanh",
            "gelu_dx",
            "log",
            "mish",
            "prelu",
            "reciprocal",
            "relu",
            "rsqrt",
            "sigmoid",
            "sign",
        ),
        *("silu", "silu_dx", "sin", "softplus", "sqrt", "square", "tanh"),
    )
)
"""Functions ScalarE has a table for (NKI docs, nki.api.shared)."""


def activation(
    dst: NkiTensor,
    op: Op,
    data: NkiTensor,
    bias: Any = None,
    scale: Any = 1.0,
    reduce_op: Op | None = None,
    reduce_res: NkiTensor | None = None,
    reduce_cmd: ReduceCmd = ReduceCmd.idle,
    name: str | None = None,
    dtype: Any = None,  # noqa: ARG001 - releases before 0.3 took it; dst says the type
) -> Handle:
    """dst = op(scale x data + bias); with reduce_res, also the sum over the free dimensions."""
    pointers = tensors(bias, scale)
    outputs = (dst,) if reduce_res is None else (dst, reduce_res)
    key = ("activation", op, data.layout, len(outputs), *map(FORM, outputs), *map(FORM, pointers))
    operation = KNOWN.get(key) or learn(key, _activate("activation", outputs, op, data, pointers))
    if computing(dst):
        _compute(dst, op, data, bias, scale, reduce_op, reduce_res, reduce_cmd)
    return issue(operation, outputs, (data, *pointers), name)


def activation_reduce(
    dst: NkiTensor,
    op: Op,
    data: NkiTensor,
    reduce_op: Op,
    reduce_res: NkiTensor,
    bias: Any = None,
    scale: Any = 1.0,
    name: str | None = None,
) -> Handle:
    """`activation` and its reduction in one instruction."""
    pointers = tensors(bias, scale)
    outputs = (dst,) if reduce_res is None else (dst, reduce_res)
    operation = _activate("activation_reduce", outputs, op, data, pointers)
    if computing(dst):
        _compute(dst, op, data, bias, scale, reduce_op, reduce_res, ReduceCmd.reset_reduce)
    return issue(operation, outputs, (data, *pointers), name)


def _activate(
    call: str, outputs: tuple[NkiTensor, ...], op: Op, data: NkiTensor, pointers: tuple[NkiTensor, ...]
) -> Operation:
    if op.name not in ACTIVATIONS:
        raise refuse(
            "activation-function", f"ScalarE has no table for {op!r}", "use VectorE, or a function it has"
        )
    check_on_chip(call, *outputs, data, *pointers)
    check_partitions(call, *outputs, data)
    check_same_size(call, outputs[0], data)
    return operation_on(
        call,
        "ACTIVATE",
        "scalar",
        (*outputs, data, *pointers),
        free_elements(data),
        op=op.name,
        reduce=len(outputs) > 1,
        pointers=len(pointers),
    )


def _compute(
    dst: NkiTensor,
    op: Op,
    data: NkiTensor,
    bias: Any,
    scale: Any,
    reduce_op: Op | None,
    reduce_res: NkiTensor | None,
    command: ReduceCmd,
) -> None:
    value = _evaluate(op, data, bias, scale)
    store(dst, value)
    if reduce_res is not None or command is not ReduceCmd.idle:
        _reduce(data, value, reduce_op, command, reduce_res)


def _evaluate(op: Op, data: NkiTensor, bias: Any, scale: Any) -> Any:
    value = lift(data.array).astype(np.float32, copy=False)
    if isinstance(scale, NkiTensor) or scale != 1.0:
        value = value * operand(scale, data)
    if bias is not None:
        value = value + operand(bias, data)
    with np.errstate(all="ignore"):
        return op.compute(value)


def _reduce(data: NkiTensor, value: Any, op: Op | None, command: ReduceCmd, result: NkiTensor | None) -> None:
    if op is not None and op.name != "add":
        raise refuse("reduce-op", f"ScalarE reduces with {op!r}", "use nl.add")
    accumulators.reduce("scalar", data, value, OPS["add"], command, result)


def activate2(
    dst: NkiTensor,
    op: Op,
    data: NkiTensor,
    imm0: Any,
    imm1: Any,
    op0: Op,
    op1: Op,
    relu_param: Any = 0.0,
    reverse0: bool = False,
    reverse1: bool = False,
    reduce_op: Op | None = None,
    reduce_res: NkiTensor | None = None,
    reduce_cmd: ReduceCmd = ReduceCmd.idle,
    name: str | None = None,
) -> Handle:
    """dst = op((data op0 imm0) op1 imm1) (NKI 0.4)."""
    pointers = tensors(imm0, imm1, relu_param)
    outputs = (dst,) if reduce_res is None else (dst, reduce_res)
    check_on_chip("activate2", *outputs, data, *pointers)
    check_same_size("activate2", dst, data)
    if computing(dst):
        value = lift(data.array)
        for step, constant, reverse in ((op0, imm0, reverse0), (op1, imm1, reverse1)):
            if step.name not in ("bypass", "copy"):
                other = operand(constant, data)
                value = step.compute(other, value) if reverse else step.compute(value, other)
        with np.errstate(all="ignore"):
            value = op.compute(value, operand(relu_param, data)) if op.name == "prelu" else op.compute(value)
        store(dst, value)
        if reduce_res is not None or reduce_cmd is not ReduceCmd.idle:
            _reduce(data, value, reduce_op, reduce_cmd, reduce_res)
    return emit(
        "activate2",
        "ACTIVATE",
        "scalar",
        outputs,
        (data, *pointers),
        free_elements(data),
        name=name,
        op=op.name,
        reduce=reduce_res is not None,
        pointers=len(pointers),
    )


def exponential(
    dst: NkiTensor,
    src: NkiTensor,
    max_value: Any = 0.0,
    reduce_res: NkiTensor | None = None,
    reduce_cmd: ReduceCmd = ReduceCmd.idle,
    reduce_init: Any = 0.0,
    name: str | None = None,
) -> Handle:
    """dst = exp(src - max_value) on VectorE of trn3, and its sum over the free dimensions."""
    check_generation("exponential", current().launch.target)
    outputs = (dst,) if reduce_res is None else (dst, reduce_res)
    pointers = tensors(max_value, reduce_init)
    check_on_chip("exponential", *outputs, src, *pointers)
    if computing(dst):
        value = np.exp(lift(src.array) - operand(max_value, src))
        store(dst, value)
        accumulators.reduce("vector", src, value, OPS["add"], reduce_cmd, reduce_res, reduce_init)
    return emit(
        "exponential", "EXPONENTIAL", "vector", outputs, (src, *pointers), free_elements(src), name=name
    )
