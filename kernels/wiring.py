"""How kernels hang together: the value each parameter of a kernel takes, and the names of its results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kernels.registry import Variant

WIRING: Mapping[tuple[str, str], tuple[str, str]] = {
    ("input_norm", "rmsnorm"): ("x=hidden weight=input_norm eps", "normed"),
    ("input_norm", "rmsnorm_spread"): ("x=hidden weight=input_norm eps", "normed"),
    ("qkv", "qkv"): ("x=normed weight=qkv", "q k v"),
    ("qkv", "qkv_columns"): ("x=normed weight=qkv", "q k v"),
    ("qkv", "norm_qkv"): (
        "x=hidden norm_weight=input_norm weight=qkv q_weight k_weight cos sin eps",
        "q k v",
    ),
    ("qk_norm_rope", "qk_norm_rope"): ("q k q_weight k_weight cos sin eps", "q k"),
    ("kv_update", "kv_update"): ("k v k_cache v_cache position", "k_cache v_cache"),
    ("kv_update", "kv_update_batch"): ("k v k_cache v_cache position", "k_cache v_cache"),
    ("attention_prefill", "attention_prefill"): ("q k v", "attention"),
    ("attention_prefill", "attention_prefill_diagonal"): ("q k v", "attention"),
    ("attention_prefill", "attention_prefill_online"): ("q k v", "attention"),
    ("attention_decode", "attention_decode"): ("q k_cache v_cache position bucket", "attention"),
    ("attention_decode", "attention_decode_batch"): ("q k_cache v_cache position bucket", "attention"),
    ("attention_decode", "attention_decode_cached"): (
        "q k v k_cache v_cache position bucket",
        "attention k_cache v_cache",
    ),
    ("attention_decode", "attention_block"): (
        "x=hidden norm_weight=input_norm qkv=qkv_by_core q_weight k_weight cos sin k_cache v_cache position "
        "o_proj=o_proj_by_core eps bucket",
        "added k_cache v_cache",
    ),
    ("attention_decode", "attention_block_batch"): (
        "x=hidden norm_weight=input_norm qkv=qkv_by_core q_weight k_weight cos sin k_cache v_cache position "
        "o_proj=o_proj_by_core eps bucket",
        "added k_cache v_cache",
    ),
    ("o_proj", "o_proj"): ("x=attention weight=o_proj", "added"),
    ("o_proj", "o_proj_interleaved"): ("x=attention weight=o_proj", "added"),
    ("o_proj", "o_proj_rows"): ("x=attention weight=o_proj", "added"),
    ("post_norm", "rmsnorm"): ("x=hidden weight=post_norm eps", "normed"),
    ("post_norm", "rmsnorm_spread"): ("x=hidden weight=post_norm eps", "normed"),
    ("router", "router"): ("x=normed weight=router_fp32", "ids affinities"),
    ("router", "router_best"): ("x=normed weight=router", "ids affinities"),
    ("router", "norm_router"): (
        "x=hidden norm_weight=post_norm weight=router eps",
        "normed ids affinities",
    ),
    ("group_tokens", "group_tokens"): (
        "ids num_experts block_size",
        "row_token slot block_expert num_blocks",
    ),
    ("experts_prefill", "experts_prefill"): (
        "x=normed gate_up down row_token block_expert block_size",
        "y",
    ),
    ("experts_prefill", "experts_prefill_grouped"): (
        "x=normed gate_up down row_token block_expert block_size",
        "y",
    ),
    ("experts_prefill", "experts_prompt"): ("x=normed gate_up down ids affinities", "added"),
    ("experts_prefill", "experts_batch"): ("x=normed gate_up down ids affinities", "added"),
    ("experts_decode", "experts_batch"): ("x=normed gate_up down ids affinities", "added"),
    ("experts_decode", "experts_prefill"): (
        "x=normed gate_up down row_token block_expert block_size",
        "y",
    ),
    ("experts_decode", "experts_decode"): ("x=normed gate_up down ids", "y"),
    ("experts_decode", "experts_decode_prefetched"): ("x=normed gate_up down ids affinities", "added"),
    ("experts_decode", "moe_decode"): (
        "x=hidden norm_weight=post_norm router_weight=router gate_up down eps",
        "added",
    ),
    ("experts_decode", "moe_block"): (
        "x=hidden norm_weight=post_norm router_weight=router gate_up down eps",
        "added",
    ),
    ("experts_decode", "moe_block_batch"): (
        "x=hidden norm_weight=post_norm router_weight=router gate_up down eps",
        "added",
    ),
    ("attention_decode", "decode_layer"): (
        "x=hidden pending norm_weight=input_norm qkv=qkv_by_core q_weight k_weight cos sin k_cache v_cache "
        "position o_proj=o_proj_by_core post_norm_weight=post_norm router_weight=router gate_up down eps "
        "bucket ranks",
        "hidden pending k_cache v_cache",
    ),
    ("experts_decode", "moe_block_fp8"): (
        "x=hidden norm_weight=post_norm router_weight=router gate_up=gate_up_fp8 down=down_fp8 "
        "scales=expert_scales eps",
        "added",
    ),
    ("aggregate", "aggregate"): ("y slot affinities", "added"),
    ("final_norm", "rmsnorm"): ("x=hidden weight=final_norm eps", "normed"),
    ("final_norm", "rmsnorm_spread"): ("x=hidden weight=final_norm eps", "normed"),
    ("lm_head", "lm_head"): ("x=normed weight=lm_head position=last", "logits"),
    ("lm_head", "lm_head_batch"): ("x=normed weight=lm_head", "logits"),
    ("lm_head", "lm_head_tiles"): (
        "x=hidden norm_weight=final_norm weight=lm_head position=last eps",
        "logits",
    ),
    ("lm_head", "lm_head_wide"): ("x=normed weight=lm_head position=last", "logits"),
}
"""(slot, kernel function) to its parameters, each with the name of its value where that differs, and the
names its results get. "added" goes into the residual stream."""


def named_arguments(kernel: Variant, values: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `kernel` by parameter name, out of values by name; its settings among them."""
    return {name: values[source] for name, source in _sources(kernel)} | dict(kernel.settings)


def reads(kernels: Iterable[Variant], value: str) -> bool:
    """Whether one of the kernels takes a value of this name."""
    return any(value == source for kernel in kernels for _, source in _sources(kernel))


def _sources(kernel: Variant) -> list[tuple[str, str]]:
    parameters, _ = WIRING[kernel.slot, kernel.function]
    return [(part.partition("=")[0], part.partition("=")[2] or part) for part in parameters.split()]


def named_results(kernel: Variant, results: Sequence[Any]) -> dict[str, Any]:
    """Results of `kernel` by name."""
    _, names = WIRING[kernel.slot, kernel.function]
    return dict(zip(names.split(), results, strict=True))
