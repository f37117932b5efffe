"""`nki` on this machine."""

from __future__ import annotations
import functools


class Kernel:
    def __init__(self, func):
        self.func = func
        functools.update_wrapper(self, func)

    def __call__(self, *a, **k):
        return self.func(*a, **k)

    def __getitem__(self, grid):
        return self


def jit(func=None, **_):
    return Kernel(func) if func is not None else Kernel
