"""`nki.collectives`: a launch here is one rank, so a collective is refused with a sentence."""

from __future__ import annotations

from typing import Any

from simulator.nki.names import unknown_name
from simulator.nki.rules import refuse

NAMES = frozenset(
    (
        *("all_reduce", "all_gather", "all_gather_v", "reduce_scatter", "all_to_all", "all_to_all_v"),
        *("collective_permute", "collective_permute_implicit", "collective_permute_implicit_reduce"),
        "collective_permute_implicit_current_processing_rank_id",
    )
)


class ReplicaGroup:
    """The ranks that take part."""

    def __init__(self, *groups: Any) -> None:
        self.groups = groups


def rank_id(name: str | None = None) -> int:  # noqa: ARG001
    """The one rank a launch here is."""
    return 0


def _refused(*_arguments: Any, **_named: Any) -> None:
    raise refuse(
        "collectives", "a collective needs several ranks and the simulator runs one", "profile it on a device"
    )


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return _refused
    raise unknown_name("nki.collectives", name)
