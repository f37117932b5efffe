"""`nki` as this machine executes it; `simulator.dialect` puts it in the place of AWS's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from simulator.nki.names import unknown_name


class Kernel:
    """A function decorated with `nki.jit`. Called inside a launch it is inlined; `kernel[2]` is itself."""

    def __init__(self, func: Callable[..., Any]) -> None:
        functools.update_wrapper(self, func)
        self.func = func

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self.func(*arguments, **named)

    def __getitem__(self, grid: Any) -> Kernel:
        return self


def jit(func: Callable[..., Any] | None = None, **_options: Any) -> Any:
    """Mark a function as a kernel; compiler options change nothing here."""
    return Kernel if func is None else Kernel(func)


def __getattr__(name: str) -> Any:
    raise unknown_name("nki", name)
