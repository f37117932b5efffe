"""From a variant to its kernel, where `nki` is installed or simulated."""

from __future__ import annotations

import importlib
from typing import Any

from kernels.registry import Variant


def function_of(kernel: Variant) -> Any:
    """The kernel function of a variant."""
    return getattr(importlib.import_module(kernel.module), kernel.function)
