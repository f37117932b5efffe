"""Results: instructions whose destination is not known yet, and what assigning them to a tile does.

A call returns a `Result`. It becomes one instruction when its place is known: the destination of an
assignment that follows at once, or else a tile of its own. So `t[...] = nl.add(x, y)` is one instruction.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from simulator.nki import isa as instructions
from simulator.nki import language
from simulator.nki.dtypes import dtype_of
from simulator.nki.initialised import mark_written
from simulator.nki.numerics import computing
from simulator.nki.rules import refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import current, location
from simulator.nki_beta.index import NOTHING, Box, Shape, Trim
from simulator.nki_beta.state import state
from simulator.nki_beta.tile import Tensor, Value, cut

Issue = Callable[[NkiTensor], Any]


class Result(Value):
    """What a call returns: an instruction whose destination is not known yet.

    `adds` is the same instruction accumulating into PSUM, where it can.
    """

    __slots__ = ("adds", "buffer", "dtype", "issue", "place", "shape", "source", "trim")

    def __init__(
        self,
        shape: Shape,
        dtype: Any,
        issue: Issue,
        *,
        buffer: str = "sbuf",
        trim: Trim | None = None,
        adds: Issue | None = None,
    ) -> None:
        flush()
        self.shape = shape if len(shape) > 1 else (*shape, 1)
        self.dtype = dtype_of(dtype)
        self.buffer = buffer
        self.issue = issue
        self.adds = adds
        self.trim = trim
        self.place: NkiTensor | None = None
        launch = current().launch
        self.source = location(launch) if launch.record else 0
        state().pending = self

    def placed(self) -> NkiTensor:
        """Its tile, allocated and written now unless it was."""
        if self.place is None:
            self.into(Tensor(language.ndarray(self.shape, self.dtype, self.buffer)))
        assert self.place is not None
        return self.place

    def into(self, dst: Value, issue: Issue | None = None) -> None:
        """Issue the instruction with `dst` as its destination.

        What a mask leaves out of an on-chip tile holds anything, so it counts as written.
        """
        if state().pending is self:
            state().pending = None
        if self.trim is NOTHING:
            self.place = dst.target()
            mark_written(self.place)
            return
        view = dst.target(self.trim.box if self.trim else None)
        release(view)
        program = current()
        before, program.source = program.source, self.source
        try:
            _issued(view, issue or self.issue, self.trim)
        finally:
            program.source = before
        self.place = dst.target() if self.trim and dst.on_chip else view
        if self.trim and dst.on_chip:
            mark_written(self.place)

    def read_or_write(self) -> NkiTensor:
        """Its tile."""
        return self.placed()

    def read(self, box: Box | None = None) -> NkiTensor:
        """Its tile, or a part."""
        return cut(self.placed(), box)

    def target(self, box: Box | None = None) -> NkiTensor:
        """Its tile, to be overwritten."""
        return cut(self.placed(), box)

    def move(self) -> None:
        """Copy it to a tile of its own, before the one it was assigned to changes."""
        old = self.placed()
        self.place = language.ndarray(self.shape, self.dtype, "sbuf")
        instructions.tensor_copy(dst=self.place, src=old)


def _issued(view: NkiTensor, issue: Issue, trim: Trim | None) -> None:
    """Run an instruction; elements a mask leaves out keep their value."""
    if trim is None or not trim.chosen or not computing(view):
        issue(view)
        return
    before = view.array.copy()
    issue(view)
    keep = np.broadcast_to(trim.keep(), view.array.shape)
    view.array[~keep] = before[~keep]


def flush() -> None:
    """Give the pending result a tile of its own."""
    pending = state().pending
    if pending is not None:
        pending.placed()


def release(view: NkiTensor) -> None:
    """A tensor is about to change: move the results that were assigned to it and are still in use."""
    lent = state().lent.pop(view.storage.id, ())
    for reference in lent:
        result = reference()
        if result is not None and _overlap(result.placed(), view):
            result.move()
        elif result is not None:
            state().lent.setdefault(view.storage.id, []).append(reference)


def assign(dst: Value, value: Any) -> None:
    """`dst[...] = value`: a pending result is computed in place, a tile is copied, a constant fills."""
    if isinstance(value, Value):
        value = value.for_place(dst)
    if isinstance(value, Result) and value.place is None:
        _place(dst, value)
    elif isinstance(value, Value):
        source = value.read()
        target = dst.target()
        if not _same(target, source):
            flush()
            release(target)
            move(target, source)
    else:
        flush()
        target = dst.target()
        release(target)
        instructions.memset(dst=target, value=value)


def _place(dst: Value, value: Result) -> None:
    if value.trim is None and value.size != dst.size:
        raise refuse("shape", f"a tile {value.shape} is assigned to {dst.shape}", "give both one shape")
    if not dst.on_chip or (value.buffer == "psum" and dst.buffer != "psum"):
        if value.trim is NOTHING:
            return
        box = value.trim.box if value.trim else None
        source, view = value.read(box), dst.target(box)
        release(view)
        move(view, source)
        return
    value.into(dst)
    assert value.place is not None
    state().lent.setdefault(value.place.storage.id, []).append(weakref.ref(value))


def move(target: NkiTensor, source: NkiTensor) -> None:
    """Copy between any two memories: a transfer where HBM is one of them."""
    if "hbm" not in (target.storage.memory, source.storage.memory):
        instructions.tensor_copy(dst=target, src=source)
        return
    if source.storage.memory == "psum":
        tile = language.ndarray(source.shape, target.dtype)
        instructions.tensor_copy(dst=tile, src=source)
        source = tile
    instructions.dma_copy(dst=target, src=source)


def _same(left: NkiTensor, right: NkiTensor) -> bool:
    return (
        left.storage is right.storage
        and left.start == right.start
        and left.layout.strides == right.layout.strides
    )


def _overlap(left: NkiTensor, right: NkiTensor) -> bool:
    """Whether the spans of bytes of two views meet."""
    if left.storage is not right.storage:
        return False
    return left.start < right.start + right.layout.span and right.start < left.start + left.layout.span


def accumulate(dst: Value, name: str, other: Any) -> None:
    """`dst += other`: a matmul adds inside PSUM, anything else is one instruction on dst in place."""
    from simulator.nki_beta.functions import FUNCTIONS, binary

    in_psum = name == "add" and dst.buffer == "psum"
    if in_psum and isinstance(other, Result) and other.place is None and other.adds is not None:
        other.into(dst, other.adds)
        return
    assign(dst, binary(FUNCTIONS[name], dst, other))
