"""How a collective happens: operands checked, brought by every rank of a group, and given out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from simulator.nki.numerics import computing, lift, store
from simulator.nki.ops import Op
from simulator.nki.ranks import Members
from simulator.nki.rules import refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import Handle, current, emit, free_elements

Array = np.ndarray[Any, Any]
Tensors = Sequence[NkiTensor]
Brought = dict[int, list[Array]]
"""What each member brought: the values of its sources, in order."""
REDUCTIONS = frozenset({"add", "minimum", "maximum"})
CHANNELS = 4
"""At most, where a group holds all devices of a node."""


def together(
    call: str,
    members: Members,
    srcs: Tensors,
    dsts: Tensors,
    give: Callable[[Brought, int, NkiTensor], Array | None],
    name: str | None,
    wire_bytes: float,
) -> Handle:
    """Bring the sources, wait for the other ranks, and fill each dst with what `give` makes of all brought.

    Both cores of a pair bring theirs: what lies in HBM they share is brought by whichever comes last.
    """
    program = current()
    launch = program.launch
    number, cores = launch.handover.meet(program, (srcs, dsts, give))
    if launch.exchanged != number:
        launch.exchanged = number
        own = [[np.array(src.array) for src in theirs] for theirs, _, _ in cores]
        met = launch.ranks.meet(launch.rank, members, f"{call} of {len(srcs)}", own)
        for core, (_, filled, made) in enumerate(cores):
            brought = {member: values[core] for member, values in met.items()}
            for at, dst in enumerate(filled):
                value = made(brought, at, dst)
                if value is not None and computing(dst):
                    store(dst, value)
    elements = max(map(free_elements, srcs))
    shared = launch.lnc > 1 and srcs[0].storage.core is None
    return emit(
        call,
        call.upper(),
        "sync",
        tuple(dsts),
        tuple(srcs),
        elements,
        name=name,
        rendezvous=number if shared else None,
        wire_bytes=wire_bytes,
    )


def bytes_of(tensors: Tensors) -> int:
    """Bytes of all of them."""
    return sum(tensor.layout.nbytes for tensor in tensors)


def on_chip(tensors: Tensors) -> bool:
    """Whether they lie in SBUF or PSUM."""
    return tensors[0].storage.memory != "hbm"


def folded(op: Op, parts: Sequence[Array]) -> Array:
    """The values reduced, in order, in float32."""
    total = lift(parts[0])
    for part in parts[1:]:
        total = op.compute(total, lift(part))
    return total


def split(call: str, values: Array, count: int) -> list[Array]:
    """`count` equal parts along dimension 0."""
    if values.shape[0] % count:
        raise refuse(
            "shape", f"{call} splits {values.shape} over {count} ranks", "make dimension 0 a multiple of them"
        )
    return np.split(values, count)


def fitting(call: str, values: Array, dst: NkiTensor, *, reshape: bool = False) -> Array:
    """The values, if they have the shape of `dst`; with `reshape`, its size."""
    if values.shape == dst.shape or (reshape and values.size == dst.size):
        return values
    raise refuse("shape", f"{call} gives {values.shape} but dst is {dst.shape}", "fit dst to it")


def one_a_channel(call: str, ids: Sequence[int], *by_channel: Sequence[Tensors]) -> list[list[NkiTensor]]:
    """The one tensor of each channel, of every list."""
    wanted = list(range(len(by_channel[0])))
    if list(ids) != wanted or not 1 <= len(wanted) <= CHANNELS:
        raise refuse(
            "channels",
            f"{call} over channels {list(ids)} with {len(wanted)} lists of tensors",
            f"number the lists from 0, up to {CHANNELS} of them",
        )
    if any(len(lists) != len(wanted) or any(len(one) != 1 for one in lists) for lists in by_channel):
        raise refuse("coalesced", f"{call} with several tensors in a channel", "give each channel one tensor")
    return [[one[0] for one in lists] for lists in by_channel]


def check_op(call: str, op: Op) -> None:
    """One of the reductions collectives have."""
    if getattr(op, "name", None) not in REDUCTIONS:
        raise refuse("reduce-op", f"{call} with {op!r}", "use nl.add, nl.maximum or nl.minimum")


def check_dim(call: str, dim: int, tensors: Tensors, allowed: tuple[int, ...]) -> None:
    """A dimension the call can work along."""
    if dim not in allowed or any(dim >= tensor.ndim for tensor in tensors):
        raise refuse(
            "collective-dim",
            f"{call} along dimension {dim} in {tensors[0].storage.memory.upper()}",
            f"use {' or '.join(map(str, allowed))}",
        )


def check_operands(
    call: str,
    srcs: Tensors,
    dsts: Tensors,
    priority: int | None,
    *,
    memories: tuple[str, ...],
    single: bool = False,
    several: bool = False,
) -> None:
    """Lists of equal length, in one memory that the call reaches, of equal types."""
    if isinstance(srcs, NkiTensor) or isinstance(dsts, NkiTensor) or len(srcs) != len(dsts) or not srcs:
        raise refuse("shape", f"{call} needs lists of equal length", "give a list of srcs and a dst for each")
    found = {tensor.storage.memory for tensor in (*srcs, *dsts)}
    if len(found) > 1 or not found <= set(memories):
        raise refuse(
            "operand-memory",
            f"{call} of tensors in {' and '.join(sorted(m.upper() for m in found))}",
            f"keep all of them in {' or all in '.join(m.upper() for m in memories)}",
        )
    if len(srcs) > 1 and (single or (found == {"sbuf"} and not several)):
        raise refuse(
            "coalesced", f"{call} of {len(srcs)} tensors", "give one; several only where all are in HBM"
        )
    for src, dst in zip(srcs, dsts, strict=True):
        if src.dtype != dst.dtype:
            raise refuse(
                "dtype", f"{call} of {src.dtype.name} into {dst.dtype.name}", "give both the same dtype"
            )
    if priority is not None and priority not in range(4):
        raise refuse("priority", f"{call} with priority {priority}", "use 0 to 3")


def before(members: Members, steps: int) -> int:
    """The rank so many steps before this one in the ring of `members`."""
    return members[(members.index(current().launch.rank) - steps) % len(members)]
