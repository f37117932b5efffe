"""What `collectors doctor --report` writes: what is needed to judge a machine from afar, nothing else."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collectors.device.detect import checks
from collectors.device.host import Host
from collectors.device.variables import INSPECT
from collectors.errors import DeviceError

PREFIXES = (INSPECT, "NEURON_", "NKI_", "XLA_", "TORCH_NEURONX_")


def report(host: Host | None = None) -> dict[str, Any]:
    """The machine as the collector sees it: checks, versions, devices, Neuron variables of the shell."""
    machine = host or Host()
    return {
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": {
            "kernel": platform.release(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        },
        "instance_type": machine.instance_type,
        "target": machine.target,
        "driver": machine.driver,
        "devices": [dict(row) for row in machine.neuron_ls] or [node.name for node in machine.devices],
        "tools": [
            {"name": tool.name, "version": tool.version, "sdk": tool.release.sdk} for tool in machine.tools
        ],
        "packages": dict(machine.packages),
        "variables": {
            name: machine.environ[name] for name in sorted(machine.environ) if name.startswith(PREFIXES)
        },
        "checks": [asdict(finding) for finding in checks(machine)],
    }


def write_report(path: Path, host: Host | None = None) -> Path:
    """Write the report as JSON and return its path. Raises `DeviceError` when it cannot be written."""
    text = json.dumps(report(host), indent=2, ensure_ascii=False)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise DeviceError(
            f"The report cannot be written to {path}: {error.strerror}.", "Name another file."
        ) from error
    return path
