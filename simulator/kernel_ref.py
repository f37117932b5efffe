"""Where a kernel is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KernelRef:
    """A kernel by place: a file and the function in it, or an importable module and the function in it.

    `paths` are further folders a file's imports are looked for in.
    """

    function: str
    file: str | None = None
    module: str | None = None
    paths: tuple[str, ...] = ()
