"""Facts about this machine: devices, driver, runtime, tools, packages, disk. Only looks; never changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from collectors.device.versions import Release, release
from collectors.errors import DeviceError

AWS_TOOLS = Path("opt/aws/neuron/bin")
AWS_LIBRARIES = Path("opt/aws/neuron/lib")
SYSTEM_PACKAGES = (
    "aws-neuronx-dkms",
    "aws-neuronx-runtime-lib",
    "aws-neuronx-collectives",
    "aws-neuronx-tools",
)
PYTHON_PACKAGES = (
    "torch-neuronx",
    "neuronx-cc",
    "neuronx-distributed",
    "neuronx-distributed-inference",
    "nki",
)
VENVS = "opt/aws_neuronx_venv_pytorch*"
ASK_PYTHON = (
    "import importlib.metadata as m, json, sys\n"
    "found = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}\n"
    "print(json.dumps({n: found[n] for n in sys.argv[1:] if n in found}))"
)
ANSWER_SECONDS = 60.0

# EC2 instance family → the NeuronCore generation in it.
FAMILIES = {"trn1": "trn1", "trn1n": "trn1", "trn2": "trn2", "trn2n": "trn2", "trn2u": "trn2", "inf2": "inf2"}


@dataclass(frozen=True, slots=True)
class Tool:
    """A profiler on this machine: `name` is its spelling, neuron-explorer or neuron-profile."""

    name: str
    path: Path
    version: str
    release: Release


@dataclass(frozen=True)
class Host:
    """A machine, seen through a file system root and an environment; a test hands in another one."""

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    python: str | None = None

    @cached_property
    def devices(self) -> tuple[Path, ...]:
        """Device nodes of the Neuron driver."""
        nodes = (self.root / "dev").glob("neuron[0-9]*")
        return tuple(sorted(nodes, key=lambda node: int(node.name.removeprefix("neuron"))))

    @cached_property
    def instance_type(self) -> str:
        """The EC2 instance type from the firmware tables, or ""."""
        product = self.root / "sys/devices/virtual/dmi/id/product_name"
        return product.read_text("utf-8").strip() if product.exists() else ""

    @property
    def target(self) -> str | None:
        """The NeuronCore generation ("trn2"), from the instance type; None off EC2."""
        family = self.instance_type.split(".")[0]
        return "trn3" if family.startswith("trn3") else FAMILIES.get(family)

    @cached_property
    def driver(self) -> str | None:
        """Version of the loaded kernel module."""
        version = self.root / "sys/module/neuron/version"
        return version.read_text("utf-8").strip() if version.exists() else None

    @cached_property
    def runtime(self) -> Path | None:
        """The Neuron runtime library."""
        found = sorted((self.root / AWS_LIBRARIES).glob("libnrt.so*"))
        return found[0] if found else None

    def which(self, name: str) -> Path | None:
        """An executable on PATH, else in AWS's own folder."""
        on_path = shutil.which(name, path=self.environ.get("PATH", ""))
        if on_path:
            return Path(on_path)
        usual = self.root / AWS_TOOLS / name
        return usual if os.access(usual, os.X_OK) else None

    @cached_property
    def tools(self) -> tuple[Tool, ...]:
        """The profilers found, neuron-explorer first."""
        found = (self._tool(name) for name in ("neuron-explorer", "neuron-profile"))
        return tuple(tool for tool in found if tool is not None)

    def tool(self) -> Tool:
        """The profiler to use. Raises `DeviceError` when there is none."""
        if not self.tools:
            raise DeviceError(
                "Neither neuron-explorer nor neuron-profile is on PATH or in /opt/aws/neuron/bin.",
                "sudo apt-get install aws-neuronx-tools (reading profiles needs no device).",
            )
        return self.tools[0]

    @cached_property
    def neuron_ls(self) -> tuple[Mapping[str, Any], ...]:
        """What `neuron-ls -j` says, a row a device; empty when it cannot say."""
        path = self.which("neuron-ls")
        if path is None:
            return ()
        answer = ask([str(path), "-j"])
        rows = json_in(answer)
        return tuple(rows) if isinstance(rows, list) else ()

    @cached_property
    def interpreter(self) -> str:
        """The Python with the Neuron packages: the user's choice, this one, or one of AWS's environments."""
        named = self.python or self.environ.get("NKI_DASHBOARD_NEURON_PYTHON")
        if named:
            return named
        venvs = sorted(self.root.glob(f"{VENVS}/bin/python"), key=lambda path: "inference" not in str(path))
        candidates = [sys.executable, *map(str, venvs)]
        return next((python for python in candidates if self._packages_of(python)), sys.executable)

    @cached_property
    def packages(self) -> Mapping[str, str]:
        """Installed Neuron packages and their versions, of the system and of `interpreter`."""
        return {**self._system_packages(), **self._packages_of(self.interpreter)}

    def free_bytes(self, path: Path) -> int:
        """Free space where `path` is or would be."""
        while not path.exists():
            path = path.parent
        return shutil.disk_usage(path).free

    def _tool(self, name: str) -> Tool | None:
        path = self.which(name)
        if path is None:
            return None
        version = version_in(ask([str(path), "--version"]))
        return Tool(name, path, version, release(version)) if version else None

    def _system_packages(self) -> dict[str, str]:
        query = self.which("dpkg-query")
        if query is None:
            return {}
        lines = ask([str(query), "-W", "-f", "${Package} ${Version}\n", *SYSTEM_PACKAGES]).splitlines()
        return {row[0]: row[1] for line in lines if len(row := line.split()) == 2}

    def _packages_of(self, python: str) -> dict[str, str]:
        answer = json_in(ask([python, "-c", ASK_PYTHON, *PYTHON_PACKAGES]))
        return (
            {str(name): str(version) for name, version in answer.items()} if isinstance(answer, dict) else {}
        )


def ask(command: Sequence[str]) -> str:
    """Standard output of a short command; "" when it cannot run or takes too long."""
    try:
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def version_in(text: str) -> str:
    """The first word of a text that looks like a version: "neuron-explorer version 2.32.0.495-1666fb8"."""
    words = text.replace(",", " ").split()
    return next((word.lstrip("v") for word in words if word.lstrip("v")[:1].isdigit() and "." in word), "")


def json_in(text: str) -> Any:
    """The JSON object, or list of objects, in a text with log lines around it; None without one."""
    decoder = json.JSONDecoder()
    starts = (place for place, character in enumerate(text) if character in "[{")
    for place in starts:
        try:
            value, _ = decoder.raw_decode(text, place)
        except json.JSONDecodeError:
            continue
        if isinstance(value, dict) or (
            isinstance(value, list) and all(isinstance(row, dict) for row in value)
        ):
            return value
    return None
