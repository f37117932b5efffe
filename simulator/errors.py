"""The simulator's errors.

    SimulatorError
    ├── KernelRefused        the hardware or the compiler would refuse the kernel (rule, file, line)
    ├── UnknownName          a `nki` name this machine does not know, and the release that has it
    └── BadKernel            a kernel file that cannot be loaded, or arguments that do not fit it

Every message is one sentence on what is wrong; `hint` is one sentence on what to do.
"""

from __future__ import annotations


class SimulatorError(Exception):
    """Base of every error the simulator raises on purpose."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class KernelRefused(SimulatorError):
    """The kernel breaks a rule of the hardware or of the compiler."""

    def __init__(self, message: str, hint: str = "", *, rule: str, file: str = "", line: int = 0) -> None:
        super().__init__(message, hint)
        self.rule = rule
        self.file = file
        self.line = line

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: " if self.file else ""
        return f"{where}{self.message} [{self.rule}]"


class UnknownName(SimulatorError, AttributeError):
    """A name of `nki` that this machine does not execute."""


class BadKernel(SimulatorError):
    """A kernel file that cannot be loaded, or arguments that do not fit it."""
