"""`nki.collectives`: what ranks do together, each with the values the others brought.

Source: the API pages of NKI 0.6, nki.collectives. Run as a single rank, `all_reduce` takes the group's time
and adds nothing, since no peer is there; the others need their ranks (`collectors profile --ranks N`).
Bytes over the links are those of a ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simulator.nki.isa.registers import VirtualRegister
from simulator.nki.names import unknown_name
from simulator.nki.ops import Op
from simulator.nki.ragged import all_gather_v, all_to_all_v
from simulator.nki.ranks import Members
from simulator.nki.replica_groups import ReplicaGroup, members_of
from simulator.nki.rules import check_same_size, refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.together import (
    CHANNELS,
    Array,
    Brought,
    Tensors,
    before,
    bytes_of,
    check_dim,
    check_op,
    check_operands,
    fitting,
    folded,
    on_chip,
    one_a_channel,
    split,
    together,
)
from simulator.nki.tracer import Handle, current, emit


def rank_id(name: str | None = None) -> VirtualRegister:  # noqa: ARG001
    """A register that holds the number of this rank."""
    return VirtualRegister(current().launch.rank)


def all_reduce(
    srcs: Tensors,
    dsts: Tensors,
    replica_group: ReplicaGroup,
    op: Op,
    priority: int | None = None,
    name: str | None = None,
) -> Handle:
    """Each dst = its src reduced over the ranks."""
    check_operands("all_reduce", srcs, dsts, priority, memories=("hbm", "sbuf"))
    check_op("all_reduce", op)
    for src, dst in zip(srcs, dsts, strict=True):
        check_same_size("all_reduce", dst, src)
    launch = current().launch
    alone = launch.ranks.count == 1
    members: Members = (launch.rank,) if alone else members_of(launch, "all_reduce", replica_group)
    count = max(map(len, replica_group.groups)) if alone else len(members)

    def give(brought: Brought, at: int, _: NkiTensor) -> Array:
        return folded(op, [brought[member][at] for member in members])

    return together("all_reduce", members, srcs, dsts, give, name, 2 * (count - 1) / count * bytes_of(srcs))


def all_gather(
    srcs: Tensors,
    dsts: Tensors,
    replica_group: ReplicaGroup,
    collective_dim: int,
    priority: int | None = None,
    name: str | None = None,
) -> Handle:
    """Each dst = the ranks' srcs one after the other along `collective_dim`."""
    check_operands("all_gather", srcs, dsts, priority, memories=("hbm", "sbuf"))
    check_dim("all_gather", collective_dim, srcs, (0, 1) if on_chip(srcs) else (0,))
    members = members_of(current().launch, "all_gather", replica_group)

    def give(brought: Brought, at: int, dst: NkiTensor) -> Array:
        whole = np.concatenate([brought[member][at] for member in members], axis=collective_dim)
        return fitting("all_gather", whole, dst)

    share = (len(members) - 1) / len(members)
    return together("all_gather", members, srcs, dsts, give, name, share * bytes_of(dsts))


def reduce_scatter(
    srcs: Tensors,
    dsts: Tensors,
    replica_group: ReplicaGroup,
    collective_dim: int,
    op: Op,
    priority: int | None = None,
    name: str | None = None,
) -> Handle:
    """Each dst = this rank's part, along `collective_dim`, of the srcs reduced over the ranks."""
    check_operands("reduce_scatter", srcs, dsts, priority, memories=("hbm", "sbuf"))
    check_op("reduce_scatter", op)
    check_dim("reduce_scatter", collective_dim, srcs, (0,))
    launch = current().launch
    members = members_of(launch, "reduce_scatter", replica_group)
    place = members.index(launch.rank)

    def give(brought: Brought, at: int, dst: NkiTensor) -> Array:
        parts = [split("reduce_scatter", brought[member][at], len(members))[place] for member in members]
        return fitting("reduce_scatter", folded(op, parts), dst)

    share = (len(members) - 1) / len(members)
    return together("reduce_scatter", members, srcs, dsts, give, name, share * bytes_of(srcs))


def all_to_all(
    srcs: Tensors,
    dsts: Tensors,
    replica_group: ReplicaGroup,
    collective_dim: int,
    priority: int | None = None,
    name: str | None = None,
) -> Handle:
    """Part i of each src goes to rank i; each dst = the parts for this rank in the ranks' order."""
    check_operands("all_to_all", srcs, dsts, priority, memories=("hbm",))
    check_dim("all_to_all", collective_dim, srcs, (0,))
    launch = current().launch
    members = members_of(launch, "all_to_all", replica_group)
    place = members.index(launch.rank)

    def give(brought: Brought, at: int, dst: NkiTensor) -> Array:
        parts = [split("all_to_all", brought[member][at], len(members))[place] for member in members]
        return fitting("all_to_all", np.concatenate(parts), dst)

    share = (len(members) - 1) / len(members)
    return together("all_to_all", members, srcs, dsts, give, name, share * bytes_of(srcs))


def collective_permute(
    srcs: Tensors,
    dsts: Tensors,
    source_target_pairs: Sequence[tuple[int, int]],
    priority: int | None = None,
    name: str | None = None,
) -> Handle:
    """The dst of each target = the src of its source; the dst of a rank that is no target stays."""
    check_operands("collective_permute", srcs, dsts, priority, memories=("hbm",), single=True)
    check_same_size("collective_permute", dsts[0], srcs[0])
    pairs = [(int(source), int(target)) for source, target in source_target_pairs]
    sources, targets = [s for s, _ in pairs], [t for _, t in pairs]
    if len(set(sources)) < len(pairs) or len(set(targets)) < len(pairs):
        raise refuse(
            "source-target-pairs",
            f"collective_permute over {pairs} names a source or a target twice",
            "let each rank send once and receive once",
        )
    launch = current().launch
    everyone = ReplicaGroup(list(range(max((*sources, *targets, launch.ranks.count - 1)) + 1)))
    members = members_of(launch, "collective_permute", everyone)
    source = next((s for s, target in pairs if target == launch.rank), None)

    def give(brought: Brought, at: int, _: NkiTensor) -> Array | None:
        return None if source is None else brought[source][at]

    received = [] if source is None else dsts
    return together("collective_permute", members, srcs, received, give, name, bytes_of(srcs))


def collective_permute_implicit(
    srcs_by_channel: Sequence[Tensors],
    dsts_by_channel: Sequence[Tensors],
    replica_group: ReplicaGroup,
    channel_ids: Sequence[int] = (0,),
    priority: int | None = None,
    name: str | None = None,
) -> Handle:
    """Each dst = the src, of the same channel, of the rank before in the ring."""
    call = "collective_permute_implicit"
    srcs, dsts = one_a_channel(call, channel_ids, srcs_by_channel, dsts_by_channel)
    check_operands(call, srcs, dsts, priority, memories=("hbm", "sbuf"), several=True)
    members = members_of(current().launch, call, replica_group)
    source = before(members, 1)

    def give(brought: Brought, at: int, dst: NkiTensor) -> Array:
        return fitting(call, brought[source][at], dst, reshape=True)

    return together(call, members, srcs, dsts, give, name, bytes_of(srcs))


def collective_permute_implicit_reduce(
    srcs0_by_channel: Sequence[Tensors],
    srcs1_by_channel: Sequence[Tensors],
    dsts_by_channel: Sequence[Tensors],
    replica_group: ReplicaGroup,
    op: Op,
    channel_ids: Sequence[int] = (0,),
    priority: int | None = None,
    name: str | None = None,
) -> Handle:
    """Each dst = op(src0, src1), of the same channel, of the rank before in the ring."""
    call = "collective_permute_implicit_reduce"
    lefts, rights, dsts = one_a_channel(
        call, channel_ids, srcs0_by_channel, srcs1_by_channel, dsts_by_channel
    )
    check_operands(call, lefts, dsts, priority, memories=("hbm", "sbuf"), several=True)
    check_operands(call, rights, dsts, priority, memories=("hbm", "sbuf"), several=True)
    check_op(call, op)
    for left, right in zip(lefts, rights, strict=True):
        check_same_size(call, left, right)
    members = members_of(current().launch, call, replica_group)
    source, channels = before(members, 1), len(lefts)

    def give(brought: Brought, at: int, dst: NkiTensor) -> Array:
        theirs = brought[source]
        return fitting(call, folded(op, [theirs[at], theirs[channels + at]]), dst, reshape=True)

    return together(call, members, [*lefts, *rights], dsts, give, name, bytes_of(lefts))


def collective_permute_implicit_current_processing_rank_id(
    iteration_id: int,
    replica_group: ReplicaGroup,
    channel_id: int = 0,
    name: str | None = None,  # noqa: ARG001
) -> VirtualRegister:
    """A register that holds whose data a ring's iteration works on: its own first, then those before it."""
    call = "collective_permute_implicit_current_processing_rank_id"
    if not 0 <= int(channel_id) < CHANNELS:
        raise refuse("channels", f"{call} of channel {channel_id}", f"channels are 0 to {CHANNELS - 1}")
    members = members_of(current().launch, call, replica_group)
    emit(call, "MOVE", "sync", (), (), 1)
    return VirtualRegister(before(members, int(iteration_id)))


def __getattr__(name: str) -> Any:
    raise unknown_name("nki.collectives", name)


__all__ = [
    "ReplicaGroup",
    "all_gather",
    "all_gather_v",
    "all_reduce",
    "all_to_all",
    "all_to_all_v",
    "collective_permute",
    "collective_permute_implicit",
    "collective_permute_implicit_current_processing_rank_id",
    "collective_permute_implicit_reduce",
    "rank_id",
    "reduce_scatter",
]
