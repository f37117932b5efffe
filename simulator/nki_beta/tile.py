"""Tiles of the first dialect: tensors and parts of them, with Python's operators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from simulator.nki import isa as instructions
from simulator.nki.initialised import anything_written, is_written, mark_written
from simulator.nki.rules import refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki_beta.index import Box, Index, Shape
from simulator.nki_beta.select import selected


class Value(ABC):
    """Anything a call takes as a tile; `buffer` is "sbuf", "psum" or an HBM buffer."""

    __slots__ = ("__weakref__",)
    __array_ufunc__ = None
    shape: Any
    dtype: Any
    buffer: Any

    @abstractmethod
    def read(self, box: Box | None = None) -> NkiTensor:
        """The view an instruction reads, of the positions in `box`."""

    def target(self, box: Box | None = None) -> NkiTensor:  # noqa: ARG002
        """The view an instruction writes."""
        raise refuse("assignment", "this value cannot be written", "write to an nl.ndarray")

    @property
    def ndim(self) -> int:
        """Dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Elements."""
        return prod(self.shape)

    @property
    def on_chip(self) -> bool:
        """Whether it is in SBUF or PSUM."""
        return self.buffer in ("sbuf", "psum")

    def __getitem__(self, key: Any) -> Value:
        return selected(self.read_or_write(), key, self.zero)

    def __setitem__(self, key: Any, value: Any) -> None:
        from simulator.nki_beta.result import assign

        assign(self[key], value)

    def read_or_write(self) -> NkiTensor:
        """The view behind it, to be indexed."""
        return self.read()

    @property
    def zero(self) -> bool:
        """Whether what was never written reads as zero."""
        return False

    def for_place(self, dst: Value) -> Value:  # noqa: ARG002
        """What is assigned to `dst`: itself, unless that depends on what dst holds."""
        return self

    def broadcast_to(self, shape: Shape) -> Value:
        """Dimensions of size one repeated to `shape`."""
        from simulator.nki_beta.functions import broadcast_to

        return broadcast_to(self, shape)

    def reshape(self, shape: Shape) -> Value:
        """The same elements in row-major order under another shape."""
        return Tensor(self.read_or_write().reshape(tuple(int(n) for n in shape)), self.zero)

    def astype(self, dtype: Any) -> Value:
        """A copy as another dtype."""
        from simulator.nki_beta.elementwise import tensor_copy

        return tensor_copy(self, dtype=dtype)

    def _with(self, name: str, other: Any, reverse: bool = False) -> Any:
        from simulator.nki_beta.functions import FUNCTIONS, binary

        if not isinstance(other, Value | int | float | np.number):
            return NotImplemented
        left, right = (other, self) if reverse else (self, other)
        return binary(FUNCTIONS[name], left, right)

    def _onto(self, name: str, other: Any) -> Value:
        from simulator.nki_beta.result import accumulate

        accumulate(self, name, other)
        return self

    def __neg__(self) -> Any:
        return self._with("multiply", -1.0)


def _operator(name: str, reverse: bool) -> Callable[[Value, Any], Any]:
    return lambda self, other: self._with(name, other, reverse)


def _in_place(name: str) -> Callable[[Value, Any], Any]:
    return lambda self, other: self._onto(name, other)


for _symbol, _name in (
    ("add", "add"),
    ("sub", "subtract"),
    ("mul", "multiply"),
    ("truediv", "divide"),
    ("pow", "power"),
):
    setattr(Value, f"__{_symbol}__", _operator(_name, False))
    setattr(Value, f"__r{_symbol}__", _operator(_name, True))
    setattr(Value, f"__i{_symbol}__", _in_place(_name))
for _symbol, _name in (("gt", "greater"), ("ge", "greater_equal"), ("lt", "less"), ("le", "less_equal")):
    setattr(Value, f"__{_symbol}__", _operator(_name, False))


def cut(tensor: NkiTensor, box: Box | None) -> NkiTensor:
    """The positions of `box` of a view; a dimension of size one stands for every position."""
    if box is None:
        return tensor
    shape = tensor.shape
    if len(box) != len(shape):
        box = (box[0], *((0, size) for size in shape[1:]))
    parts = tuple(
        slice(None) if size == 1 or (low == 0 and high == size) else slice(low, high)
        for size, (low, high) in zip(shape, box, strict=True)
    )
    return tensor if all(p == slice(None) for p in parts) else tensor[parts]


class Tensor(Value):
    """A tensor or a view of one; with `zero`, what was never written reads as zero (PSUM of `nl.zeros`)."""

    __slots__ = ("tensor", "unwritten_is_zero")

    def __init__(self, tensor: NkiTensor, zero: bool = False) -> None:
        self.tensor = tensor
        self.unwritten_is_zero = zero

    @property
    def shape(self) -> Shape:
        """Sizes."""
        return self.tensor.shape

    @property
    def dtype(self) -> Any:
        """Element type."""
        return self.tensor.dtype

    @property
    def buffer(self) -> str:
        """Where it is."""
        return self.tensor.buffer

    @property
    def zero(self) -> bool:
        """Whether what was never written reads as zero."""
        return self.unwritten_is_zero

    def read_or_write(self) -> NkiTensor:
        """The view itself."""
        return self.tensor

    def read(self, box: Box | None = None) -> NkiTensor:
        """The view; zeros never written are written now."""
        return _readable(cut(self.tensor, box), self.unwritten_is_zero)

    def target(self, box: Box | None = None) -> NkiTensor:
        """The view."""
        return cut(self.tensor, box)


def _readable(view: NkiTensor, zero: bool) -> NkiTensor:
    if zero and not is_written(view):
        if not anything_written(view.storage):
            instructions.memset(dst=view, value=0)
        else:
            mark_written(view)
    return view


class Part(Value):
    """A part of a tensor under affine indices, which a mask may still trim to the tensor's bounds."""

    __slots__ = ("indices", "owner", "shape", "unwritten_is_zero")

    def __init__(
        self, owner: NkiTensor, indices: tuple[Index, ...], shape: Shape, zero: bool = False
    ) -> None:
        self.owner = owner
        self.indices = indices
        self.shape = shape
        self.unwritten_is_zero = zero

    @property
    def dtype(self) -> Any:
        """Element type."""
        return self.owner.dtype

    @property
    def buffer(self) -> str:
        """Where it is."""
        return self.owner.buffer

    @property
    def zero(self) -> bool:
        """Whether what was never written reads as zero."""
        return self.unwritten_is_zero

    def read_or_write(self) -> NkiTensor:
        """The view of the whole part."""
        return self._view(None)

    def read(self, box: Box | None = None) -> NkiTensor:
        """The view of the positions in `box`."""
        return _readable(self._view(box), self.unwritten_is_zero)

    def target(self, box: Box | None = None) -> NkiTensor:
        """The view of the positions in `box`."""
        return self._view(box)

    def _view(self, box: Box | None) -> NkiTensor:
        shape = self.shape
        if box is None:
            ranges: Box = tuple((0, size) for size in shape)
        elif len(box) == len(shape):
            ranges = tuple((0, 1) if n == 1 else b for n, b in zip(shape, box, strict=True))
        else:
            ranges = (box[0], *((0, size) for size in shape[1:]))
        return _strided(self.owner, self.indices, ranges)


def _strided(owner: NkiTensor, indices: tuple[Index, ...], box: Box) -> NkiTensor:
    """The view at these indices for the positions in `box`, inside the tensor's bounds."""
    form = owner.layout
    sizes = tuple(high - low for low, high in box)
    strides = [0] * len(box)
    start = owner.start
    for axis, index in enumerate(indices):
        at = least = most = index.base
        for dim, step in enumerate(index.steps):
            if step:
                at += step * box[dim][0]
                reach = step * (sizes[dim] - 1)
                least, most = least + min(0, reach), most + max(0, reach)
                strides[dim] += step * form.strides[axis]
        shift = at - index.base
        if least + shift < 0 or most + shift >= form.shape[axis]:
            raise refuse(
                "bounds",
                f"an index reaches {least + shift} to {most + shift} of {form.shape[axis]} in tensor "
                f"{owner.name!r}",
                "stay inside its shape, or trim the access with mask=",
            )
        start += at * form.strides[axis]
    if any(stride < 0 for stride in strides):
        raise refuse("index-step", "an index runs backwards", "use steps above zero")
    return NkiTensor(owner.storage, start, form.of(sizes, tuple(strides), form.dtype), owner.buffer)
