"""The collector for a Neuron device: what is installed, capture, the challenge's model under the profiler."""

from __future__ import annotations

from collectors.device.detect import Finding, checks, device_present, require_device
from collectors.device.report import write_report

__all__ = ["Finding", "checks", "device_present", "require_device", "write_report"]
