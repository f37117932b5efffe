"""Public NKI kernels, the arguments they are made for, and NumPy's answer; here those of the current dialect.

A kernel stays in its own repository: a row names it by repository, commit, file and function, and is read out
of a clone's history. Weights are drawn once a shape; every draw is seeded.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from rows import Row
from scipy.special import expit, softmax

Array = np.ndarray[Any, Any]
Arguments = Mapping[str, Any]
BF16 = np.dtype(ml_dtypes.bfloat16)
HIDDEN, INNER, PADDED, EXPERTS, HEAD, CHOSEN = 2048, 192, 256, 128, 128, 8
EPS = 1e-6


@dataclass(frozen=True, slots=True)
class PublicKernel:
    """One kernel, what to give it, what it returns, and the error (of the largest value) it may have."""

    repository: str
    commit: str
    file: str
    function: str
    arguments: Callable[[], Arguments]
    reference: Callable[[Arguments], tuple[Array, ...]]
    target: str = "trn2"
    lnc: int = 1
    tolerance: float = 0.02
    needs_nkilib: bool = False
    dialect: str = "current"
    case: str = ""

    @property
    def name(self) -> str:
        """Repository, file and function, and the case where a kernel is run in several."""
        return f"{self.repository.partition('/')[2]} {self._place}"

    @property
    def _place(self) -> str:
        return f"{self.file}::{self.function}{f' {self.case}' if self.case else ''}"

    def row(self) -> Row:
        """Its row in docs/public-kernels.md."""
        on = f"{self.target} LNC {self.lnc}"
        return Row(self.repository, self.commit, self._place, self.dialect, on, "NumPy", self.tolerance)


@cache
def checked_out(clone: Path, commit: str, into: Path) -> Path:
    """The files of one commit of a clone, in a folder of their own; what a partial clone lacks is absent."""
    folder = into / f"{clone.name}-{commit}" / clone.name
    folder.mkdir(parents=True)
    listed = _git(clone, "ls-tree", "-r", "--name-only", commit).decode().splitlines()
    for name in (name for name in listed if name.endswith(".py")):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(_git(clone, "show", f"{commit}:{name}"))
    return folder


def _git(clone: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(clone), *arguments], check=True, capture_output=True).stdout


@cache
def drawn(name: str, shape: tuple[int, ...], scale: float = 1.0, dtype: Any = BF16) -> Array:
    """Normal values; a large tensor is drawn a slice at a time."""
    source = np.random.default_rng([*name.encode()])
    made = np.empty(shape, dtype)
    for part in made if made.ndim > 2 else (made,):
        part[...] = (source.standard_normal(part.shape, np.float32) * scale).astype(dtype)
    return made


def f32(array: Array) -> Array:
    """A tensor as float32."""
    return array.astype(np.float32)


def normed(x: Array, gamma: Array | float = 1.0) -> Array:
    """RMSNorm over the last dimension."""
    x = f32(x)
    return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + EPS) * np.asarray(gamma, np.float32))


def expert(x: Array, gate_up: Array, down: Array) -> Array:
    """One expert's answer; gate's columns come before up's."""
    both = x @ f32(gate_up).reshape(x.shape[-1], -1)
    gate, up = np.split(both, 2, axis=-1)
    return np.asarray((gate * expit(gate) * up) @ f32(down))


# ---- element-wise, norms, gathers


def two_tiles() -> Arguments:
    return {"a_input": drawn("a", (4, 3), dtype=np.float16), "b_input": drawn("b", (4, 3), dtype=np.float16)}


def rows_to_norm() -> Arguments:
    return {"input_tensor": drawn("x", (200, HIDDEN)), "weight": drawn("w", (HIDDEN,)), "eps": EPS}


def embedding() -> Arguments:
    picked = np.random.default_rng(0).integers(0, 37984, (100, 1)).astype(np.uint32)
    return {"weight": drawn("table", (37984, 512)), "indices": picked}


def head() -> Arguments:
    return {"x": drawn("x", (1, HIDDEN)), "weight": drawn("head", (37984, HIDDEN), 0.02)}


# ---- experts of one token


def selected() -> Arguments:
    """One token and its eight experts by id (nki-moe-megakernel's moe_tkg)."""
    return {
        "hidden_states": drawn("x", (1, HIDDEN)),
        "gate_up_weights": drawn("gate_up", (EXPERTS, HIDDEN, 2 * PADDED), 0.02),
        "down_weights": drawn("down", (EXPERTS, PADDED, HIDDEN), 0.02),
        "expert_indices": np.random.default_rng(0).permutation(EXPERTS)[None, :CHOSEN].astype(np.int32),
        "routing_weights_k": softmax(drawn("routing", (1, CHOSEN), dtype=np.float32), axis=1),
    }


def selected_sum(a: Arguments) -> tuple[Array, ...]:
    x, total = f32(a["hidden_states"]), np.zeros((1, HIDDEN), np.float32)
    for index, share in zip(a["expert_indices"][0], a["routing_weights_k"][0], strict=True):
        total += share * expert(x, a["gate_up_weights"][index], a["down_weights"][index])
    return (total,)


def fused(inner_gate: int = INNER, inner_down: int = INNER) -> Arguments:
    """Norm, router and experts of one token; a padded weight holds zeros in what it has over 192."""
    return {
        "inp": drawn("x", (1, 1, HIDDEN)),
        "gamma": drawn("gamma", (1, HIDDEN)),
        "router_w": drawn("router", (HIDDEN, EXPERTS), 0.05),
        "gate_up_w": _padded("gate_up_192", (EXPERTS, HIDDEN, 2, INNER), 3, inner_gate),
        "down_w": _padded("down_192", (EXPERTS, INNER, HIDDEN), 1, inner_down),
    }


@cache
def _padded(name: str, shape: tuple[int, ...], axis: int, size: int) -> Array:
    weights = drawn(name, shape, 0.02)
    if size == shape[axis]:
        return weights
    wide = np.zeros((*shape[:axis], size, *shape[axis + 1 :]), BF16)
    wide[(slice(None),) * axis + (slice(shape[axis]),)] = weights
    return wide


def flat_fused(inner_gate: int = INNER, inner_down: int = INNER) -> Arguments:
    """`fused` with gate and up side by side: [experts, hidden, 2 x inner]."""
    a = fused(inner_gate, inner_down)
    gate_up = a["gate_up_w"]
    return {**a, "gate_up_w": gate_up.reshape(*gate_up.shape[:2], -1)}


def block_sum(a: Arguments) -> tuple[Array, ...]:
    inner = a["gate_up_w"].size // (2 * EXPERTS * HIDDEN)
    x = normed(a["inp"].reshape(1, HIDDEN), f32(a["gamma"]))
    shares = softmax(x @ f32(a["router_w"]), axis=-1)[0]
    best = np.argsort(-shares, kind="stable")[:CHOSEN]
    total = np.zeros((1, HIDDEN), np.float32)
    for index in best:
        total += (
            shares[index] / shares[best].sum() * expert(x, a["gate_up_w"][index], a["down_w"][index, :inner])
        )
    return (total,)


def winner() -> Arguments:
    """The same under the names of thustorage/NKI-MoE's kernel."""
    a = fused()
    return {
        "hidden_input": a["inp"].reshape(1, HIDDEN),
        "gamma": a["gamma"],
        "router_weights": a["router_w"],
        "expert_gate_up_weights": a["gate_up_w"],
        "expert_down_weights": a["down_w"],
        "eps": EPS,
        "top_k": CHOSEN,
        "norm_topk_prob": True,
    }


def gathered() -> Arguments:
    """One token and the weights of its eight experts, already gathered (charleshong3/nki-moe-7013)."""
    return {
        "x": drawn("x", (1, HIDDEN)),
        "gate_up_weights": drawn("gate_up_8", (CHOSEN, HIDDEN, 2 * INNER), 0.02),
        "down_weights": drawn("down_8", (CHOSEN, INNER, HIDDEN), 0.02),
        "affinities": softmax(drawn("routing", (CHOSEN, 1), dtype=np.float32), axis=0).astype(BF16),
    }


def gathered_sum(a: Arguments) -> tuple[Array, ...]:
    weights = zip(a["gate_up_weights"], a["down_weights"], f32(a["affinities"])[:, 0], strict=True)
    return (np.sum([share * expert(f32(a["x"]), up, down) for up, down, share in weights], axis=0),)


def gathered_block() -> Arguments:
    a = dict(gathered())
    residual = a.pop("x")
    return {**a, "residual": residual, "rms_weight": drawn("gamma", (HIDDEN,)), "eps": EPS}


def gathered_block_sum(a: Arguments, with_residual: bool) -> tuple[Array, ...]:
    (answer,) = gathered_sum({**a, "x": normed(a["residual"], f32(a["rms_weight"])).astype(BF16)})
    return (answer + f32(a["residual"]) if with_residual else answer,)


# ---- attention


def turned(x: Array, cos: Array, sin: Array) -> Array:
    """Rotary embedding over the last dimension, pairs (d, d + 64)."""
    low, high = np.split(x, 2, axis=-1)
    return np.asarray(x * cos + np.concatenate((-high, low), axis=-1) * sin)


def angles(positions: int, first: int = 0) -> tuple[Array, Array]:
    """cos and sin of [positions, 128]."""
    each = np.outer(np.arange(first, first + positions), 10000.0 ** -(np.arange(0, HEAD, 2) / HEAD))
    both = np.concatenate((each, each), axis=-1).astype(np.float32)
    return np.cos(both).astype(BF16), np.sin(both).astype(BF16)


def decode_attention() -> Arguments:
    """One token after 640: 8 query heads over one head of keys."""
    cos, sin = angles(1, 640)
    return {
        "hidden_states": drawn("x", (1, 1, HIDDEN), 0.05),
        "Wq": drawn("wq", (1024, HIDDEN), 0.05),
        "Wk": drawn("wk", (HEAD, HIDDEN), 0.05),
        "Wv": drawn("wv", (HEAD, HIDDEN), 0.05),
        "Wo": drawn("wo", (1024, HIDDEN), 0.05),
        "q_norm_weight": drawn("qn", (HEAD,)),
        "k_norm_weight": drawn("kn", (HEAD,)),
        "K_cache": drawn("k", (1, 1, 640, HEAD)),
        "V_cache": drawn("v", (1, 1, 640, HEAD)),
        "cos": cos,
        "sin": sin,
        "position_ids": np.full((1, 1), 640, np.int32),
    }


def by_tiles(x: Array, weight: Array) -> Array:
    """x [1, hidden] through weight [outputs, hidden] as these kernels do: each 128 x 128 tile untransposed.

    The kernels hand nc_matmul tiles [output, hidden] as stationary, which contracts outputs; the repository's
    own test accepts it, because its values are near zero.
    """
    tiles = f32(weight).reshape(-1, HEAD, HIDDEN // HEAD, HEAD)
    return np.asarray(np.einsum("odth,td->oh", tiles, x.reshape(-1, HEAD)).reshape(1, -1))


def decode_answer(a: Arguments) -> tuple[Array, ...]:
    """The projected attention, and the token's key and value."""
    x, cos, sin = f32(a["hidden_states"])[0], f32(a["cos"]), f32(a["sin"])
    q = turned(normed(by_tiles(x, a["Wq"]).reshape(8, HEAD), f32(a["q_norm_weight"])), cos, sin)
    k = turned(normed(by_tiles(x, a["Wk"]), f32(a["k_norm_weight"])), cos, sin)
    v = by_tiles(x, a["Wv"])
    keys, values = (np.concatenate((f32(a[f"{n}_cache"])[0, 0], t)) for n, t in (("K", k), ("V", v)))
    mixed = softmax(q @ keys.T * HEAD**-0.5, axis=-1) @ values
    return mixed.reshape(1, -1) @ f32(a["Wo"]), k, v


def prefill_attention(columns: bool = False) -> Arguments:
    """640 tokens: 8 query heads over 4 heads of keys; weights by rows of outputs, or by columns."""
    cos, sin = angles(640)
    weights = {
        name: drawn(name, (rows, HIDDEN), 0.02) for name, rows in (("Wq", 1024), ("Wk", 512), ("Wv", 512))
    }
    return {
        "hidden_states": drawn("x640", (1, 640, HIDDEN), 0.3),
        **{name: np.ascontiguousarray(w.T) if columns else w for name, w in weights.items()},
        "q_norm_weight": drawn("qn", (HEAD,)),
        "k_norm_weight": drawn("kn", (HEAD,)),
        "cos": cos,
        "sin": sin,
    }


def prefill_answer(a: Arguments) -> tuple[Array, ...]:
    x, cos, sin = f32(a["hidden_states"])[0], f32(a["cos"]), f32(a["sin"])
    heads = {}
    for name in ("Wq", "Wk", "Wv"):
        weight = f32(a[name]) if a[name].shape[0] == HIDDEN else f32(a[name]).T
        heads[name] = (x @ weight).reshape(640, -1, HEAD).transpose(1, 0, 2)
    q = turned(normed(heads["Wq"], f32(a["q_norm_weight"])), cos, sin)
    k = turned(normed(heads["Wk"], f32(a["k_norm_weight"])), cos, sin)
    k, v = (np.repeat(each, 2, axis=0) for each in (k, heads["Wv"]))
    scores = q @ k.transpose(0, 2, 1) * HEAD**-0.5
    scores[:, np.triu(np.ones((640, 640), np.bool_), 1)] = -np.inf
    return ((softmax(scores, axis=-1) @ v).transpose(1, 0, 2),)


# ---- matmuls


def factors(left: str, right: str, m: int = 2048, k: int = 2048, n: int = 2048) -> Callable[[], Arguments]:
    """Two operands under their names; a name that ends in T is given transposed."""

    def made() -> Arguments:
        shapes = {
            left: (k, m) if left.endswith("T") else (m, k),
            right: (n, k) if right[-1] == "T" else (k, n),
        }
        return {name: drawn(name, shape) for name, shape in shapes.items()}

    return made


def product(a: Arguments) -> tuple[Array, ...]:
    (left, x), (right, y) = ((name, f32(value)) for name, value in a.items())
    return ((x.T if left.endswith("T") else x) @ (y.T if right.endswith("T") else y),)


def halves_and_ones(name: str, shape: tuple[int, ...]) -> Array:
    """Values every MX format holds exactly."""
    found = np.random.default_rng([*name.encode()]).choice([-1.5, -1.0, -0.5, 0.5, 1.0, 1.5], shape)
    return found.astype(BF16)


def to_quantize(use_tensor_copy: bool) -> Arguments:
    """Two operands of 512 rows, quantised on the way to one MX matmul."""
    return {
        "stationary_hbm": halves_and_ones("left", (512, 128)),
        "moving_hbm": halves_and_ones("right", (512, 512)),
        "mx_dtype": "float8_e5m2_x4",
        "use_tensor_copy": use_tensor_copy,
    }


def quantized(name: str, columns: int) -> tuple[Array, Array]:
    """[128, columns] of four e5m2 each, as the float32 they are handed over as, and a scale for 8 rows."""
    source = np.random.default_rng([*name.encode()])
    values = source.standard_normal((128, 4 * columns)).astype(ml_dtypes.float8_e5m2)
    return values.view(np.float32), source.integers(120, 132, (16, columns)).astype(np.uint8)


def offline() -> Arguments:
    (left, left_scale), (right, right_scale) = quantized("left", 128), quantized("right", 512)
    return {
        "stationary_mx_data": left,
        "stationary_mx_scale": left_scale,
        "moving_mx_data": right,
        "moving_mx_scale": right_scale,
        "mx_dtype": "float8_e5m2_x4",
    }


def half_offline() -> Arguments:
    data, scale = quantized("left", 128)
    return {
        "stationary_mx_data": data,
        "stationary_mx_scale": scale,
        "moving_data_bf16": halves_and_ones("right", (128, 4 * 512)),
        "stationary_mx_dtype": "float8_e5m2_x4",
        "moving_mx_dtype": "float8_e4m3fn_x4",
    }


def dequantized(data: Array, scale: Array) -> Array:
    values = f32(data.view(ml_dtypes.float8_e5m2)).reshape(128, -1, 4)
    return np.asarray(values * np.exp2(np.repeat(scale, 8, axis=0).astype(np.float32) - 127)[..., None])


def offline_product(a: Arguments) -> tuple[Array, ...]:
    left = dequantized(a["stationary_mx_data"], a["stationary_mx_scale"])
    if "moving_data_bf16" in a:
        right = f32(a["moving_data_bf16"]).reshape(128, -1, 4)
    else:
        right = dequantized(a["moving_mx_data"], a["moving_mx_scale"])
    return (np.einsum("kmj,knj->mn", left, right),)


# ---- the table

CONTEST = "aws-neuron/nki-moe"
MEGAKERNEL, HISTORY = "KevGomes1403/nki-moe-megakernel", "bcf4f30"
SEVEN = "charleshong3/nki-moe-7013"
AUTOTUNE = "awslabs/nki-autotune"
SAMPLES = "aws-neuron/nki-samples"
MATMULS = "src/nki_samples/tutorials/matrix_multiplication/matrix_multiplication_nki_kernels.py"
MX_KERNELS = "src/nki_samples/tutorials/mxfp-matmul/mx_kernels.py"
SELECTED = {
    "v5a_coalesce_gateup_dma": "nki_moe_v5a",
    "v5b_widen_down_matmul": "nki_moe_v5b",
    "v5c_batch_routing_weights": "nki_moe_v5c",
    "v6a_widen_down_on_v5a": "nki_moe_v6a",
    "v6b_coalesce_down_dma": "nki_moe_v6b",
    "v6c_transpose_gateup": "nki_moe_v6c",
    "v7a_fused_coalesce_widen_down": "nki_moe_v7a",
    "v7b_preload_gateup_rows": "nki_moe_v7b",
    "v7c_coalesce_hidden_dma": "nki_moe_v7c",
}
PADDED_FUSED = ("4a", "5a", "6b", "8a", "9a", "10b", "11c", "12e", "14c")
FLAT_FUSED = ("15", "16b", "18b", "19b", "20a", "22b", "23a", "24b", "25e", "26g", "27d", "28e", "28f", "28i")
FUSED: Mapping[str, Callable[[], Arguments]] = {
    **dict.fromkeys(PADDED_FUSED, lambda: fused(PADDED, PADDED)),
    **dict.fromkeys(FLAT_FUSED, flat_fused),
    "13": fused,
    "29k": flat_fused,
    "29m": lambda: flat_fused(INNER, PADDED),
}
FUSED_IN_SBUF = ("30_sbuf_io", "30b_gu_shard", "30c_hoisted", "31b", "32a", "32b")


def _megakernel(file: str, function: str, arguments: Any, reference: Any, **more: Any) -> PublicKernel:
    return PublicKernel(MEGAKERNEL, HISTORY, f"kernels/{file}.py", function, arguments, reference, **more)


def _seven(function: str, arguments: Any, reference: Any) -> PublicKernel:
    place = (SEVEN, "751a7bf", "qwen_with_nki.py", function)
    return PublicKernel(*place, arguments, reference, target="trn3", needs_nkilib=True)


def _ladder(commit: str, file: str, function: str, left: str, right: str) -> PublicKernel:
    place = (AUTOTUNE, commit, f"kernel_library/matmul/{file}.py", function)
    return PublicKernel(*place, factors(left, right), product)


KERNELS: tuple[PublicKernel, ...] = (
    PublicKernel(
        CONTEST,
        "f742418",
        "nki_tensor_add_example.py",
        "nki_tensor_add_kernel",
        two_tiles,
        lambda a: (f32(a["a_input"]) + f32(a["b_input"]),),
    ),
    PublicKernel(
        CONTEST,
        "f742418",
        "nki_custom_rmsnorm.py",
        "nki_rmsnorm_kernel",
        rows_to_norm,
        lambda a: (normed(a["input_tensor"], f32(a["weight"])),),
    ),
    *(
        _megakernel(f"moe_tkg/agents/{file}", function, selected, selected_sum)
        for file, function in SELECTED.items()
    ),
    *(
        _megakernel(
            f"moe_fused_tkg/versions/kernel_v{version}",
            "qwen3_moe_fused_tkg",
            arguments,
            block_sum,
            lnc=2,
            needs_nkilib=True,
        )
        for version, arguments in FUSED.items()
    ),
    *(
        _megakernel(
            f"moe_fused_tkg/versions/kernel_v{version}",
            "qwen3_moe_fused_tkg_sbuf_io",
            flat_fused,
            block_sum,
            lnc=2,
            needs_nkilib=True,
        )
        for version in FUSED_IN_SBUF
    ),
    PublicKernel(
        MEGAKERNEL,
        "621932e",
        "megakernels/qwen3_moe/moe_fused_nki.py",
        "qwen3_moe_fused_tkg_sbuf_io",
        flat_fused,
        block_sum,
        lnc=2,
        target="trn3",
        needs_nkilib=True,
    ),
    _megakernel("attn_tkg/agents/v10a", "qwen3_attn_tkg_fused_oproj", decode_attention, decode_answer, lnc=2),
    *(
        _megakernel(
            f"attn_tkg/agents/{file}",
            f"qwen3_attn_tkg_fused_oproj_{name}",
            decode_attention,
            decode_answer,
            lnc=lnc,
        )
        for file, name, lnc in (
            ("v10e", "v10e", 1),
            ("v11a", "v11a", 2),
            ("v12a", "v12a", 1),
            ("v12d", "v12d", 1),
            ("v13_planA", "v13a", 2),
            ("v13_planB", "v13b", 2),
            ("v13_planC", "v13c", 2),
        )
    ),
    *(
        _megakernel(
            f"attn_cte/agents/v{version}_qwen3_attn_cte_fused",
            "qwen3_attn_cte_fused",
            prefill_attention if version != "5b" else lambda: prefill_attention(columns=True),
            prefill_answer,
        )
        for version in ("4a", "4d", "5a", "5b")
    ),
    PublicKernel(
        "thustorage/NKI-MoE",
        "217759f",
        "kernels/moe/moe_selective.py",
        "moe_selective_v3",
        winner,
        lambda _: block_sum(fused()),
        target="trn3",
        lnc=2,
    ),
    _seven("_nki_rmsnorm_kernel", rows_to_norm, lambda a: (normed(a["input_tensor"], f32(a["weight"])),)),
    _seven("_nki_embedding_kernel", embedding, lambda a: (f32(a["weight"])[a["indices"][:, 0]],)),
    _seven("_nki_lm_head_kernel", head, lambda a: (f32(a["x"]) @ f32(a["weight"]).T,)),
    _seven("_nki_batched_moe_kernel", gathered, gathered_sum),
    _seven("_nki_fused_rmsnorm_moe_kernel", gathered_block, lambda a: gathered_block_sum(a, False)),
    _seven("_nki_fused_moe_block_kernel", gathered_block, lambda a: gathered_block_sum(a, True)),
    _ladder("1d9c2b9", "lhsT_rhs/kernel_31_58.60mfu", "matmul_lhsT_rhs_nkigym", "lhs_T", "rhs"),
    _ladder("1d9c2b9", "lhsT_rhsT/kernel_53_60.57mfu", "matmul_lhsT_rhsT_nkigym", "lhs_T", "rhs_T"),
    _ladder("1d9c2b9", "lhs_rhs/kernel_30_60.21mfu", "matmul_lhs_rhs_nkigym", "lhs", "rhs"),
    _ladder("b672385", "lhsT_rhs/kernel_manual_79.05mfu", "matmul_ref_2k", "lhsT", "rhs"),
    _ladder("160f940", "lhsT_rhs/kernel_from_manual_ir_80.45mfu", "matmul_lhsT_rhs_nkigym", "lhs_T", "rhs"),
    _ladder("d57bcc3", "lhsT_rhs/kernel_hand_90.92mfu", "matmul_lhsT_rhs_nkigym", "lhs_T", "rhs"),
    _ladder("d57bcc3", "lhs_rhs/kernel_handtuned_89.26mfu", "matmul_lhs_rhs_nkigym", "lhs", "rhs"),
    PublicKernel(
        SAMPLES, "6905a68", MATMULS, "nki_matmul_basic_", factors("lhsT", "rhs", 64, 128, 512), product
    ),
    *(
        PublicKernel(SAMPLES, "6905a68", MATMULS, name, factors("lhsT", "rhs", 4096, 1024, 2048), product)
        for name in (
            "nki_matmul_tiled_",
            "nki_matmul_hoist_load_",
            "nki_matmul_block_free_dimension_",
            "nki_matmul_fully_optimized_",
        )
    ),
    *(
        PublicKernel(
            SAMPLES,
            "6905a68",
            MX_KERNELS,
            "kernel_copy_strided_quantize_matmul_mx",
            partial(to_quantize, use_tensor_copy),
            lambda a: (f32(a["stationary_hbm"]).T @ f32(a["moving_hbm"]),),
            target="trn3",
            case=f"copies by {'engines' if use_tensor_copy else 'DMA'}",
        )
        for use_tensor_copy in (True, False)
    ),
    PublicKernel(
        SAMPLES, "6905a68", MX_KERNELS, "kernel_offline_quantized_mx_matmul", offline, offline_product, "trn3"
    ),
    PublicKernel(
        SAMPLES,
        "6905a68",
        MX_KERNELS,
        "kernel_on_device_quantize_matmul_mx",
        half_offline,
        offline_product,
        "trn3",
    ),
)
