"""A make-believe Neuron machine: device nodes, driver, runtime, and the stand-in tools on PATH."""

import os
import sys
from pathlib import Path

import pytest

from collectors.device.host import Host

BIN = Path(__file__).resolve().parent / "bin"


def behave(monkeypatch: pytest.MonkeyPatch, manners: str = "", version: str = "2.31.15.0") -> None:
    """Choose how the stand-in tools behave from here on, and put them on PATH."""
    monkeypatch.setenv("NEURON_STANDIN", manners)
    monkeypatch.setenv("NEURON_STANDIN_VERSION", version)
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(BIN), str(Path(sys.executable).parent), os.environ["PATH"]])
    )


def machine(root: Path, instance: str = "trn2.48xlarge", **environ: str) -> Host:
    """A Host with one device, a driver and a runtime below `root`."""
    for path, text in {
        "dev/neuron0": "",
        "sys/module/neuron/version": "2.29.0.0\n",
        "sys/devices/virtual/dmi/id/product_name": f"{instance}\n",
        "opt/aws/neuron/lib/libnrt.so.1": "",
    }.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Host(root, {**os.environ, **environ}, python=sys.executable)
