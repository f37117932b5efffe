from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import qwen
from kernels.errors import UnknownVariant, UnsupportedShape
from kernels.neuron_checks import (
    KernelDimensions,
    check_dimensions,
    check_model,
    check_settings,
    check_weights,
    expected_weights,
    required,
)
from kernels.plugged import PARTS, plugged_slots, plugs, rows_of
from kernels.registry import SLOTS, kernel_choice, resolve, variant, variants_of

QWEN3_30B = KernelDimensions(
    hidden=2048,
    heads=32,
    key_value_heads=4,
    head=128,
    experts=128,
    top_k=8,
    inner=768,
    vocabulary=151936,
    layers=48,
    ranks=4,
    batch=1,
)
SMALL = replace(QWEN3_30B, hidden=256, heads=8, experts=8, inner=64, vocabulary=512, layers=1)


def test_qwen3_30b_at_four_ranks_is_supported() -> None:
    check_dimensions(QWEN3_30B)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch": 8}, "batch 8"),
        ({"head": 64}, "heads of 64"),
        ({"top_k": 2}, "top-2"),
        ({"hidden": 4096}, "hidden size of 4096"),
        ({"ranks": 8}, "4 key/value heads on 8 ranks"),
        ({"inner": 1536}, "width 1536"),
        ({"experts": 4}, "4 experts"),
        ({"heads": 4}, "4 query heads"),
        ({"vocabulary": 151937}, "vocabulary of 151937"),
    ],
)
def test_a_model_the_kernels_cannot_run_is_named(change: dict[str, int], words: str) -> None:
    with pytest.raises(UnsupportedShape) as caught:
        check_dimensions(replace(QWEN3_30B, **change))
    assert words in caught.value.message
    assert caught.value.hint


def test_a_cache_the_kernels_do_not_load_is_named_with_the_next_they_do() -> None:
    check_settings(SimpleNamespace(max_length=100))
    with pytest.raises(UnsupportedShape, match="caches of 300 rows") as caught:
        check_settings(SimpleNamespace(max_length=300))
    assert caught.value.hint == "use --seq-len 384"


def small_config(**change: object) -> SimpleNamespace:
    names = {
        "hidden_size": "hidden",
        "num_attention_heads": "heads",
        "num_key_value_heads": "key_value_heads",
        "head_dim": "head",
        "num_experts": "experts",
        "num_experts_per_tok": "top_k",
        "moe_intermediate_size": "inner",
        "vocab_size": "vocabulary",
        "num_hidden_layers": "layers",
    }
    given = {name: getattr(SMALL, ours) for name, ours in names.items()}
    return SimpleNamespace(neuron_config=SimpleNamespace(tp_degree=4, batch_size=1), **given | change)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("norm_topk_prob", False),
        ("hidden_act", "gelu"),
        ("attention_bias", True),
        ("mlp_only_layers", [3]),
        ("rope_scaling", {"rope_type": "yarn", "factor": 4.0}),
    ],
)
def test_a_model_the_kernels_would_compute_otherwise_is_refused(name: str, value: object) -> None:
    check_model(small_config(mlp_only_layers=None, rope_scaling={"rope_type": "default", "rope_theta": 1e6}))
    with pytest.raises(UnsupportedShape, match=f"{name}="):
        check_model(small_config(**{name: value}))


def test_a_configuration_of_another_model_is_named() -> None:
    with pytest.raises(UnsupportedShape, match="of a llama without num_experts"):
        required(SimpleNamespace(model_type="llama"), ["num_experts"])
    with pytest.raises(UnsupportedShape, match="of a mixtral; the kernels run Qwen3-MoE"):
        required(SimpleNamespace(model_type="mixtral", num_experts=8), ["num_experts"])
    required(SimpleNamespace(model_type="qwen3_moe", num_experts=8), ["num_experts"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequence_parallel_enabled", True),
        ("cp_degree", 2),
        ("kv_quant_config", object()),
        ("padding_side", "left"),
        ("moe_ep_degree", 4),
        ("torch_dtype", torch.float32),
        ("logical_nc_config", 1),
    ],
)
def test_a_setting_the_kernels_do_not_run_under_is_named(name: str, value: object) -> None:
    check_settings(
        SimpleNamespace(cp_degree=1, moe_fused_nki_kernel_enabled=None, torch_dtype=torch.bfloat16)
    )
    with pytest.raises(UnsupportedShape, match=f"{name}="):
        check_settings(SimpleNamespace(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_length", 1024),
        ("context_encoding_buckets", [128, 768]),
        ("context_encoding_buckets", [1, 128]),
        ("token_generation_buckets", [-1, 128]),
    ],
)
def test_a_bucket_the_kernels_do_not_run_is_named(name: str, value: object) -> None:
    check_settings(SimpleNamespace(max_length=640, context_encoding_buckets=[2, 100, 512, 640]))
    with pytest.raises(UnsupportedShape, match=f"{name}=") as caught:
        check_settings(SimpleNamespace(**{name: value}))
    assert "at most 640" in caught.value.hint


@pytest.mark.parametrize("choice", ["baseline", "tuned", "tuned,experts_decode=fp8", "lm_head=wide"])
def test_the_plug_in_runs_every_kernel_a_plan_of_one_sequence_has(choice: str) -> None:
    chosen = kernel_choice(choice)
    assert set(plugged_slots(chosen)) == set(SLOTS)
    for phase, tokens in (
        ("decode", 1),
        ("prefill", 64),
        ("prefill", 128),
        ("prefill", 512),
        ("prefill", 640),
    ):
        rows = {part: rows_of(chosen, part, phase) for part in PARTS}
        ran = [next(found for most, found in rows[part] if tokens <= most) for part in PARTS]
        assert [k for part in ran for k in part] == list(resolve(chosen, phase, tokens))


def test_every_head_of_one_sequence_runs_in_both_phases() -> None:
    for head in variants_of("lm_head"):
        assert head.phases == ("prefill", "decode") or head.name == "batched"


def test_a_kernel_of_a_whole_layer_takes_the_place_of_both_halves_in_decode() -> None:
    choice = kernel_choice("tuned,attention_decode=layer")
    ran = {
        part: [k.name for _, kernels in rows_of(choice, part, "decode") for k in kernels] for part in PARTS
    }
    assert ran == {"attention": [], "experts": [], "head": ["tiles"], "layer": ["layer"]}
    assert not any(kernels for _, kernels in rows_of(choice, "layer", "prefill"))


def test_a_kernel_of_a_layer_and_the_head_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    both = replace(variant("lm_head", "tiles"), name="far", covers=("aggregate", "final_norm", "lm_head"))
    assert not plugs(both)
    monkeypatch.setattr("kernels.plugged.resolve", lambda *_: (both,))
    with pytest.raises(UnknownVariant, match="lm_head=far spans a layer and the head"):
        rows_of(kernel_choice("tuned"), "head", "decode")


def test_a_plan_counts_as_nki_only_what_the_plug_in_runs() -> None:
    def planned(kernels: str, batch: int = 1) -> set[bool]:
        rows = qwen.plan(
            prompt_tokens=14, seq_len=640, batch=batch, kernels=kernel_choice(kernels), target="trn3"
        )
        return {row.nki for row in rows if row.module is not None}

    assert planned("tuned") == planned("tuned,attention_decode=layer") == {True}
    assert planned("tuned", batch=4) == {False}


def checkpoint() -> dict[str, torch.Tensor]:
    return {name: torch.zeros(shape).bfloat16() for name, shape in expected_weights(SMALL, False).items()}


@pytest.mark.parametrize(
    "name",
    [
        "embed_tokens.weight",
        "lm_head.weight",
        "norm.weight",
        "layers.0.mlp.gate.weight",
        "layers.0.mlp.experts.7.down_proj.weight",
        "layers.0.self_attn.k_norm.weight",
    ],
)
def test_a_missing_or_misshapen_weight_is_named(name: str) -> None:
    state = checkpoint()
    check_weights(state, SMALL, tied=False)
    with pytest.raises(UnsupportedShape, match=name):
        check_weights(state | {name: state[name][:-1]}, SMALL, tied=False)
    del state[name]
    with pytest.raises(UnsupportedShape, match=f"has no {name}"):
        check_weights(state, SMALL, tied=False)


def test_a_head_tied_to_the_embedding_needs_no_weight_of_its_own() -> None:
    state = checkpoint()
    del state["lm_head.weight"]
    check_weights(state, SMALL, tied=True)


def test_a_quantised_weight_without_its_scales_is_named() -> None:
    name = "layers.0.self_attn.q_proj.weight"
    state = checkpoint()
    state[name] = state[name].to(torch.float8_e4m3fn)
    with pytest.raises(UnsupportedShape, match=f"{name} is float8_e4m3fn without scales"):
        check_weights(state, SMALL, tied=False)
