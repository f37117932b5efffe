"""Which models, settings and checkpoints of NxD Inference the kernels run; each refusal is one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kernels.errors import UnsupportedShape
from kernels.plugged import MAX_TOKENS

Shape = tuple[int, ...]
CACHE_STEP = 128
"""Rows of a cache that decode loads at a time."""


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
    vocabulary: int
    layers: int
    ranks: int
    batch: int


def dimensions(config: Any) -> KernelDimensions:
    """What of a configuration decides whether the kernels run it."""
    return KernelDimensions(
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        key_value_heads=config.num_key_value_heads,
        head=config.head_dim,
        experts=config.num_experts,
        top_k=config.num_experts_per_tok,
        inner=config.moe_intermediate_size,
        vocabulary=config.vocab_size,
        layers=config.num_hidden_layers,
        ranks=config.neuron_config.tp_degree,
        batch=config.neuron_config.batch_size,
    )


def required(config: Any, names: Iterable[str]) -> None:
    """Raise `UnsupportedShape` naming what a configuration lacks of a Qwen3-MoE's."""
    kind = getattr(config, "model_type", None) or "model of no named type"
    missing = [name for name in names if not hasattr(config, name)]
    if missing or getattr(config, "model_type", "qwen3_moe") not in ("qwen3_moe", ""):
        lacking = f" without {', '.join(missing)}" if missing else ""
        raise UnsupportedShape(
            f"this is the configuration of a {kind}{lacking}; the kernels run Qwen3-MoE",
            "use the config.json of Qwen3-30B-A3B or of another Qwen3-MoE",
        )


def check_dimensions(model: KernelDimensions) -> None:
    """Raise `UnsupportedShape` naming the first dimension the kernels cannot run."""
    if model.batch != 1:
        raise UnsupportedShape(
            f"inside NxD Inference the kernels do not run batch {model.batch}; they run one sequence",
            "use one prompt at a time there; batches of 4, 8 and 16 are profiled on the simulator",
        )
    rules = (
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
            model.heads % (2 * model.ranks) == 0,
            f"{model.heads} query heads on {model.ranks} ranks",
            "an equal and even share of them",
        ),
        (
            model.inner % model.ranks == 0 and 2 * model.inner // model.ranks <= 512,
            f"experts of width {model.inner} on {model.ranks} ranks",
            "an equal share of at most 256",
        ),
        (
            model.vocabulary % (2 * model.ranks) == 0,
            f"a vocabulary of {model.vocabulary} on {model.ranks} ranks",
            "an equal and even share of it",
        ),
    )
    for holds, found, supported in rules:
        if not holds:
            raise UnsupportedShape(
                f"the kernels do not run {found}; they run {supported}",
                "use a Qwen3-MoE configuration and a tensor-parallel degree that fit",
            )


MODEL_SETTINGS: tuple[tuple[str, Any, Any], ...] = (
    ("hidden_act", "silu", "silu"),
    ("norm_topk_prob", True, True),
    ("attention_bias", False, False),
    ("use_sliding_window", False, False),
    ("mlp_only_layers", [], []),
    ("decoder_sparse_step", 1, 1),
)
"""Settings of a Qwen3-MoE: name, what the kernels compute, and what it is where it is not given."""


def check_model(config: Any) -> None:
    """Raise `UnsupportedShape` naming what of a model the kernels cannot run, or would compute otherwise."""
    check_dimensions(dimensions(config))
    for name, supported, default in MODEL_SETTINGS:
        found = getattr(config, name, default)
        _supported(name, default if found is None else found, supported, "use a Qwen3-MoE that has that")
    scaling = getattr(config, "rope_scaling", None) or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    _supported("rope_scaling", kind, "default", "use a Qwen3-MoE without rope_scaling")


SETTINGS: Mapping[str, Any] = {
    "padding_side": "right",
    "sequence_parallel_enabled": False,
    "flash_decoding_enabled": False,
    "k_cache_transposed": False,
    "is_block_kv_layout": False,
    "is_prefix_caching": False,
    "is_chunked_prefill": False,
    "is_continuous_batching": False,
    "is_medusa": False,
    "enable_fused_speculation": False,
    "speculation_length": 0,
    "windowed_context_encoding_size": None,
    "kv_quant_config": None,
    "kv_cache_quant": False,
    "kv_cache_tiling": False,
    "kv_cache_padding_size": 0,
    "apply_seq_ids_mask": False,
    "quantized": False,
    "lora_config": None,
    "attn_block_tkg_nki_kernel_enabled": False,
    "moe_fused_nki_kernel_enabled": False,
    "qkv_kernel_enabled": False,
    "cp_degree": 1,
    "attention_dp_degree": 1,
    "moe_ep_degree": 1,
    "pp_degree": 1,
    "logical_nc_config": 2,
    "ctx_batch_size": 1,
    "tkg_batch_size": 1,
    "max_batch_size": 1,
    "kv_cache_batch_size": 1,
}
"""Settings of NxD Inference, each with the only value the kernels run under."""


def check_settings(neuron_config: Any) -> None:
    """Raise `UnsupportedShape` naming the first setting the kernels do not run under."""
    for name, supported in SETTINGS.items():
        found = getattr(neuron_config, name, supported)
        if found is not None or supported:
            _supported(name, found, supported, f"leave {name} out of the NxD Inference configuration")
    if (dtype := str(getattr(neuron_config, "torch_dtype", "bfloat16")).rpartition(".")[2]) != "bfloat16":
        _supported("torch_dtype", dtype, "bfloat16", "use --torch-dtype bfloat16")
    _check_lengths(neuron_config)


def _supported(name: str, found: Any, supported: Any, hint: str) -> None:
    if found != supported:
        raise UnsupportedShape(
            f"the kernels do not run with {name}={found!r}; they run with {supported!r}", hint
        )


LEAST = {
    "max_length": 2,
    "max_context_length": 2,
    "context_encoding_buckets": 2,
    "token_generation_buckets": 1,
}
"""The smallest of each length; a graph of one token is decode's."""


def _check_lengths(neuron_config: Any) -> None:
    """Raise `UnsupportedShape` naming a cache or bucket the kernels do not run."""
    for name, least in LEAST.items():
        given = getattr(neuron_config, name, None) or []
        for length in given if isinstance(given, list) else [given]:
            if not least <= length <= MAX_TOKENS:
                raise UnsupportedShape(
                    f"the kernels do not run {name}={given}; they run {least} to {MAX_TOKENS}",
                    f"use a --seq-len of at most {MAX_TOKENS} and buckets within it",
                )
    cache = getattr(neuron_config, "max_length", None) or CACHE_STEP
    if cache != cache_rows(cache):
        raise UnsupportedShape(
            f"the kernels do not run caches of {cache} rows; they run up to {CACHE_STEP}, or multiples of it",
            f"use --seq-len {cache_rows(cache)}",
        )


def cache_rows(positions: int) -> int:
    """The rows of a cache that decode reads for so many positions: whole steps of 128 beyond the first."""
    return positions if positions <= CACHE_STEP else -(-positions // CACHE_STEP) * CACHE_STEP


def expected_weights(model: KernelDimensions, tied: bool) -> dict[str, Shape]:
    """Names and shapes of a Qwen3-MoE checkpoint, as Hugging Face has them without the prefix "model."."""
    queries, shared = model.heads * model.head, model.key_value_heads * model.head
    layer: dict[str, Shape] = {
        "self_attn.q_proj": (queries, model.hidden),
        "self_attn.k_proj": (shared, model.hidden),
        "self_attn.v_proj": (shared, model.hidden),
        "self_attn.o_proj": (model.hidden, queries),
        "self_attn.q_norm": (model.head,),
        "self_attn.k_norm": (model.head,),
        "input_layernorm": (model.hidden,),
        "post_attention_layernorm": (model.hidden,),
        "mlp.gate": (model.experts, model.hidden),
    }
    for expert in range(model.experts):
        at = f"mlp.experts.{expert}"
        layer |= {f"{at}.{side}_proj": (model.inner, model.hidden) for side in ("gate", "up")}
        layer[f"{at}.down_proj"] = (model.hidden, model.inner)
    whole: dict[str, Shape] = {"embed_tokens": (model.vocabulary, model.hidden), "norm": (model.hidden,)}
    if not tied:
        whole["lm_head"] = (model.vocabulary, model.hidden)
    for index in range(model.layers):
        whole |= {f"layers.{index}.{name}": shape for name, shape in layer.items()}
    return {f"{name}.weight": shape for name, shape in whole.items()}


def check_weights(state_dict: Mapping[str, Any], model: KernelDimensions, tied: bool) -> None:
    """Raise `UnsupportedShape` naming the first weight that is missing, misshapen, or of no type to round."""
    for name, shape in expected_weights(model, tied).items():
        weight = state_dict.get(name)
        if weight is None:
            raise UnsupportedShape(
                f"the checkpoint has no {name}, which a Qwen3-MoE of {model.layers} layers has",
                "use the checkpoint that belongs to this configuration, with every file of it",
            )
        if tuple(weight.shape) != shape:
            raise UnsupportedShape(
                f"{name} is {tuple(weight.shape)}, not {shape}",
                "use the checkpoint that belongs to this configuration",
            )
        kind = str(weight.dtype).rpartition(".")[2]
        if kind not in ("bfloat16", "float16", "float32"):
            raise UnsupportedShape(
                f"{name} is {kind} without scales, which the kernels cannot read",
                "use the bf16 checkpoint, or an fp8 one with its weight_scale_inv",
            )
