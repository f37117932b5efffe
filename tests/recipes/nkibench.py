"""The fourteen kernels of zhang677/AccelOpt's NKIBench, on the benchmark's own inputs and references."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from rows import Row

REPOSITORY, COMMIT = "zhang677/AccelOpt", "47e29a7"
TOLERANCE = 1e-4
NAMES = (
    "adamw_M10944_N2048",
    "add_rmsnorm_matmul_M4096_N2048_K1024",
    "bmm_B16_M4096_K64_N4096",
    "bmm_softmax_B16_K64_M4096_N4096",
    "gqa_full_B1_N4096_QH16_KH8_D128",
    "lora_M4096_N12288_K5120_R128",
    "mamba_M7168_C256_S16",
    "matmul_M4096_N12288_K5120",
    "matmul_add_rmsnorm_M4096_N2048_K2048",
    "rmsnorm_matmul_M4096_N2048_K1024",
    "rope_single_freq_apply_B1_H64_N4096_D128",
    "silu_M4096_N7168",
    "swiglu_M4096_N3072_K1024",
    "transpose_matmul_M4096_K2048_N10944",
)


def row(name: str) -> Row:
    """The row of one kernel."""
    against = "the benchmark's own NumPy"
    return Row(
        REPOSITORY, COMMIT, f"NKIBench/kernels/{name}_0.py::kernel", "first", "trn2 LNC 1", against, TOLERANCE
    )


def rows() -> list[Row]:
    """A row for each kernel."""
    return [row(name) for name in NAMES]


def reference_of(clone: Path, name: str) -> ModuleType:
    """The benchmark's module that draws inputs, lays them out and computes the answer."""
    (file,) = sorted((clone / "NKIBench" / "reference").glob(f"{name}_numpy_*.py"))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def arguments(module: ModuleType, inputs: Any, kernel: Any) -> Mapping[str, Any]:
    """What the benchmark passes by place, under the names of the kernel's parameters."""
    names = list(inspect.signature(kernel).parameters)
    given = module.transform_to_nki_inputs(inputs)
    return {n: v if isinstance(v, float | int) else np.asarray(v) for n, v in zip(names, given, strict=True)}


def error(module: ModuleType, results: tuple[Any, ...], expected: Any) -> float:
    """The largest difference of any result, as a share of that result's largest value."""
    made = module.transform_nki_outputs(results if len(results) > 1 else results[0], expected)
    wanted = expected if isinstance(expected, tuple | list) else [expected]
    found = made if isinstance(made, tuple | list) else [made]
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(found, wanted, strict=True)]
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)
