"""`neuronxcc.nki.compiler`: allocators, and decorators that ask the compiler to leave a kernel as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.nki.language import no_reorder
from simulator.nki_beta.launch import Kernel
from simulator.nki_beta.memory import psum, sbuf
from simulator.nki_beta.names import not_executed


def skip_middle_end_transformations(kernel: Any) -> Kernel:
    """The kernel as it is written: no copy is merged, no load left out."""
    made = kernel if isinstance(kernel, Kernel) else Kernel(kernel)
    made.transformed = False
    return made


def enable_stack_allocator(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """The kernel: where its tiles lie is the simulator's business anyway."""
    return kernel


force_auto_alloc = enable_stack_allocator


def __getattr__(name: str) -> Any:
    raise not_executed("neuronxcc.nki.compiler", name)


__all__ = [
    "enable_stack_allocator",
    "force_auto_alloc",
    "no_reorder",
    "psum",
    "sbuf",
    "skip_middle_end_transformations",
]
