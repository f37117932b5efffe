"""The collectors' errors.

    CollectorError          exit code 2
    ├── UsageError          what was typed cannot be meant
    ├── StoreError          runs.db cannot be opened, read or written
    ├── RunNotFound         no run by that id, label or position
    ├── UnreadableInput     a file that is not what it should be
    └── DeviceError         no device, a missing tool, a failed phase on the device

Every message is one sentence on what is wrong; `hint` is one sentence on what to do.
"""

from __future__ import annotations


class CollectorError(Exception):
    """Base of every error a collector raises on purpose; the command line prints it without a traceback."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CollectorError):
    """What was typed cannot be meant."""


class StoreError(CollectorError):
    """`runs.db` cannot be opened, read or written."""


class RunNotFound(CollectorError):
    """No run by that id, label or position."""


class UnreadableInput(CollectorError):
    """A file that is not what it should be."""


class DeviceError(CollectorError):
    """No device, a missing tool, or a failed phase on the device."""
