"""Names of the first dialect that are refused: no public kernel the simulator was tried on uses them."""

from __future__ import annotations

from simulator.errors import UnknownName


def not_executed(module: str, name: str) -> Exception:
    """The error for `module.name`; dunder names are Python's own business and stay AttributeErrors."""
    if name.startswith("__"):
        return AttributeError(name)
    return UnknownName(
        f"{module}.{name} is not executed by the simulator's front end for the first dialect",
        "docs/nki-surface.md lists the names it executes; NKI 0.3 and later (`import nki`) has more",
    )
