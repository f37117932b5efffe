"""The real source of NxD Inference on a CPU: its clones made importable, with stand-ins for what they need.

Only what needs a device or AWS's index is replaced (torch_xla, torch_neuronx, libneuronxla, neuronxcc, nki,
nkilib, and object storage clients), and models of NxD Inference other than this one.
"""

from __future__ import annotations

import ast
import enum
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import os
import sys
import types
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

STOOD_IN = frozenset(
    [
        "torch_xla",
        "torch_neuronx",
        "libneuronxla",
        "neuronxcc",
        "nkilib",
        "nki",
        "boto3",
        "botocore",
        "awscrt",
        "s3torchconnector",
        "tenacity",
    ]
)
OTHER_MODELS = tuple(
    f"neuronx_distributed_inference.{name}"
    for name in ("models.mllama", "models.llama4", "models.pixtral", "utils.constants")
)
"""Of NxD Inference itself: other models, and their list, which need libraries for images."""


class StandIn(types.ModuleType):
    """A module any attribute of which exists."""

    __path__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = MagicMock(name=f"{self.__name__}.{name}")
        setattr(self, name, value)
        return value


class AnyClass:
    """A namespace any class of which exists."""

    def __getattr__(self, name: str) -> type:
        return type(name, (), {})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins for the modules that are not there."""

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in STOOD_IN or fullname.startswith(OTHER_MODELS):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = StandIn(spec.name)
        module.__version__ = "2.9.0"
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def stand_in(clones: list[Path]) -> None:
    """Make the clones importable, with stand-ins for what they need and this machine does not have."""
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(clone / "src") for clone in clones] + [str(root)]
    sys.meta_path.insert(0, Finder())
    os.environ["NXD_CPU_MODE"] = "1"
    known = importlib.metadata.version
    importlib.metadata.version = lambda name: "0.9.0" if "neuron" in name or "xla" in name else known(name)
    import torch
    import torch_neuronx.utils
    import transformers.generation

    strategies = importlib.import_module("nkilib.core.moe.moe_cte.moe_cte_utils")
    strategies.BlockShardStrategy = enum.Enum("BlockShardStrategy", ["HI_LO", "PING_PONG"])
    torch_neuronx.utils.get_platform_target = lambda *_: "trn3"
    torch.classes.__dict__["neuron"] = AnyClass()
    tracer = types.ModuleType("transformers.utils.fx")
    tracer.HFTracer = type("HFTracer", (), {})  # type: ignore[attr-defined]
    sys.modules.setdefault("transformers.utils.fx", tracer)
    for name in ("SampleDecoderOnlyOutput", "SampleEncoderDecoderOutput"):
        if not hasattr(transformers.generation, name):
            setattr(transformers.generation, name, transformers.generation.GenerateDecoderOnlyOutput)
    literal_constants(clones[1] / "src/neuronx_distributed_inference/utils/constants.py")


def literal_constants(source: Path) -> None:
    """Texts and numbers of NxD Inference's list of models, whose stand-in has nothing."""
    constants = importlib.import_module("neuronx_distributed_inference.utils.constants")
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                setattr(constants, ast.unparse(target), node.value.value)


def without_markers() -> None:
    """Layer boundaries, hints to the compiler alone, pass their argument on."""
    from neuronx_distributed_inference.models import layer_boundary_marker as markers

    for marker in (markers.ModuleMarkerStartWrapper, markers.ModuleMarkerEndWrapper):
        marker.forward = lambda _, *values: values[0] if len(values) == 1 else values
