"""`nki.collectives`: a launch here is one rank of a group that is taken to arrive together.

`all_reduce` runs: its time is the group's, and its values are this rank's own, since no peer is there to add
any. The other collectives are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simulator.nki.names import unknown_name
from simulator.nki.numerics import computing, store
from simulator.nki.ops import Op
from simulator.nki.rules import check_same_size, refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.tracer import emit, free_elements

NAMES = frozenset(
    (
        *("all_gather", "all_gather_v", "reduce_scatter", "all_to_all", "all_to_all_v"),
        *("collective_permute", "collective_permute_implicit", "collective_permute_implicit_reduce"),
        "collective_permute_implicit_current_processing_rank_id",
    )
)
"""Collectives that are refused."""


class ReplicaGroup:
    """The ranks that take part."""

    def __init__(self, *groups: Any) -> None:
        self.groups = groups


def rank_id(name: str | None = None) -> int:  # noqa: ARG001
    """The one rank a launch here is."""
    return 0


def all_reduce(
    srcs: Sequence[NkiTensor],
    dsts: Sequence[NkiTensor],
    replica_group: ReplicaGroup,  # noqa: ARG001 - every group takes the machine's one latency
    op: Op,
    priority: int | None = None,  # noqa: ARG001
    name: str | None = None,
) -> None:
    """Each dst = its src reduced over the ranks; peers contribute nothing to the values."""
    if op.reduce is None:
        raise refuse("reduce-op", f"all_reduce with {op!r}", "use nl.add, nl.maximum or nl.minimum")
    if len(srcs) != len(dsts):
        raise refuse(
            "shape", f"all_reduce of {len(srcs)} into {len(dsts)} tensors", "give a dst for each src"
        )
    for src, dst in zip(srcs, dsts, strict=True):
        check_same_size("all_reduce", src, dst)
        if computing(dst):
            store(dst, src.array)
        emit("all_reduce", "ALL_REDUCE", "sync", (dst,), (src,), free_elements(src), name=name)


def _refused(*_arguments: Any, **_named: Any) -> None:
    raise refuse(
        "collectives", "a collective needs several ranks and the simulator runs one", "profile it on a device"
    )


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return _refused
    raise unknown_name("nki.collectives", name)
