"""A small Qwen3-MoE through the chosen kernels, against transformers' `Qwen3MoeForCausalLM`.

The same structure at a fraction of the size: two layers, random weights that bf16 represents exactly. The
host does here what no kernel does, embedding and residual adds, in bf16; the reference runs in fp32. Logits
are compared as the challenge does it (aws-neuron/nki-moe main.py, NxD Inference `logit_validation`): for each
step the worst error over the k likeliest tokens as a share of the largest logit, a constant shift removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from kernels.checks import Verdict
from kernels.layouts import o_proj_by_core, qkv_by_core, quantised_experts
from kernels.registry import Variant, resolve
from kernels.shapes import BF16, HEAD, TOP_K, Shapes, angles
from kernels.wiring import named_arguments, named_results

Array = np.ndarray[Any, Any]
RunKernel = Callable[[Variant, dict[str, Any]], tuple[Array, ...]]
"""Executes a kernel on arguments by name and returns its results."""

SHAPES = Shapes(
    hidden=256, heads=4, experts=16, inner=64, vocabulary=512, cache=128, block=64, rope_theta=1e4
)
LAYERS = 2
PROMPT_TOKENS, PREFILL_BUCKET = 20, 32
TOLERANCES: Mapping[int | None, float] = {None: 0.05, 1000: 0.03, 50: 0.03, 5: 0.03}
"""The challenge's relative tolerance for the k likeliest tokens (None: all)."""
ATOL = 1e-5
DIVERGENCE = 0.001
"""How far apart two tokens' logits may be when the greedy choice differs."""


@dataclass(frozen=True, slots=True)
class Model:
    """Weights of the whole model in the kernels' layouts."""

    embedding: Array
    layers: tuple[dict[str, Array], ...]
    final_norm: Array
    lm_head: Array


def _bf16(array: Array) -> Array:
    return np.ascontiguousarray(array).astype(BF16)


@lru_cache(maxsize=1)
def reference_model(seed: int = 0) -> Any:
    """A `Qwen3MoeForCausalLM` in fp32 whose weights bf16 represents exactly."""
    import torch
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    settings: dict[str, Any] = {
        "vocab_size": SHAPES.vocabulary,
        "hidden_size": SHAPES.hidden,
        "intermediate_size": SHAPES.inner,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": SHAPES.heads,
        "num_key_value_heads": 1,
        "head_dim": HEAD,
        "num_experts": SHAPES.experts,
        "num_experts_per_tok": TOP_K,
        "moe_intermediate_size": SHAPES.inner,
        "norm_topk_prob": True,
        "rms_norm_eps": SHAPES.eps,
        "rope_theta": SHAPES.rope_theta,
        "max_position_embeddings": SHAPES.cache,
        "tie_word_embeddings": False,
    }
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**settings))
    model.train(False)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            value = 1 + 0.1 * noise if "norm" in name else noise * _scale(name, parameter.shape[-1])
            parameter.copy_(value.bfloat16().float())
    return model


def _scale(name: str, fan_in: int) -> float:
    return 1.0 if "embed" in name else float(fan_in) ** -0.5


def _experts(weights: Mapping[str, Array], prefix: str) -> tuple[Array, Array]:
    """gate_up [E, H, 2 I] and down [E, I, H] from stacked (transformers 5) or listed (4) expert weights."""
    if f"{prefix}.gate_up_proj" in weights:
        gate_up, down = weights[f"{prefix}.gate_up_proj"], weights[f"{prefix}.down_proj"]
        return gate_up.transpose(0, 2, 1), down.transpose(0, 2, 1)
    each = [f"{prefix}.{index}" for index in range(SHAPES.experts)]
    gate_up = np.stack(
        [np.concatenate([weights[f"{e}.{side}_proj.weight"] for side in ("gate", "up")]).T for e in each]
    )
    return gate_up, np.stack([weights[f"{e}.down_proj.weight"].T for e in each])


def convert(model: Any) -> Model:
    """Weights of a `Qwen3MoeForCausalLM` in the kernels' layouts, bf16."""
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    layers = []
    for index in range(LAYERS):
        at = f"model.layers.{index}"
        qkv = np.concatenate([weights[f"{at}.self_attn.{p}_proj.weight"] for p in "qkv"]).T
        gate_up, down = _experts(weights, f"{at}.mlp.experts")
        o_proj = _bf16(weights[f"{at}.self_attn.o_proj.weight"].T)
        gate_up_fp8, down_fp8, scales = quantised_experts(_bf16(gate_up), _bf16(down))
        router = _bf16(weights[f"{at}.mlp.gate.weight"].T)
        layers.append(
            {
                "input_norm": _bf16(weights[f"{at}.input_layernorm.weight"][None]),
                "qkv": _bf16(qkv),
                "q_weight": _bf16(weights[f"{at}.self_attn.q_norm.weight"][None]),
                "k_weight": _bf16(weights[f"{at}.self_attn.k_norm.weight"][None]),
                "qkv_by_core": qkv_by_core(_bf16(qkv)),
                "o_proj": o_proj,
                "o_proj_by_core": np.ascontiguousarray(o_proj_by_core(o_proj)),
                "post_norm": _bf16(weights[f"{at}.post_attention_layernorm.weight"][None]),
                "router": router,
                "router_fp32": router.astype(np.float32),
                "gate_up": _bf16(gate_up),
                "down": _bf16(down),
                "gate_up_fp8": gate_up_fp8,
                "down_fp8": down_fp8,
                "expert_scales": scales,
            }
        )
    return Model(
        embedding=_bf16(weights["model.embed_tokens.weight"]),
        layers=tuple(layers),
        final_norm=_bf16(weights["model.norm.weight"][None]),
        lm_head=_bf16(weights["lm_head.weight"].T),
    )


def _row(value: int) -> Array:
    return np.array([[value]], np.uint32)


def _values(model: Model, tokens: int, position: int, bucket: int, last: int, ids: Array) -> dict[str, Any]:
    """Everything a kernel may ask for that no kernel of this step produces, but for the layer's weights."""
    cos, sin = angles(SHAPES, position, tokens)
    return {
        "hidden": model.embedding[ids],
        "final_norm": model.final_norm,
        "lm_head": model.lm_head,
        "cos": cos,
        "sin": sin,
        "eps": SHAPES.eps,
        "position": _row(position),
        "last": _row(last),
        "bucket": bucket,
        "num_experts": SHAPES.experts,
        "block_size": SHAPES.block,
        "pending": np.zeros((tokens, SHAPES.hidden), BF16),
        "ranks": 1,
        "slot": np.arange(TOP_K, dtype=np.int32)[None],
    }


def _step(kernel: Variant, values: dict[str, Any], run_kernel: RunKernel) -> None:
    """Run one kernel; what it adds to the residual stream is added here, rounded to bf16."""
    values |= named_results(kernel, run_kernel(kernel, named_arguments(kernel, values)))
    if "added" in values:
        _add(values, values.pop("added"))


def _add(values: dict[str, Any], share: Array) -> None:
    total = values["hidden"].astype(np.float32) + share.astype(np.float32)
    values["hidden"] = total.astype(BF16)


def forward(
    model: Model,
    caches: list[tuple[Array, Array]],
    values: dict[str, Any],
    kernels: tuple[Variant, ...],
    run_kernel: RunKernel,
) -> Array:
    """Logits [V] of one step through `kernels`; each layer's pair of `caches` is replaced."""
    inside = [kernel for kernel in kernels if kernel.slot not in ("final_norm", "lm_head")]
    for index, layer in enumerate(model.layers):
        values |= layer | dict(zip(("k_cache", "v_cache"), caches[index], strict=True))
        for kernel in inside:
            _step(kernel, values, run_kernel)
        caches[index] = (values["k_cache"], values["v_cache"])
    _add(values, values["pending"])
    for kernel in kernels:
        if kernel not in inside:
            _step(kernel, values, run_kernel)
    logits: Array = values["logits"][0].astype(np.float32)
    return logits


def logit_errors(actual: Array, expected: Array) -> dict[int | None, float]:
    """The challenge's error per top-k slice, after removing the least-squares shift between the two."""
    slope = np.stack([expected, np.ones_like(expected)], axis=1)
    shift = np.linalg.lstsq(slope, actual, rcond=None)[0][1]
    moved = actual - shift
    errors: dict[int | None, float] = {}
    for top in TOLERANCES:
        picked = np.argsort(-expected)[: len(expected) if top is None else top]
        off = np.abs(moved[picked] - expected[picked]) - ATOL
        errors[top] = float(off.max() / np.abs(expected[picked]).max())
    return errors


def judge_step(actual: Array, expected: Array) -> tuple[bool, float, str]:
    """(passed, worst error as a share of its tolerance, what failed)."""
    if not np.isfinite(actual).all() or not actual.any():
        return False, float("inf"), "logits are not finite or all zero"
    errors = logit_errors(actual, expected)
    share, top = max((error / TOLERANCES[k], k or 0) for k, error in errors.items())
    chosen, greedy = int(actual.argmax()), int(expected.argmax())
    gap = float(abs(actual[chosen] - actual[greedy]))
    if chosen != greedy and gap >= DIVERGENCE:
        return False, share, f"greedy token {chosen} instead of {greedy}, {gap:.3g} apart"
    return share <= 1.0, share, f"top-{top or 'all'} error {share:.2f} of its tolerance"


def check_small_model(choice: Mapping[str, str], run_kernel: RunKernel, steps: int = 3) -> Verdict:
    """Prefill and `steps` decode steps of the small model through the chosen kernels.

    `error` is the worst error as a share of its tolerance (so the tolerance is 1). Each step is fed the
    reference's greedy token, as the challenge does after a divergence.
    """
    import torch

    reference = reference_model()
    model = convert(reference)
    prompt = np.random.default_rng(5).integers(0, SHAPES.vocabulary, PROMPT_TOKENS)
    caches = [_empty_caches() for _ in range(LAYERS)]
    padded = np.concatenate([prompt, np.zeros(PREFILL_BUCKET - PROMPT_TOKENS, prompt.dtype)])
    kernels = resolve(choice, "prefill", PREFILL_BUCKET)
    values = _values(model, PREFILL_BUCKET, 0, PREFILL_BUCKET, PROMPT_TOKENS - 1, padded)
    history = [int(token) for token in prompt]
    worst = 0.0
    for step in range(steps + 1):
        with torch.no_grad():
            expected = reference(torch.tensor([history])).logits[0, -1].numpy()
        actual = forward(model, caches, values, kernels, run_kernel)
        passed, share, detail = judge_step(actual, expected)
        worst = max(worst, share)
        if not passed:
            return Verdict(False, worst, 1.0, f"step {step}: {detail}")
        token = int(expected.argmax())
        kernels = resolve(choice, "decode")
        values = _values(model, 1, len(history), SHAPES.cache, 0, np.array([token]))
        history.append(token)
    return Verdict(True, worst, 1.0, f"prefill of {PROMPT_TOKENS} tokens and {steps} decode steps")


def _empty_caches() -> tuple[Array, Array]:
    shape = (1, 1, SHAPES.cache, HEAD)
    return np.zeros(shape, BF16), np.zeros(shape, BF16)
