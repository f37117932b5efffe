"""Element-wise operations: one object is both the opcode (`op=nl.add`) and what it computes on float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

Array = Any


class Op:
    """An operation by name. `compute` takes and gives NumPy arrays; `reduce` is set for those that fold."""

    __slots__ = ("bitwise", "compute", "name", "reduce")

    def __init__(
        self, name: str, compute: Callable[..., Array], reduce: Any = None, bitwise: bool = False
    ) -> None:
        self.name = name
        self.compute = compute
        self.reduce = reduce
        self.bitwise = bitwise

    def __repr__(self) -> str:
        return f"nl.{self.name}"

    def __call__(self, *tensors: Any, **options: Any) -> Any:
        from simulator.nki import wrappers

        return wrappers.call(self, *tensors, **options)


def _sigmoid(x: Array) -> Array:
    return special.expit(x)


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + special.erf(x / np.sqrt(np.float32(2))))


def _gauss(x: Array) -> Array:
    return np.exp(-x * x / 2) / (2 * np.pi) ** 0.5


def _swish_dx(x: Array, slope: float) -> Array:
    gate = _sigmoid(slope * x)
    return gate * (1 + slope * x * (1 - gate))


_TABLE: tuple[tuple[str, Callable[..., Array], Any, bool], ...] = (
    ("add", np.add, np.add, False),
    ("subtract", np.subtract, np.subtract, False),
    ("multiply", np.multiply, np.multiply, False),
    ("divide", np.divide, None, False),
    ("maximum", np.maximum, np.maximum, False),
    ("minimum", np.minimum, np.minimum, False),
    ("power", np.power, None, False),
    ("mod", np.mod, None, False),
    ("fmod", np.fmod, None, False),
    ("abs_max", lambda x, y: np.maximum(np.abs(x), np.abs(y)), None, False),
    ("abs_min", lambda x, y: np.minimum(np.abs(x), np.abs(y)), None, False),
    ("equal", np.equal, None, False),
    ("not_equal", np.not_equal, None, False),
    ("less", np.less, None, False),
    ("less_equal", np.less_equal, None, False),
    ("greater", np.greater, None, False),
    ("greater_equal", np.greater_equal, None, False),
    ("logical_and", np.logical_and, np.logical_and, False),
    ("logical_or", np.logical_or, np.logical_or, False),
    ("logical_xor", np.logical_xor, np.logical_xor, False),
    ("bitwise_and", np.bitwise_and, np.bitwise_and, True),
    ("bitwise_or", np.bitwise_or, np.bitwise_or, True),
    ("bitwise_xor", np.bitwise_xor, np.bitwise_xor, True),
    ("left_shift", np.left_shift, None, True),
    ("right_shift", np.right_shift, None, True),
    ("logical_not", np.logical_not, None, False),
    ("invert", np.invert, None, True),
    ("copy", lambda x: x, None, False),
    ("exp", np.exp, None, False),
    ("log", np.log, None, False),
    ("sqrt", np.sqrt, None, False),
    ("rsqrt", lambda x: 1 / np.sqrt(x), None, False),
    ("square", np.square, None, False),
    ("abs", np.abs, None, False),
    ("negative", np.negative, None, False),
    ("sign", np.sign, None, False),
    ("reciprocal", lambda x: 1 / x, None, False),
    ("tanh", np.tanh, None, False),
    ("sigmoid", _sigmoid, None, False),
    ("relu", lambda x: np.maximum(x, 0), None, False),
    ("silu", lambda x: x * _sigmoid(x), None, False),
    ("gelu", _gelu, None, False),
    ("gelu_apprx_tanh", lambda x: 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3))), None, False),
    ("gelu_apprx_sigmoid", lambda x: x * _sigmoid(1.702 * x), None, False),
    ("gelu_dx", lambda x: 0.5 * (1 + special.erf(x / 2**0.5)) + x * _gauss(x), None, False),
    ("gelu_apprx_sigmoid_dx", lambda x: _swish_dx(x, 1.702), None, False),
    ("silu_dx", lambda x: _swish_dx(x, 1.0), None, False),
    ("erf_dx", lambda x: 2 / np.pi**0.5 * np.exp(-x * x), None, False),
    ("mish", lambda x: x * np.tanh(np.logaddexp(x, 0)), None, False),
    ("prelu", lambda x, slope: np.where(x > 0, x, slope * x), None, False),
    ("tan", np.tan, None, False),
    ("bypass", lambda x, *_: x, None, False),
    ("softplus", lambda x: np.logaddexp(x, 0), None, False),
    ("erf", special.erf, None, False),
    ("sin", np.sin, None, False),
    ("cos", np.cos, None, False),
    ("arctan", np.arctan, None, False),
    ("floor", np.floor, None, False),
    ("ceil", np.ceil, None, False),
    ("trunc", np.trunc, None, False),
)
OPS: dict[str, Op] = {name: Op(name, compute, fold, bitwise) for name, compute, fold, bitwise in _TABLE}
