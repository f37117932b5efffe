"""How a call of the first dialect becomes an instruction: its operands, its mask, its result."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from simulator.nki.dtypes import dtype_of
from simulator.nki.ops import OPS, Op
from simulator.nki.rules import refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki_beta.index import NOTHING, Shape, Trim
from simulator.nki_beta.result import Result
from simulator.nki_beta.tile import Tensor, Value

NUMPY_NAMES = {"max": "maximum", "amax": "maximum", "min": "minimum", "amin": "minimum", "sum": "add"}


def value(x: Any) -> Value:
    """A tile, or an argument of the kernel as one."""
    if isinstance(x, NkiTensor):
        return Tensor(x)
    if not isinstance(x, Value):
        raise refuse("operands", f"a tile is expected and {type(x).__name__} is given", "pass a tile")
    return x


def operation(op: Any) -> Any:
    """An operation given as `nl.add`, `np.add` or `np.max`."""
    if op is None or isinstance(op, Op):
        return op
    name = getattr(op, "__name__", str(op))
    found = OPS.get(NUMPY_NAMES.get(name, name))
    if found is None:
        raise refuse("operation", f"{name!r} is not an operation", "use one of nl's or NumPy's")
    return found


def promoted(*dtypes: Any) -> Any:
    """The dtype that holds all of these: the wider, float32 for two different 16-bit floats."""
    kinds = sorted({dtype_of(d) for d in dtypes}, key=lambda d: (d.kind not in "iub", d.itemsize))
    if len(kinds) > 1 and kinds[-2].kind not in "iub" and kinds[-1].itemsize == kinds[-2].itemsize == 2:
        return np.dtype(np.float32)
    return kinds[-1]


def read(x: Any, trim: Trim | None) -> Any:
    """An operand as an instruction takes it: of a tile the view that `trim` leaves, else itself."""
    if isinstance(x, NkiTensor):
        x = Tensor(x)
    return x.read(trim.box if trim else None) if isinstance(x, Value) else x


def _plain(x: Any) -> Any:
    """A NumPy scalar as Python's."""
    return x.item() if isinstance(x, np.generic) else x


def nothing(_dst: NkiTensor) -> None:
    """The instruction a mask leaves nothing of."""


def issue(
    call: Callable[..., Any],
    shape: Shape,
    dtype: Any,
    trim: Trim | None,
    operands: dict[str, Any],
    *,
    out: Trim | None = None,
    buffer: str = "sbuf",
    **options: Any,
) -> Result:
    """`call` on what `trim` leaves of its operands, into a tile of `shape`; `out` trims that tile."""
    if trim is NOTHING:
        return Result(shape, dtype, nothing, buffer=buffer, trim=NOTHING)
    given = {name: _plain(read(x, trim)) for name, x in operands.items()}
    ready = partial(call, **given, **options)
    return Result(shape, dtype, lambda dst: ready(dst=dst), buffer=buffer, trim=out if out else trim)
