"""Which ranks a collective is among: lists of ranks that share none."""

from __future__ import annotations

from typing import Any

from simulator.nki.rules import refuse
from simulator.nki.tracer import Launch


class ReplicaGroup:
    """The ranks of a collective, as lists of ranks; it runs within each list, in all of them at once."""

    def __init__(self, *groups: Any) -> None:
        lists = groups[0] if len(groups) == 1 else groups
        flat = all(isinstance(one, int) for one in lists)
        self.groups = tuple(tuple(int(r) for r in one) for one in ([lists] if flat else lists))
        named = [rank for one in self.groups for rank in one]
        if not named or len(set(named)) != len(named) or min(named) < 0:
            raise refuse(
                "replica-group",
                f"a replica group of {list(map(list, self.groups))}",
                "name every rank once, from 0",
            )


def members_of(launch: Launch, call: str, group: ReplicaGroup) -> tuple[int, ...]:
    """The ranks a collective of this launch is among. Raises `KernelRefused` where some do not run."""
    named = [rank for one in group.groups for rank in one]
    if max(named) >= launch.ranks.count:
        raise refuse(
            "ranks",
            f"{call} among ranks {min(named)} to {max(named)}, of which {launch.ranks.count} "
            f"run{'s' if launch.ranks.count == 1 else ''}",
            f"profile it with --ranks {max(named) + 1}",
        )
    for one in group.groups:
        if launch.rank in one:
            return one
    raise refuse(
        "replica-group", f"rank {launch.rank} calls {call} of groups it is in none of", "name every rank once"
    )
