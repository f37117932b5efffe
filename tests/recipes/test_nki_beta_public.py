"""Public kernels of the first dialect, unmodified, against NumPy; their clones lie in NKI_CLONES.

trainium-kernel-fusion (allenkchau), nki-samples (aws-neuron) and AccelOpt (zhang677), each under its name.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from simulator.api import KernelRef
from simulator.nki.execute import execute

CLONES = Path(os.environ.get("NKI_CLONES", Path(__file__).resolve().parents[3]))
TUTORIALS = "nki-samples/src/nki_samples/tutorials"
RNG = np.random.default_rng(0)
Array = np.ndarray[Any, Any]


def results(file: str, function: str, **arguments: Any) -> Array:
    path = CLONES / file
    if not path.is_file():
        pytest.skip(f"no {file} in NKI_CLONES or beside the repository")
    kernel = KernelRef(function, file=str(path))
    return execute(kernel, arguments, target="trn2", lnc=1, record=False).results[0]


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("variant", ["baseline", "fused"])
def test_attention_of_trainium_kernel_fusion(variant: str) -> None:
    q, k, v = (RNG.uniform(-1, 1, (128, 512)).astype(ml_dtypes.bfloat16) for _ in range(3))
    file = f"trainium-kernel-fusion/kernels/{variant}/attention.py"
    found = results(file, f"{variant}_attention", q_ref=q, k_ref=k, v_ref=v)
    wide = [x.astype(np.float32) for x in (q, k, v)]
    expected = softmax(wide[0].T @ wide[1]) @ wide[2].T
    assert np.allclose(found.astype(np.float32), expected, atol=4e-3)


@pytest.mark.parametrize("function", ["fused_mlp_pwl", "fused_mlp_taylor"])
def test_mlp_of_trainium_kernel_fusion(function: str) -> None:
    x, w, bias = (RNG.standard_normal(s).astype(np.float32) for s in ((256, 512), (512, 1024), (1, 1024)))
    found = results(
        "trainium-kernel-fusion/kernels/fused/mlp.py", function, lhsT=x.T.copy(), rhs=w, bias=bias
    )
    y = x @ w + bias
    assert np.allclose(found, y / 2 * (1 + np.tanh(0.7978845608 * (y + 0.044715 * y**3))), atol=1e-2)


@pytest.mark.parametrize("version", ["v2", "v4", "v7", "v9", "v10", "v11"])
def test_attention_tutorial(version: str) -> None:
    length = 128 if version == "v2" else 512
    q, k, v = (RNG.uniform(-1, 1, (128, length)).astype(np.float32) for _ in range(3))
    file = f"{TUTORIALS}/attention_fwd_performance/attention_kernels.py"
    found = results(file, f"attn_fwd_{version}", q=q, k=k, v=v)
    assert np.allclose(found.astype(np.float32), softmax(q.T @ k) @ v.T, atol=1e-2)


def test_pooling_tutorial() -> None:
    x = RNG.standard_normal((64, 14, 14)).astype(np.float32)
    file = f"{TUTORIALS}/average_pool2d/average_pool2d_nki_kernels.py"
    found = results(file, "tensor_avgpool_kernel", in_tensor=x, pool_size=2)
    assert np.allclose(found, x.reshape(64, 7, 2, 7, 2).mean(axis=(2, 4)), atol=1e-5)


@pytest.mark.parametrize("name", ["rope_single_freq_apply_B1_H64_N4096_D128", "silu_M4096_N7168"])
def test_nkibench_kernels_against_their_references(name: str) -> None:
    folder = CLONES / "AccelOpt" / "NKIBench"
    found = sorted((folder / "reference").glob(f"{name}_numpy_*.py"))
    if not found:
        pytest.skip("no AccelOpt in NKI_CLONES or beside the repository")
    spec = importlib.util.spec_from_file_location(name, found[0])
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    inputs = reference.get_inputs()
    expected = reference.forward(*inputs)
    names = {"rope": ("x_in", "cos", "sin"), "silu": ("v1",)}[name.partition("_")[0]]
    given = dict(zip(names, reference.transform_to_nki_inputs(inputs), strict=True))
    given = {key: np.asarray(x) for key, x in given.items()}
    made = results(f"AccelOpt/NKIBench/kernels/{name}_0.py", "kernel", **given)
    assert np.allclose(reference.transform_nki_outputs(made, expected)[0], expected, atol=1e-5)
