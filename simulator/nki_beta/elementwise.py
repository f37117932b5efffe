"""ScalarE, VectorE and GpSimd under the first dialect's signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.nki import isa
from simulator.nki.isa.enums import engine as Engine
from simulator.nki.isa.enums import reduce_cmd as ReduceCmd
from simulator.nki.ops import OPS
from simulator.nki.rules import refuse
from simulator.nki_beta.call import issue, operation, promoted, value
from simulator.nki_beta.index import NOTHING, Index, Mask, Shape, Trim, trimmed
from simulator.nki_beta.result import Result
from simulator.nki_beta.tile import Value


def _alike(
    call: Callable[..., Any], tile: Value, dtype: Any, mask: Any, operands: dict[str, Any], **options: Any
) -> Result:
    """`call` into a tile like `tile`, whose dtype it has unless another is given."""
    return issue(call, tile.shape, dtype or tile.dtype, trimmed(mask, tile.shape), operands, **options)


def in_sbuf(x: Any) -> Value:
    """A tile in SBUF: itself, or a copy out of PSUM."""
    tile = value(x)
    if tile.buffer != "psum":
        return tile
    return tensor_copy(tile)


def activation(
    op: Any,
    data: Any,
    bias: Any = None,
    scale: Any = 1.0,
    reduce_op: Any = None,
    reduce_res: Any = None,
    reduce_cmd: ReduceCmd = ReduceCmd.idle,
    mask: Any = None,
    dtype: Any = None,
) -> Result:
    """op(scale x data + bias) on ScalarE."""
    tile = value(data)
    trim = trimmed(mask, tile.shape)
    result = None if reduce_res is None else value(reduce_res).target(trim.box if trim else None)
    return issue(
        isa.activation,
        tile.shape,
        dtype or tile.dtype,
        trim,
        {"data": tile, "bias": bias, "scale": scale},
        op=operation(op),
        reduce_op=operation(reduce_op),
        reduce_res=result,
        reduce_cmd=reduce_cmd,
    )


def activation_reduce(
    op: Any,
    data: Any,
    reduce_op: Any,
    reduce_res: Any,
    bias: Any = None,
    scale: Any = 1.0,
    mask: Any = None,
    dtype: Any = None,
) -> Result:
    """`activation` and its sum over the free dimensions in `reduce_res`."""
    return activation(
        op, data, bias, scale, reduce_op, reduce_res, ReduceCmd.reset_reduce, mask=mask, dtype=dtype
    )


def tensor_copy(src: Any, mask: Any = None, dtype: Any = None, engine: Engine = Engine.unknown) -> Result:
    """A copy, with a cast where the dtypes differ."""
    tile = value(src)
    return _alike(isa.tensor_copy, tile, dtype, mask, {"src": tile}, engine=engine)


def tensor_scalar(
    data: Any,
    op0: Any,
    operand0: Any,
    reverse0: bool = False,
    op1: Any = None,
    operand1: Any = None,
    reverse1: bool = False,
    dtype: Any = None,
    mask: Any = None,
    engine: Engine = Engine.unknown,
) -> Result:
    """(data op0 operand0) op1 operand1 with constants or one value a partition."""
    tile = value(data)
    return _alike(
        isa.tensor_scalar,
        tile,
        dtype,
        mask,
        {"data": tile, "operand0": operand0, "operand1": operand1},
        op0=operation(op0),
        reverse0=reverse0,
        op1=operation(op1),
        reverse1=reverse1,
        engine=engine,
    )


def tensor_tensor(
    data1: Any, data2: Any, op: Any, dtype: Any = None, mask: Any = None, engine: Engine = Engine.unknown
) -> Result:
    """data1 op data2."""
    left, right = value(data1), value(data2)
    kind = dtype or promoted(left.dtype, right.dtype)
    return _alike(
        isa.tensor_tensor,
        left,
        kind,
        mask,
        {"data1": left, "data2": right},
        op=operation(op),
        engine=engine,
    )


def scalar_tensor_tensor(
    data: Any,
    op0: Any,
    operand0: Any,
    op1: Any,
    operand1: Any,
    reverse0: bool = False,
    reverse1: bool = False,
    dtype: Any = None,
    mask: Any = None,
) -> Result:
    """(data op0 operand0) op1 operand1 with operand1 a tile."""
    tile = value(data)
    return _alike(
        isa.scalar_tensor_tensor,
        tile,
        dtype,
        mask,
        {"data": tile, "operand0": operand0, "operand1": operand1},
        op0=operation(op0),
        op1=operation(op1),
        reverse0=reverse0,
        reverse1=reverse1,
    )


def tensor_tensor_scan(
    data0: Any,
    data1: Any,
    initial: Any,
    op0: Any,
    op1: Any,
    reverse0: bool = False,
    reverse1: bool = False,
    dtype: Any = None,
    mask: Any = None,
) -> Result:
    """The running (data0 op0 state) op1 data1 along the free dimension."""
    tile = value(data0)
    return _alike(
        isa.tensor_tensor_scan,
        tile,
        dtype,
        mask,
        {"data0": tile, "data1": data1, "initial": initial},
        op0=operation(op0),
        op1=operation(op1),
        reverse0=reverse0,
        reverse1=reverse1,
    )


def tensor_scalar_reduce(
    data: Any,
    op0: Any,
    operand0: Any,
    reduce_op: Any,
    reduce_res: Any,
    reverse0: bool = False,
    dtype: Any = None,
    mask: Any = None,
) -> Result:
    """data op0 operand0, and its reduction over the free dimensions in `reduce_res`."""
    tile = value(data)
    trim = trimmed(mask, tile.shape)
    return issue(
        isa.tensor_scalar_reduce,
        tile.shape,
        dtype or tile.dtype,
        trim,
        {"data": tile, "operand0": operand0},
        op0=operation(op0),
        reduce_op=operation(reduce_op),
        reduce_res=value(reduce_res).target(trim.box if trim else None),
        reverse0=reverse0,
    )


def tensor_reduce(
    op: Any,
    data: Any,
    axis: Any,
    dtype: Any = None,
    negate: bool = False,
    keepdims: bool = False,
    mask: Any = None,
) -> Result:
    """A reduction over free axes."""
    tile = value(data)
    axes = {a % tile.ndim for a in (axis if isinstance(axis, list | tuple) else (axis,))}
    trim = trimmed(mask, tile.shape)
    if trim and trim.chosen:
        raise refuse(
            "mask", "a mask selects elements of a reduction", "write the neutral value to them first"
        )
    kept = [d for d in range(tile.ndim) if d not in axes]
    shape = [1 if d in axes else n for d, n in enumerate(tile.shape) if keepdims or d in kept]
    out = None
    if trim and trim is not NOTHING:
        box = [(0, 1) if d in axes else b for d, b in enumerate(trim.box) if keepdims or d in kept]
        out = Trim(tuple(box) if len(box) > 1 else (*box, (0, 1)))
    return issue(
        isa.tensor_reduce,
        tuple(shape),
        dtype or tile.dtype,
        trim,
        {"data": tile},
        out=out,
        op=operation(op),
        axis=tuple(axes),
        negate=negate,
    )


def reciprocal(data: Any, dtype: Any = None, mask: Any = None) -> Result:
    """1 / data on VectorE."""
    tile = value(data)
    return _alike(isa.reciprocal, tile, dtype, mask, {"data": tile})


def memset(shape: Shape, value: Any, dtype: Any, mask: Any = None, engine: Engine = Engine.unknown) -> Result:
    """A tile filled with one value."""
    return issue(isa.memset, tuple(shape), dtype, trimmed(mask, shape), {"value": value}, engine=engine)


def bn_stats(data: Any, mask: Any = None, dtype: Any = None) -> Result:
    """Six statistics of the free elements, for `bn_aggr`."""
    return _statistics(isa.bn_stats, 6, data, mask, dtype)


def bn_aggr(data: Any, mask: Any = None, dtype: Any = None) -> Result:
    """Mean and variance from the results of `bn_stats`."""
    return _statistics(isa.bn_aggr, 2, data, mask, dtype)


def _statistics(call: Callable[..., Any], count: int, data: Any, mask: Any, dtype: Any) -> Result:
    """`call` with `count` results a partition."""
    tile = value(data)
    trim = trimmed(mask, tile.shape)
    out = Trim((trim.box[0], (0, count))) if trim and trim is not NOTHING else None
    return issue(call, (tile.shape[0], count), dtype or tile.dtype, trim, {"data": tile}, out=out)


def _pattern(index: Index, shape: Shape) -> tuple[list[list[int]], int]:
    """An index over a tile as (free [step, count] pairs, step a partition)."""
    missing = len(shape) - index.ndim
    steps = [
        0 if n == 1 else s
        for s, n in zip((0,) * missing + index.steps, (1,) * missing + index.shape, strict=True)
    ]
    return [[s, n] for s, n in zip(steps[1:], shape[1:], strict=True)], steps[0]


def iota(expr: Index, dtype: Any, mask: Any = None) -> Result:
    """The values of an index expression."""
    pattern, multiplier = _pattern(expr, expr.shape)
    trim = trimmed(mask, expr.shape)
    if trim is not None:
        raise refuse("mask", "iota under a mask", "mask what reads it")
    return issue(
        isa.iota,
        expr.shape,
        dtype,
        None,
        {},
        pattern=pattern,
        offset=expr.base,
        channel_multiplier=multiplier,
    )


def affine_select(
    pred: Mask, on_true_tile: Any, on_false_value: Any, mask: Any = None, dtype: Any = None
) -> Result:
    """The tile where one affine comparison holds, a constant elsewhere."""
    tile = value(on_true_tile)
    if not isinstance(pred, Mask) or len(pred.conditions) != 1 or trimmed(mask, tile.shape) is not None:
        raise refuse(
            "affine-select", "affine_select takes one comparison and no mask", "select in several steps"
        )
    index = pred.conditions[0]
    pattern, multiplier = _pattern(index, tile.shape)
    return issue(
        isa.affine_select,
        tile.shape,
        dtype or tile.dtype,
        None,
        {"on_true_tile": tile},
        pattern=pattern,
        channel_multiplier=multiplier,
        on_false_value=on_false_value,
        cmp_op=OPS["greater_equal"],
        offset=index.base,
    )
