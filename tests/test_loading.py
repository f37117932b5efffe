"""A kernel's file imports as it is: with its package, with helpers elsewhere, without the host's packages."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from collectors.cli import cli
from collectors.errors import UsageError
from collectors.simulated import identity
from simulator.absent import standing_in
from simulator.errors import BadKernel
from simulator.kernel_ref import KernelRef
from simulator.loading import load
from simulator.nki.execute import execute

X = np.ones((128, 4), np.float32)
DOUBLE = """
@nki.jit(platform_target="trn2")
def double(x):
    tile = nl.load(x)
    {}
    nisa.tensor_scalar(dst=tile, data=tile, op0=nl.multiply, operand0=FACTOR)
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out, src=tile)
    return out
"""
NKI = "import nki\nimport nki.isa as nisa\nimport nki.language as nl\n"
HOST = """
from dataclasses import dataclass
import torch_xla.core.xla_model as xm
from neuronx_distributed.parallel_layers import layers, parallel_state
from neuronx_distributed_inference.models.model_base import NeuronBaseModel
from neuronxcc.nki.kernels.attention import attention_isa_kernel
from torch_neuronx.xla_impl.ops import nki_jit
from transformers.generation import ANameThatNoReleaseHas

call = nki_jit()(attention_isa_kernel)
layers.Linear.forward = None

@dataclass
class Settings:
    factor: float = 2.0

class Model(NeuronBaseModel):
    pass

if parallel_state.is_ready():
    raise RuntimeError

@xm.traced
def helper():
    return Settings().factor

FACTOR = helper()
"""


def written(place: Path, *parts: str) -> str:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("\n".join(parts), encoding="utf-8")
    return str(place)


def doubled(file: str, *paths: str) -> bool:
    trace = execute(KernelRef("double", file=file, paths=paths), {"x": X}, target="trn2", lnc=1)
    return bool(np.array_equal(trace.results[0], X * 2))


def test_a_file_that_also_builds_a_model_runs_its_kernel_without_the_models_packages(tmp_path: Path) -> None:
    assert doubled(written(tmp_path / "submission.py", NKI, HOST, DOUBLE.format("pass")))
    assert not [name for name in sys.modules if name.startswith(("torch_xla", "neuronx_distributed"))]
    import transformers.generation

    assert not hasattr(transformers.generation, "ANameThatNoReleaseHas")


@pytest.mark.parametrize("use", ["xm.mark_step()", "call()", "bool(xm.flag)", "Model().forward(x)"])
def test_a_kernel_that_uses_a_missing_package_as_it_runs_is_refused(tmp_path: Path, use: str) -> None:
    file = written(tmp_path / "submission.py", NKI, HOST, DOUBLE.format(use))
    with pytest.raises(BadKernel, match=r"torch_xla|neuronxcc|forward"):
        doubled(file)


def test_a_library_that_asks_whether_a_package_is_installed_hears_the_truth(tmp_path: Path) -> None:
    with standing_in([tmp_path]):
        assert importlib.util.find_spec("torch_xla") is None


def test_relative_imports_climb_over_folders_without_init_files(tmp_path: Path) -> None:
    written(tmp_path / "kernels" / "utils" / "constants.py", "FACTOR = 2.0")
    file = written(
        tmp_path / "kernels" / "moe" / "selective.py",
        NKI,
        "from ..utils.constants import FACTOR",
        DOUBLE.format("pass"),
    )
    ours = sys.modules["kernels"] = importlib.import_module("kernels")
    assert doubled(file)
    assert sys.modules["kernels"] is ours


def test_a_helper_in_another_folder_is_found_by_path_and_named_when_it_is_not(tmp_path: Path) -> None:
    helper = Path(written(tmp_path / "library" / "far_helper" / "constants.py", "FACTOR = 2.0"))
    written(helper.parent / "__init__.py")
    file = written(
        tmp_path / "here" / "kernel.py",
        NKI,
        "from far_helper.constants import FACTOR",
        DOUBLE.format("pass"),
    )
    with pytest.raises(BadKernel, match="No module named 'far_helper'") as refused:
        load(KernelRef("double", file=file))
    assert "--path FOLDER" in refused.value.hint
    library = str(tmp_path / "library")
    assert doubled(file, library)
    assert helper.resolve() in identity.sources(Path(file), (library,))


def test_a_file_name_may_hold_a_dot(tmp_path: Path) -> None:
    assert doubled(written(tmp_path / "kernel_90.92mfu.py", NKI, "FACTOR = 2.0", DOUBLE.format("pass")))


def test_a_helper_that_is_no_python_is_named_with_its_line(tmp_path: Path) -> None:
    helper = written(tmp_path / "broken.py", "x = 1", "    y = 2")
    file = written(tmp_path / "kernel.py", NKI, "import broken", DOUBLE.format("pass"))
    with pytest.raises(BadKernel, match=r"broken\.py:2: unexpected indent"):
        load(KernelRef("double", file=file))
    assert helper


def test_what_a_kernel_prints_does_not_enter_the_json(tmp_path: Path) -> None:
    chatty = DOUBLE.format("print('allocated')")
    file = written(tmp_path / "kernel.py", NKI, "FACTOR = 2.0", "print('imported')", chatty)
    place = ["profile", "--kernel", f"{file}::double", "--arg", "x=fp32[128,4]", "--lnc", "1"]
    options = ["--backend", "simulator", "--db", str(tmp_path / "runs.db"), "--json"]
    result = CliRunner().invoke(cli, [*place, *options])
    assert result.exit_code == 0, result.output
    assert "launches" in json.loads(result.stdout)


def test_a_path_that_is_no_folder_is_a_usage_error(tmp_path: Path) -> None:
    file = written(tmp_path / "kernel.py", NKI, "FACTOR = 2.0", DOUBLE.format("pass"))
    place = ["profile", "--kernel", f"{file}::double", "--backend", "simulator"]
    result = CliRunner().invoke(cli, [*place, "--path", str(tmp_path / "nowhere")])
    assert isinstance(result.exception, UsageError)
    assert "nowhere" in str(result.exception)
    result = CliRunner().invoke(cli, ["profile", "--prompt", "0", "--path", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
