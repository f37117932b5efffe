"""Scalar registers of a sequencer: one integer each, which may steer loops and addresses."""

from __future__ import annotations

from typing import Any

from simulator.nki.numerics import fill
from simulator.nki.rules import refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import Handle, current, emit, location

MOST_ROUNDS = 50_000


def branch() -> None:
    """A loop of the hardware goes round; one whose condition never ends it is refused."""
    program = current()
    at = location(program.launch)
    program.rounds[at] += 1
    if program.rounds[at] > MOST_ROUNDS:
        raise refuse(
            "endless-loop",
            f"a dynamic loop went round {MOST_ROUNDS:,} times and did not end",
            "let its condition become zero; the simulator follows no longer loop",
        )
    emit("branch", "COMPARE_BRANCH", "sync", (), (), 1)


class VirtualRegister:
    """A register; `value` is what it holds as the kernel executes."""

    __slots__ = ("value",)

    def __init__(self, state: int | None = None, frozen: bool = False) -> None:  # noqa: ARG002
        self.value = state or 0

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __bool__(self) -> bool:
        """`while register:` compares and branches."""
        branch()
        return self.value != 0


def register_alloc(x: Any = None) -> VirtualRegister:
    """A register, holding `x` (an integer or a [1, 1] tile) if given."""
    register = VirtualRegister()
    if isinstance(x, NkiTensor):
        register_load(register, x)
    elif x is not None:
        register.value = int(x)
    return register


def register_move(dst: VirtualRegister, src: Any) -> Handle:
    """dst = a register or a constant."""
    dst.value = int(src)
    return emit("register_move", "MOVE", "sync", (), (), 1)


def register_load(dst: VirtualRegister, src: NkiTensor) -> Handle:
    """dst = the one element of a tile."""
    dst.value = int(src.array.reshape(-1)[0])
    return emit("register_load", "TENSOR_LOAD", "sync", (), (src,), 1)


def register_store(dst: NkiTensor, src: Any) -> Handle:
    """The one element of a tile = a register or a constant."""
    fill(dst, int(src))
    return emit("register_store", "TENSOR_STORE", "sync", (dst,), (), 1)
