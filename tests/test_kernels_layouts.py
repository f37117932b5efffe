from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels.errors import UnsupportedShape
from kernels.layouts import (
    dequantised,
    o_proj_by_core,
    o_proj_from_cores,
    qkv_by_core,
    qkv_from_cores,
    quantised,
    quantised_experts,
)
from kernels.neuron_weights import KernelDimensions, add_block_weights, add_fp8_experts


def test_each_core_finds_its_queries_and_the_shared_key_and_value() -> None:
    heads, hidden = 4, 256
    weight = np.random.default_rng(0).standard_normal((hidden, (heads + 2) * 128))
    laid = qkv_by_core(weight)
    assert laid.shape == (2, hidden, 4 * 128)
    assert (laid[1, :, :128] == weight[:, 2 * 128 : 3 * 128]).all()
    assert (laid[:, :, 256:] == weight[:, 512:]).all()
    assert (qkv_from_cores(laid) == weight).all()


def test_neighbouring_tiles_of_the_output_projection_hold_neighbouring_columns() -> None:
    heads, hidden = 4, 1024
    weight = np.random.default_rng(0).standard_normal((heads * 128, hidden))
    laid = o_proj_by_core(weight)
    assert laid.shape == (2, 128, heads, 4, 128)
    core, d, head, tile, column = 1, 5, 3, 2, 7
    assert laid[core, d, head, tile, column] == weight[head * 128 + d, core * 512 + column * 4 + tile]
    assert (o_proj_from_cores(laid) == weight).all()


def test_torch_tensors_are_laid_out_alike() -> None:
    weight = np.random.default_rng(0).standard_normal((256, 6 * 128)).astype(np.float32)
    qkv = qkv_by_core(torch.from_numpy(weight), join=torch.concatenate)
    assert (qkv.numpy() == qkv_by_core(weight)).all()
    o_proj = o_proj_by_core(torch.from_numpy(weight.T.copy()))
    assert (o_proj.numpy() == o_proj_by_core(weight.T)).all()


def checkpoint(model: KernelDimensions) -> dict[str, torch.Tensor]:
    queries, shared = model.heads * 128, model.key_value_heads * 128
    shapes = {"q": (queries, model.hidden), "k": (shared, model.hidden), "v": (shared, model.hidden)}
    shapes["o"] = (model.hidden, queries)
    noise = torch.Generator().manual_seed(0)
    return {
        f"layers.0.self_attn.{name}_proj.weight": torch.randn(shape, generator=noise).bfloat16()
        for name, shape in shapes.items()
    }


SMALL = KernelDimensions(
    hidden=256, heads=8, key_value_heads=2, head=128, experts=8, top_k=8, inner=64, ranks=2, batch=1
)


def test_a_checkpoint_gets_each_ranks_weights_by_core() -> None:
    state = checkpoint(SMALL)
    whole = dict(state)
    add_block_weights(state, 1, SMALL, torch.concatenate)
    qkv, o_proj = (state[f"layers.0.self_attn.{name}_by_core.weight"] for name in ("qkv", "output"))
    assert tuple(qkv.shape) == (4, 256, 4 * 128)
    assert tuple(o_proj.shape) == (4, 128, 4, 1, 128)
    rank, head = 1, 3
    q = whole["layers.0.self_attn.q_proj.weight"][(rank * 4 + head) * 128 : (rank * 4 + head + 1) * 128]
    assert torch.equal(qkv[2 * rank + 1, :, 128:256], q.t())
    o = whole["layers.0.self_attn.o_proj.weight"][128:256, (rank * 4 + head) * 128 + 7]
    assert torch.equal(o_proj[2 * rank + 1, 7, head, 0], o)


def test_a_misshapen_attention_weight_is_named() -> None:
    state = checkpoint(SMALL)
    name = "layers.0.self_attn.k_proj.weight"
    state[name] = state[name][:-1]
    with pytest.raises(UnsupportedShape, match=name):
        add_block_weights(state, 1, SMALL, torch.concatenate)


def test_quantised_weights_lose_at_most_half_a_step_of_fp8() -> None:
    weight = np.random.default_rng(0).standard_normal((3, 64, 32)).astype(np.float32)
    weight[1] *= 1000.0
    weight[2] = 0.0
    held, scale = quantised(weight)
    back = dequantised(held, scale[:, None, None])
    assert held.dtype == np.uint8
    step = np.maximum(np.abs(weight) / 16, scale[:, None, None] * 2.0**-10)
    assert (np.abs(back - weight) <= step * 1.001).all()
    assert (back[2] == 0).all()


def test_torch_reads_the_bytes_as_the_same_fp8_values() -> None:
    held, scale = quantised(np.random.default_rng(0).standard_normal((2, 64, 32)))
    there = torch.from_numpy(held).view(torch.float8_e4m3fn).float().numpy()
    assert np.array_equal(there * scale[:, None, None], dequantised(held, scale[:, None, None]))


def test_gate_up_and_down_have_scales_of_their_own() -> None:
    gate_up, down = np.ones((2, 8, 6), np.float32), np.full((2, 3, 8), 5.0, np.float32)
    gate_up[:, :, 3:] = 2.0
    _, _, scales = quantised_experts(gate_up, down)
    assert np.allclose(scales * 240.0, [[1.0, 2.0, 5.0]] * 2)


def test_experts_are_quantised_on_each_rank_as_the_kernels_layout_has_them() -> None:
    noise = torch.Generator().manual_seed(1)
    shapes = {"gate": (64, 256), "up": (64, 256), "down": (256, 64)}
    state = {
        f"layers.0.mlp.experts.{e}.{n}_proj.weight": torch.randn(shape, generator=noise).bfloat16() * (e + 1)
        for e in range(SMALL.experts)
        for n, shape in shapes.items()
    }
    state["layers.0.mlp.experts.3.up_proj.weight"][:] = 0
    gate, up, down = (
        np.stack([state[f"layers.0.mlp.experts.{e}.{n}_proj.weight"].float().numpy().T for e in range(8)])
        for n in shapes
    )
    add_fp8_experts(state, 1, SMALL, torch.concatenate, lambda w: w.to(torch.float8_e4m3fn).view(torch.uint8))
    names = ("gate_up_fp8.weight", "down_fp8.weight", "expert_scales.scale")
    found = [state[f"layers.0.mlp.{name}"].numpy() for name in names]
    for rank in (0, 1):
        mine = slice(rank * 32, rank * 32 + 32)
        sides = np.concatenate([gate[:, :, mine], up[:, :, mine]], axis=2)
        expected = quantised_experts(sides, down[:, mine])
        for whole, part in zip(found, expected, strict=True):
            assert (whole[rank * 8 : rank * 8 + 8] == part).all()


def test_a_missing_expert_is_named() -> None:
    with pytest.raises(UnsupportedShape, match=r"layers\.0\.mlp\.experts\.0\.gate_proj\.weight"):
        add_fp8_experts({}, 1, SMALL, torch.concatenate, lambda w: w)
