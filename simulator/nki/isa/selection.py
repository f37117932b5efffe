"""Index patterns, selection, search and shuffles: GpSimd's own, and VectorE's top-8 family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simulator.nki import accumulators
from simulator.nki.isa.enums import reduce_cmd as ReduceCmd
from simulator.nki.numerics import computing, flat, lift, operand, store
from simulator.nki.ops import OPS, Op
from simulator.nki.rules import check_on_chip, check_partitions, refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import Handle, emit, free_elements

Pattern = Sequence[Sequence[int]]
QUADRANT = 32
GROUP = 16
"""Partitions that one GpSimd core serves."""


def _affine(pattern: Pattern, offset: int, multiplier: int, shape: tuple[int, ...]) -> Any:
    """Offset + partition x multiplier + sum of index x step over the free pattern, in `shape`."""
    value: Any = np.int64(offset)
    for step, count in pattern:
        value = np.asarray(value)[..., None] + np.arange(count) * step
    partitions = np.arange(shape[0]) * multiplier
    return (partitions.reshape((-1,) + (1,) * np.ndim(value)) + value).reshape(shape)


def iota(
    dst: NkiTensor, pattern: Pattern, offset: int = 0, channel_multiplier: int = 0, name: str | None = None
) -> Handle:
    """An affine index pattern on GpSimd."""
    check_on_chip("iota", dst)
    store(dst, _affine(pattern, offset, channel_multiplier, dst.array.shape))
    return emit("iota", "IOTA", "gpsimd", (dst,), (), free_elements(dst), name=name)


def affine_select(
    dst: NkiTensor,
    pattern: Pattern,
    channel_multiplier: int,
    on_true_tile: NkiTensor,
    on_false_value: Any,
    cmp_op: Op = OPS["equal"],
    offset: int = 0,
    name: str | None = None,
) -> Handle:
    """Elements of a tile where the affine pattern compares with zero, a constant elsewhere."""
    check_on_chip("affine_select", dst, on_true_tile)
    if computing(dst):
        index = _affine(pattern, offset, channel_multiplier, dst.array.shape)
        kept = lift(on_true_tile.array).reshape(dst.array.shape)
        store(dst, np.where(cmp_op.compute(index, 0), kept, np.float32(on_false_value)))
    return emit(
        "affine_select", "AFFINE_SELECT", "gpsimd", (dst,), (on_true_tile,), free_elements(dst), name=name
    )


def range_select(
    dst: NkiTensor,
    on_true_tile: NkiTensor,
    comp_op0: Op,
    comp_op1: Op,
    bound0: NkiTensor,
    bound1: NkiTensor,
    reduce_cmd: ReduceCmd = ReduceCmd.reset_reduce,
    reduce_res: NkiTensor | None = None,
    reduce_op: Op = OPS["maximum"],
    range_start: int = 0,
    on_false_value: float = -3.4028235e38,
    name: str | None = None,
) -> Handle:
    """Elements whose index lies between two per-partition bounds, a constant elsewhere; and their maximum."""
    outputs = (dst,) if reduce_res is None else (dst, reduce_res)
    check_on_chip("range_select", *outputs, on_true_tile, bound0, bound1)
    if computing(dst):
        data = flat(on_true_tile)
        index = range_start + np.arange(data.shape[1])
        inside = comp_op0.compute(index, flat(bound0)[:, :1]) & comp_op1.compute(index, flat(bound1)[:, :1])
        value = np.where(inside, data, np.float32(on_false_value))
        store(dst, value)
        accumulators.reduce("vector", on_true_tile, value, reduce_op, reduce_cmd, reduce_res)
    return emit(
        "range_select",
        "RANGE_SELECT",
        "vector",
        outputs,
        (on_true_tile, bound0, bound1),
        free_elements(dst),
        name=name,
        reduce=reduce_res is not None,
    )


def select_reduce(
    dst: NkiTensor,
    predicate: NkiTensor,
    on_true: NkiTensor,
    on_false: Any,
    reduce_res: NkiTensor | None = None,
    reduce_cmd: ReduceCmd = ReduceCmd.idle,
    reduce_op: Op = OPS["maximum"],
    reverse_pred: bool = False,
    name: str | None = None,
) -> Handle:
    """on_true where predicate is not zero, on_false elsewhere; and the maximum of what was selected."""
    outputs = (dst,) if reduce_res is None else (dst, reduce_res)
    operands = (on_true, predicate, *((on_false,) if isinstance(on_false, NkiTensor) else ()))
    check_on_chip("select_reduce", *outputs, *operands)
    if computing(dst):
        chosen = (predicate.array != 0).reshape(on_true.array.shape) != reverse_pred
        value = np.where(chosen, lift(on_true.array), operand(on_false, on_true))
        store(dst, value)
        accumulators.reduce("vector", on_true, value, reduce_op, reduce_cmd, reduce_res)
    return emit("select_reduce", "SELECT_REDUCE", "vector", outputs, operands, free_elements(dst), name=name)


def max8(dst: NkiTensor, src: NkiTensor, name: str | None = None) -> Handle:
    """The eight largest values per partition, largest first."""
    check_on_chip("max8", dst, src)
    _check_eight("max8", dst, free_elements(src))
    if computing(dst):
        store(dst, -np.sort(-flat(src), axis=1)[:, :8])
    return emit("max8", "MAX8", "vector", (dst,), (src,), free_elements(src), name=name)


def _check_eight(call: str, tensor: NkiTensor, width: int = 8) -> None:
    if free_elements(tensor) != 8 or not 8 <= width <= 16384:
        raise refuse(
            "eight",
            f"{call} of {width} elements into {tensor.shape}",
            "give it 8 to 16384 elements and 8 results",
        )


def _matches(data: NkiTensor, values: NkiTensor) -> tuple[Any, Any]:
    """Index of each value's first match not yet taken (-1: none), and which elements were taken."""
    rows, wanted = flat(data), flat(values)
    taken = np.zeros(rows.shape, dtype=np.bool_)
    found = np.full(wanted.shape, -1, np.int64)
    each = np.arange(rows.shape[0])
    for k in range(wanted.shape[1]):
        hit = (rows == wanted[:, k : k + 1]) & ~taken
        first = hit.argmax(axis=1)
        there = hit[each, first]
        found[there, k] = first[there]
        taken[each[there], first[there]] = True
    return found, taken


def nc_find_index8(dst: NkiTensor, data: NkiTensor, vals: NkiTensor, name: str | None = None) -> Handle:
    """Indices of eight values in data, each match used once."""
    check_on_chip("nc_find_index8", dst, data, vals)
    _check_eight("nc_find_index8", vals, free_elements(data))
    store(dst, _matches(data, vals)[0])
    return emit(
        "nc_find_index8", "FIND_INDEX8", "vector", (dst,), (data, vals), free_elements(data), name=name
    )


def nc_match_replace8(
    dst: NkiTensor,
    data: NkiTensor,
    vals: NkiTensor,
    imm: float,
    dst_idx: NkiTensor | None = None,
    name: str | None = None,
) -> Handle:
    """data with the first match of each of eight values replaced by imm; and where they were."""
    outputs = (dst,) if dst_idx is None else (dst, dst_idx)
    check_on_chip("nc_match_replace8", *outputs, data, vals)
    _check_eight("nc_match_replace8", vals, free_elements(data))
    found, taken = _matches(data, vals)
    if computing(dst):
        store(dst, np.where(taken, np.float32(imm), flat(data)))
    if dst_idx is not None:
        store(dst_idx, found)
    return emit(
        "nc_match_replace8", "MATCH_REPLACE8", "vector", outputs, (data, vals), free_elements(data), name=name
    )


def topk(val_dst: NkiTensor, idx_dst: NkiTensor, src: NkiTensor, n: int, name: str | None = None) -> Handle:
    """The largest of n elements that wind through 16 partitions, ascending, and where they were (NKI 0.6).

    Element i of a group lies on its partition i % 16, column i // 16; every partition of the group gets what
    the group's GpSimd core found.
    """
    check_on_chip("topk", val_dst, idx_dst, src)
    values, count = flat(src), free_elements(val_dst)
    if values.shape[0] % GROUP or not 1 <= count <= n <= values.shape[1] * GROUP:
        raise refuse(
            "topk-shape",
            f"topk of {count} among {n} elements in {src.shape}",
            "give it 16 partitions or a multiple, and n elements that lie in them",
        )
    groups = (
        values.reshape(-1, GROUP, values.shape[1]).transpose(0, 2, 1).reshape(-1, values.shape[1] * GROUP)
    )
    order = np.argsort(-groups[:, :n], axis=1, kind="stable")[:, count - 1 :: -1]
    store(idx_dst, np.repeat(order, GROUP, axis=0))
    if computing(val_dst):
        store(val_dst, np.repeat(np.take_along_axis(groups, order, axis=1), GROUP, axis=0))
    return emit("topk", "TOPK", "gpsimd", (val_dst, idx_dst), (src,), n, name=name, n=count)


def local_gather(
    dst: NkiTensor,
    src_buffer: NkiTensor,
    index: NkiTensor,
    num_elem_per_idx: int = 1,
    num_valid_indices: int | None = None,
    name: str | None = None,
) -> Handle:
    """Per group of 16 partitions, gather free elements by indices laid out over the group's partitions."""
    check_on_chip("local_gather", dst, src_buffer, index)
    data = flat(src_buffer).reshape(src_buffer.array.shape[0], -1, num_elem_per_idx)
    lists = index.array.reshape(index.array.shape[0], -1)
    count = num_valid_indices or lists.shape[1] * 16
    if computing(dst):
        result = np.zeros((data.shape[0], free_elements(dst)), np.float32)
        for group in range(0, data.shape[0], 16):
            order = lists[group : group + 16].T.reshape(-1)[:count]
            picked = data[group : group + 16][:, order]
            result[group : group + 16, : count * num_elem_per_idx] = picked.reshape(picked.shape[0], -1)
        store(dst, result)
    return emit(
        "local_gather",
        "LOCAL_GATHER",
        "gpsimd",
        (dst,),
        (src_buffer, index),
        count,
        name=name,
        num_elem_per_idx=num_elem_per_idx,
        num_valid_indices=count,
    )


def nc_n_gather(dst: NkiTensor, data: NkiTensor, indices: NkiTensor, name: str | None = None) -> Handle:
    """dst[p, i] = data[p, indices[p, i]]."""
    check_on_chip("nc_n_gather", dst, data, indices)
    if computing(dst):
        order = indices.array.reshape(indices.array.shape[0], -1).astype(np.int64)
        store(dst, np.take_along_axis(flat(data), order, axis=1))
    return emit("nc_n_gather", "GATHER", "gpsimd", (dst,), (data, indices), free_elements(dst), name=name)


def nc_stream_shuffle(
    dst: NkiTensor, src: NkiTensor, shuffle_mask: Sequence[int], name: str | None = None
) -> Handle:
    """In each 32 partitions, partition i of dst gets shuffle_mask[i] of src; 255 leaves it alone."""
    check_on_chip("nc_stream_shuffle", dst, src)
    check_partitions("nc_stream_shuffle", dst, src)
    if len(shuffle_mask) != QUADRANT:
        raise refuse("shuffle-mask", f"a shuffle mask of {len(shuffle_mask)} entries", "give it 32")
    if computing(dst):
        out, values = dst.array, lift(src.array)
        for start in range(0, out.shape[0], QUADRANT):
            for place, origin in enumerate(shuffle_mask):
                if origin != 255 and start + place < out.shape[0]:
                    row = start + origin if values.shape[0] > QUADRANT else origin
                    store(dst[start + place : start + place + 1], values[row : row + 1])
    return emit(
        "nc_stream_shuffle", "STREAM_SHUFFLE", "vector", (dst,), (src,), free_elements(dst), name=name
    )


def nonzero_with_count(
    dst: NkiTensor, src: NkiTensor, index_offset: int = 0, padding_val: int = -1, name: str | None = None
) -> Handle:
    """Indices of the nonzero elements, then padding, and their count last: on every 16th partition alone."""
    check_on_chip("nonzero_with_count", dst, src)
    first = range(0, src.array.shape[0], GROUP)
    reads, writes = (tuple([t[row : row + 1] for row in first]) for t in (src, dst))
    for source, target in zip(reads, writes, strict=True):
        where = np.flatnonzero(source.array)
        result = np.full(free_elements(target), padding_val, np.int64)
        result[: len(where)] = where + index_offset
        result[-1] = len(where)
        store(target, result)
    return emit("nonzero_with_count", "NONZERO", "gpsimd", writes, reads, free_elements(src), name=name)


def sequence_bounds(dst: NkiTensor, segment_ids: NkiTensor, name: str | None = None) -> Handle:
    """Start and end of each element's segment: dst [P, 2, N] from ids [P, N]; padding (id 0) has N and -1."""
    check_on_chip("sequence_bounds", dst, segment_ids)
    ids = flat(segment_ids)
    result = np.empty((ids.shape[0], 2, ids.shape[1]), np.int64)
    for row, values in enumerate(ids):
        for segment in np.unique(values):
            where = np.flatnonzero(values == segment)
            result[row, 0, where] = where[0] if segment else len(values)
            result[row, 1, where] = where[-1] + 1 if segment else -1
    store(dst, result)
    return emit(
        "sequence_bounds",
        "SEQUENCE_BOUNDS",
        "gpsimd",
        (dst,),
        (segment_ids,),
        free_elements(segment_ids),
        name=name,
    )
