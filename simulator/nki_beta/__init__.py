"""`neuronxcc.nki`, the first dialect (up to SDK 2.26), onto the same instructions as `simulator.nki`.

Calls return tiles, `nl.load` and `nl.store` are transfers, indices are affine expressions and masks trim
them. What the compiler of that dialect does is done here too: copies out of PSUM where a tile is wanted in
SBUF, identities for transposes, matmuls with ones for broadcasts over partitions. What it changes in a whole
program is in `simulator.compiler`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.nki_beta import compiler, isa, language, typing
from simulator.nki_beta.launch import Kernel
from simulator.nki_beta.names import not_executed


def jit(func: Callable[..., Any] | None = None, **_options: Any) -> Any:
    """Mark a function as a kernel; compiler options change nothing here."""
    if func is None:
        return jit
    return func if isinstance(func, Kernel) else Kernel(func)


baremetal = benchmark = profile = trace = jit
"""A kernel in all of these: how it is measured is the profiler's business."""


def simulate_kernel(kernel: Any, *arguments: Any, **named: Any) -> Any:
    """The results of a kernel on NumPy arrays, as AWS's own simulation of this name gives."""
    import inspect

    from simulator.nki.execute import execute

    function = getattr(kernel, "func", kernel)
    bound = inspect.signature(function).bind(*arguments, **named)
    results = execute(function, bound.arguments, target="trn2", lnc=1, record=False).results
    return results[0] if len(results) == 1 else results


def __getattr__(name: str) -> Any:
    raise not_executed("neuronxcc.nki", name)


__all__ = [
    "Kernel",
    "baremetal",
    "benchmark",
    "compiler",
    "isa",
    "jit",
    "language",
    "profile",
    "simulate_kernel",
    "trace",
    "typing",
]
