"""The kernels' errors.

    KernelError
    ├── UnknownVariant     no such slot, or no such variant of it
    └── UnsupportedShape   a model or prompt the kernels cannot run

Every message is one sentence on what is wrong; `hint` is one sentence on what to do.
"""

from __future__ import annotations


class KernelError(Exception):
    """Base of every error the kernels' description raises on purpose."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Both sentences: in NxD Inference nobody else prints the hint."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UnknownVariant(KernelError):
    """No slot by that name, or no variant of the slot by that name."""


class UnsupportedShape(KernelError):
    """A model, bucket or batch the kernels do not support."""
