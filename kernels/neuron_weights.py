"""Which models the kernels run, and the checkpoint weights they need beside NxD Inference's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kernels.errors import UnsupportedShape
from kernels.layouts import FP8_MAX, o_proj_by_core, qkv_by_core


@dataclass(frozen=True, slots=True)
class KernelDimensions:
    """Dimensions of a whole model, the ranks it is divided over, and its batch."""

    hidden: int
    heads: int
    key_value_heads: int
    head: int
    experts: int
    top_k: int
    inner: int
    ranks: int
    batch: int


def check_dimensions(model: KernelDimensions) -> None:
    """Raise `UnsupportedShape` naming the first dimension the kernels cannot run."""
    rules = (
        (model.batch == 1, f"batch {model.batch}", "batch 1"),
        (model.head == 128, f"heads of {model.head}", "heads of 128"),
        (model.top_k == 8, f"top-{model.top_k} routing", "top-8"),
        (
            model.hidden % 256 == 0 and model.hidden <= 2048,
            f"a hidden size of {model.hidden}",
            "a multiple of 256 up to 2048",
        ),
        (8 <= model.experts <= 512, f"{model.experts} experts", "8 to 512"),
        (
            model.key_value_heads == model.ranks,
            f"{model.key_value_heads} key/value heads on {model.ranks} ranks",
            "one a rank (tensor-parallel degree 4 for Qwen3-30B-A3B)",
        ),
        (
            model.heads % model.ranks == 0,
            f"{model.heads} query heads on {model.ranks} ranks",
            "an equal share",
        ),
        (
            model.inner % model.ranks == 0 and 2 * model.inner // model.ranks <= 512,
            f"experts of width {model.inner} on {model.ranks} ranks",
            "an equal share of at most 256",
        ),
    )
    for holds, found, supported in rules:
        if not holds:
            raise UnsupportedShape(
                f"the kernels do not run {found}; they run {supported}",
                "use a Qwen3-MoE configuration and a tensor-parallel degree that fit",
            )


FEATURES = (
    ("sequence_parallel_enabled", False),
    ("flash_decoding_enabled", False),
    ("k_cache_transposed", False),
    ("is_block_kv_layout", False),
    ("is_continuous_batching", False),
    ("kv_quant_config", None),
    ("attn_block_tkg_nki_kernel_enabled", False),
    ("moe_fused_nki_kernel_enabled", False),
    ("qkv_kernel_enabled", False),
    ("speculation_length", 0),
    ("cp_degree", 1),
    ("attention_dp_degree", 1),
)
"""Settings of NxD Inference, each with the only value the kernels run under."""


def check_features(neuron_config: Any) -> None:
    """Raise `UnsupportedShape` naming the first setting the kernels do not run under."""
    for name, supported in FEATURES:
        found = getattr(neuron_config, name, supported)
        if found != supported and not (found is None and not supported):
            raise UnsupportedShape(
                f"the kernels do not run with {name}={found!r}; they run with {supported!r}",
                f"leave {name} out of the NxD Inference configuration",
            )


def add_router_weights(state_dict: dict[str, Any], layers: int, hidden: int, experts: int) -> None:
    """Put each router weight, transposed to [hidden, experts] in bf16, beside the checkpoint's own."""
    for index in range(layers):
        weight = _weight(state_dict, f"layers.{index}.mlp.gate.weight", (experts, hidden))
        state_dict[f"layers.{index}.mlp.router_weight"] = weight.t().contiguous().bfloat16()


def add_block_weights(
    state_dict: dict[str, Any], layers: int, model: KernelDimensions, join: Callable[..., Any]
) -> None:
    """Put the attention weights as `attention_block` reads them beside the checkpoint's own.

    `layers.N.self_attn.qkv_by_core.weight` [2 ranks, hidden, columns] and `output_by_core.weight` [2 ranks,
    128, heads, tiles, 128] in bf16, cut over ranks along the first dimension (NxD Inference copies what is
    called `o_proj...`). `join` is `torch.concatenate`. Prefill keeps using the checkpoint's weights, so they
    are held twice: 10.5 MB a layer and rank more for Qwen3-30B-A3B.
    """
    for index in range(layers):
        at = f"layers.{index}.self_attn"
        queries, shared = model.heads * model.head, model.key_value_heads * model.head
        q = _weight(state_dict, f"{at}.q_proj.weight", (queries, model.hidden)).bfloat16()
        k = _weight(state_dict, f"{at}.k_proj.weight", (shared, model.hidden)).bfloat16()
        v = _weight(state_dict, f"{at}.v_proj.weight", (shared, model.hidden)).bfloat16()
        o = _weight(state_dict, f"{at}.o_proj.weight", (model.hidden, queries)).bfloat16()
        laid, out = [], []
        for rank in range(model.ranks):
            mine = [_rows(each, rank, model.ranks).t() for each in (q, k, v)]
            laid.append(qkv_by_core(join(mine, axis=1), join))
            out.append(o_proj_by_core(_rows(o.t(), rank, model.ranks)))
        state_dict[f"{at}.qkv_by_core.weight"] = join(laid, axis=0).contiguous()
        state_dict[f"{at}.output_by_core.weight"] = join(out, axis=0).contiguous()


def add_fp8_experts(
    state_dict: dict[str, Any],
    layers: int,
    model: KernelDimensions,
    join: Callable[..., Any],
    to_bytes: Callable[[Any], Any],
) -> None:
    """Put the experts as `moe_block_fp8` reads them beside the checkpoint's own.

    `layers.N.mlp.gate_up_fp8.weight` [ranks E, H, 2 I / ranks] and `down_fp8.weight` [ranks E, I / ranks, H]
    as bytes, `expert_scales.scale` [ranks E, 3] in fp32: a scale for each expert's gate, up and down
    on each rank, as `layouts.quantised_experts` has it. `join` is `torch.concatenate`, `to_bytes` rounds to
    float8_e4m3 and gives its bytes. Prefill keeps using the checkpoint's weights, so experts take half as
    much memory again.
    """
    for index in range(layers):
        at = f"layers.{index}.mlp"
        gate, up, down = (_experts(state_dict, at, name, model, join) for name in ("gate", "up", "down"))
        shares = [_fp8_share(gate, up, down, rank, model, join, to_bytes) for rank in range(model.ranks)]
        names = ("gate_up_fp8.weight", "down_fp8.weight", "expert_scales.scale")
        for name, parts in zip(names, zip(*shares, strict=True), strict=True):
            state_dict[f"{at}.{name}"] = join(parts).contiguous()


def _experts(
    state_dict: dict[str, Any], at: str, name: str, model: KernelDimensions, join: Callable[..., Any]
) -> Any:
    """One projection of every expert, [E, rows, columns] as the checkpoint has them."""
    shape = (model.hidden, model.inner) if name == "down" else (model.inner, model.hidden)
    names = [f"{at}.experts.{expert}.{name}_proj.weight" for expert in range(model.experts)]
    return join([_weight(state_dict, each, shape)[None] for each in names])


def _fp8_share(
    gate: Any, up: Any, down: Any, rank: int, model: KernelDimensions, join: Callable[..., Any], to_bytes: Any
) -> tuple[Any, Any, Any]:
    """A rank's gate and up [E, H, 2 I / ranks] and down [E, I / ranks, H] as bytes, and scales [E, 3]."""
    size = model.inner // model.ranks
    mine = slice(rank * size, (rank + 1) * size)
    parts = [each.float() for each in (gate[:, mine], up[:, mine], down[:, :, mine])]
    largest = [part.abs().amax((1, 2)) for part in parts]
    scales = [(peak + (peak == 0)) / FP8_MAX for peak in largest]
    held = [to_bytes(part / scale[:, None, None]) for part, scale in zip(parts, scales, strict=True)]
    sides = join([side.swapaxes(1, 2) for side in held[:2]], axis=2)
    return sides, held[2].swapaxes(1, 2), join([scale[:, None] for scale in scales], axis=1)


def _rows(weight: Any, rank: int, ranks: int) -> Any:
    size = weight.shape[0] // ranks
    return weight[rank * size : (rank + 1) * size]


def _weight(state_dict: dict[str, Any], name: str, shape: tuple[int, int]) -> Any:
    weight = state_dict.get(name)
    if weight is None:
        raise UnsupportedShape(f"the checkpoint has no {name}", "use a Qwen3-MoE checkpoint")
    if tuple(weight.shape) != shape:
        raise UnsupportedShape(
            f"{name} is {tuple(weight.shape)}, not {shape}",
            "use the checkpoint that belongs to this configuration",
        )
    return weight
