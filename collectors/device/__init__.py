"""The collector for a Neuron device: what is installed, capture, the challenge's model under the profiler.

Importing it costs nothing: the child programs run in AWS's own Python environments, where only the standard
library, torch and the Neuron packages are certain.
"""

from __future__ import annotations

from typing import Any

_HOME = {
    "Finding": "detect",
    "checks": "detect",
    "device_present": "detect",
    "require_device": "detect",
    "write_report": "report",
}

__all__ = ["Finding", "checks", "device_present", "require_device", "write_report"]


def __getattr__(name: str) -> Any:
    """Import a public name from the module it lives in, when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
