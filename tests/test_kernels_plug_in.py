from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from kernels.errors import UnknownVariant, UnsupportedShape
from kernels.neuron_weights import KernelDimensions, add_router_weights, check_dimensions, check_features
from kernels.plugged import attention_kernels, moe_kernels
from kernels.registry import kernel_choice

QWEN3_30B = KernelDimensions(
    hidden=2048, heads=32, key_value_heads=4, head=128, experts=128, top_k=8, inner=768, ranks=4, batch=1
)


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
    ],
)
def test_a_model_the_kernels_cannot_run_is_named(change: dict[str, int], words: str) -> None:
    with pytest.raises(UnsupportedShape) as caught:
        check_dimensions(replace(QWEN3_30B, **change))
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "value"), [("sequence_parallel_enabled", True), ("cp_degree", 2), ("kv_quant_config", object())]
)
def test_a_setting_the_kernels_do_not_run_under_is_named(name: str, value: object) -> None:
    check_features(SimpleNamespace(cp_degree=1, speculation_length=0, moe_fused_nki_kernel_enabled=None))
    with pytest.raises(UnsupportedShape, match=f"{name}="):
        check_features(SimpleNamespace(**{name: value}))


def test_attention_and_experts_share_no_kernel_and_leave_none_out() -> None:
    choice = kernel_choice("tuned")
    halves = [half(choice, "decode", 1) for half in (attention_kernels, moe_kernels)]
    assert [[k.name for k in half] for half in halves] == [["block"], ["block"]]
    names = [k.slot for k in moe_kernels(kernel_choice("baseline"), "prefill", 128)]
    assert names == ["post_norm", "router", "group_tokens", "experts_prefill", "aggregate"]


def test_a_kernel_of_a_whole_layer_is_refused_for_nxd_inference() -> None:
    with pytest.raises(UnknownVariant, match="attention_decode=layer spans attention and experts"):
        moe_kernels(kernel_choice("tuned,attention_decode=layer"), "decode", 1)


def test_router_weights_are_transposed_and_the_checkpoint_kept() -> None:
    gate = torch.randn(8, 256)
    weights = {"layers.0.mlp.gate.weight": gate}
    add_router_weights(weights, layers=1, hidden=256, experts=8)
    assert torch.equal(weights["layers.0.mlp.router_weight"], gate.bfloat16().t())
    assert weights["layers.0.mlp.gate.weight"] is gate


def test_a_missing_or_misshapen_router_weight_is_named() -> None:
    with pytest.raises(UnsupportedShape, match=r"layers\.0\.mlp\.gate\.weight"):
        add_router_weights({}, layers=1, hidden=256, experts=8)
    with pytest.raises(UnsupportedShape, match=r"\(8, 128\)"):
        add_router_weights({"layers.0.mlp.gate.weight": torch.zeros(8, 128)}, 1, 256, 8)
