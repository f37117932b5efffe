"""Public kernels of the first dialect, the arguments they are made for, and NumPy's answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from public_kernels import SAMPLES, Arguments, Array, PublicKernel, drawn, f32
from scipy.special import softmax

F32, F16 = np.float32, np.float16
FUSION = "allenkchau/trainium-kernel-fusion"
TUTORIALS = "src/nki_samples/tutorials"
GELU_SLOPE = 0.7978845608


def spread(name: str, shape: tuple[int, ...], dtype: Any = F32) -> Array:
    """Uniform values between -1 and 1."""
    source = np.random.default_rng([*name.encode()])
    return source.uniform(-1, 1, shape).astype(dtype)


# ---- attention


def heads(length: int, suffix: str = "", dtype: Any = F32) -> Arguments:
    """One head of 128, its channels first."""
    return {f"{name}{suffix}": spread(name, (128, length), dtype) for name in "qkv"}


def attended(a: Arguments) -> tuple[Array, ...]:
    q, k, v = map(f32, a.values())
    return (softmax(q.T @ k, axis=-1) @ v.T,)


# ---- products, norms, activations


def layer() -> Arguments:
    return {
        "lhsT": drawn("x", (512, 256), dtype=F32),
        "rhs": drawn("w", (512, 1024), dtype=F32),
        "bias": drawn("bias", (1, 1024), dtype=F32),
    }


def projected(a: Arguments) -> tuple[Array, ...]:
    return (a["lhsT"].T @ a["rhs"] + a["bias"],)


def gelu(y: Array) -> Array:
    return np.asarray(y / 2 * (1 + np.tanh(GELU_SLOPE * (y + 0.044715 * y**3))))


def two_tensors(rows: int, columns: int) -> Callable[[], Arguments]:
    return lambda: {name: spread(name, (rows, columns), F16) for name in ("a_input", "b_input")}


def total(a: Arguments) -> tuple[Array, ...]:
    return (f32(a["a_input"]) + f32(a["b_input"]),)


# ---- pooling, transposing, scanning


def pooled(a: Arguments) -> tuple[Array, ...]:
    x, size = a["in_tensor"], a["pool_size"]
    channels, height, width = x.shape
    return (x.reshape(channels, height // size, size, width // size, size).mean(axis=(2, 4)),)


def flattened() -> Arguments:
    return {"in_tensor": drawn("x", (128, 12 * 40), dtype=F32), "shape2D": (12, 40)}


def transposed(a: Arguments) -> tuple[Array, ...]:
    x = a["in_tensor"]
    return (x.reshape(len(x), *a["shape2D"]).transpose(0, 2, 1),)


def states(channels: int = 256, length: int = 512, size: int = 4) -> Arguments:
    shapes = {
        "delta": (1, channels, length),
        "u": (1, channels, length),
        "A": (channels, size),
        "B": (1, size, length),
        "C": (1, size, length),
    }
    made = {name: spread(name, shape) for name, shape in shapes.items()}
    return {**made, "A": -np.abs(made["A"]), "delta": np.abs(made["delta"])}


def scanned(a: Arguments) -> tuple[Array, ...]:
    """Mamba's selective scan, a step at a time."""
    delta, u = a["delta"][0], a["u"][0]
    state = np.zeros((len(delta), a["A"].shape[1]))
    made = np.empty(delta.shape)
    for at in range(delta.shape[1]):
        step = delta[:, at, None]
        state = np.exp(step * a["A"]) * state + step * a["B"][0, :, at] * u[:, at, None]
        made[:, at] = state @ a["C"][0, :, at]
    return (made[None],)


# ---- the table


def _fusion(
    file: str, function: str, arguments: Any, reference: Any, tolerance: float = 0.01
) -> PublicKernel:
    place = (FUSION, "d709ddf", f"kernels/{file}.py", function)
    return PublicKernel(*place, arguments, reference, tolerance=tolerance, dialect="first")


def _tutorial(file: str, function: str, arguments: Any, reference: Any, **more: Any) -> PublicKernel:
    place = (SAMPLES, "6905a68", f"{TUTORIALS}/{file}.py", function)
    return PublicKernel(*place, arguments, reference, **{"tolerance": 0.01, "dialect": "first", **more})


KERNELS: tuple[PublicKernel, ...] = (
    *(
        _fusion(
            f"{kind}/attention", f"{kind}_attention", partial(heads, 512, "_ref", "bfloat16"), attended, 0.02
        )
        for kind in ("baseline", "fused")
    ),
    _fusion(
        "baseline/softmax",
        "softmax_kernel",
        lambda: {"x_ref": drawn("x", (256, 512), dtype=F32)},
        lambda a: (softmax(a["x_ref"], axis=-1),),
    ),
    _fusion("baseline/mlp_gemm", "gemm_kernel", layer, projected),
    _fusion(
        "baseline/mlp_gemm",
        "gelu_kernel",
        lambda: {"y": drawn("y", (256, 1024), dtype=F32)},
        lambda a: (gelu(a["y"]),),
    ),
    *(
        _fusion("fused/mlp", f"fused_mlp_{way}", layer, lambda a: (gelu(projected(a)[0]),))
        for way in ("pwl", "taylor")
    ),
    *(
        _tutorial(
            "attention_fwd_performance/attention_kernels",
            f"attn_fwd_{version}",
            partial(heads, 128 if version in ("v1", "v2") else 512),
            attended,
        )
        for version in ("v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v8a", "v9", "v10", "v11")
    ),
    _tutorial(
        "average_pool2d/average_pool2d_nki_kernels",
        "tensor_avgpool_kernel",
        lambda: {"in_tensor": drawn("x", (64, 14, 14), dtype=F32), "pool_size": 2},
        pooled,
    ),
    _tutorial("transpose2d/transpose2d_nki_kernels", "tensor_transpose2D_kernel_", flattened, transposed),
    *(
        _tutorial(f"tensor_addition/{file}", "nki_tensor_add", two_tensors(256, 1024), total)
        for file in ("tensor_addition_nki_kernels", "spmd_tensor_addition_nki_kernels")
    ),
    _tutorial(
        "tensor_addition/spmd_multiple_nc_tensor_addition_nki_kernels",
        "nki_tensor_add_nc2",
        two_tensors(512, 2048),
        total,
        lnc=2,
    ),
    *(_tutorial("fused_mamba/mamba_nki_kernels", f"mamba_v{n}", states, scanned) for n in (1, 2, 3)),
)
