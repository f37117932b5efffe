"""A program after instructions were left out or joined: new indices, and everything that names an old one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from simulator.trace import Instruction, Region

_NOWHERE: Mapping[int, int] = MappingProxyType({})


def _stays(region: Region) -> Region:
    return region


def renumbered(
    kept: Sequence[Instruction],
    *,
    moved: Callable[[Region], Region] = _stays,
    joined: Mapping[int, int] = _NOWHERE,
) -> list[Instruction]:
    """The kept instructions, numbered anew; `after` follows them, and drops what is left out.

    `moved` says where a region lies now. `joined` maps the index of an instruction that is part of a kept one
    to the kept one's, both as they were.
    """
    place = {instruction.index: new for new, instruction in enumerate(kept)}
    place |= {index: place[into] for index, into in joined.items()}
    return [
        replace(
            i,
            index=place[i.index],
            reads=tuple([moved(r) for r in i.reads]),
            writes=tuple([moved(r) for r in i.writes]),
            after=tuple([place[a] for a in i.after if a in place]),
        )
        for i in kept
    ]
