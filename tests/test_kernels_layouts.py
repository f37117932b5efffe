from __future__ import annotations

import numpy as np
import torch

from kernels.layouts import (
    dequantised,
    o_proj_by_core,
    o_proj_from_cores,
    qkv_by_core,
    qkv_from_cores,
    quantised,
    quantised_experts,
)
from kernels.neuron_checks import KernelDimensions, expected_weights
from kernels.neuron_weights import laid_weights, without_replaced


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


SMALL = KernelDimensions(
    hidden=256,
    heads=8,
    key_value_heads=2,
    head=128,
    experts=8,
    top_k=8,
    inner=64,
    vocabulary=512,
    layers=1,
    ranks=2,
    batch=1,
)
EVERYTHING = ("qkv", "o_proj", "qkv_by_core", "o_proj_by_core", "gate_up_fp8")


def checkpoint() -> dict[str, torch.Tensor]:
    noise = torch.Generator().manual_seed(0)
    shapes = expected_weights(SMALL, tied=False)
    return {name: torch.randn(shape, generator=noise).bfloat16() for name, shape in shapes.items()}


def laid(state: dict[str, torch.Tensor], *wanted: str) -> dict[str, torch.Tensor]:
    return laid_weights(
        state, SMALL, wanted, torch.concatenate, lambda w: w.to(torch.float8_e4m3fn).view(torch.uint8)
    )


def test_each_rank_gets_its_queries_and_its_columns_of_the_output_projection() -> None:
    state = checkpoint()
    made = laid(state, *EVERYTHING)
    at = "layers.0.self_attn"
    rank, head = 1, 3
    q = state[f"{at}.q_proj.weight"][(rank * 4 + head) * 128 : (rank * 4 + head + 1) * 128]
    k, v = (state[f"{at}.{side}_proj.weight"][rank * 128 : (rank + 1) * 128] for side in "kv")
    qkv = made[f"{at}.laid.qkv.weight"].chunk(2)[rank]
    assert torch.equal(qkv[:, head * 128 :], torch.cat([q, k, v]).t())
    by_core = made[f"{at}.laid.qkv_by_core.weight"].chunk(2)[rank]
    assert torch.equal(by_core[1, :, 128:256], q.t())
    o = state[f"{at}.o_proj.weight"][:, (rank * 4 + head) * 128 + 7]
    assert torch.equal(made[f"{at}.laid.o_proj.weight"].chunk(2)[rank][head * 128 + 7], o)
    assert torch.equal(made[f"{at}.laid.o_proj_by_core.weight"].chunk(2)[rank][1, 7, head, 0], o[128:])


def test_each_rank_gets_its_part_of_the_vocabulary_and_the_whole_router() -> None:
    state = checkpoint()
    made = laid(state)
    assert torch.equal(made["lm_head.weight"].chunk(2)[1], state["lm_head.weight"][256:].t())
    assert torch.equal(made["layers.0.mlp.router_weight"], state["layers.0.mlp.gate.weight"].t())
    wide = laid(state, "router_fp32")["layers.0.mlp.router_fp32.scale"]
    assert wide.dtype == torch.float32
    assert torch.equal(wide.chunk(2)[1], state["layers.0.mlp.gate.weight"].t().float())
    tied = {name: weight for name, weight in state.items() if name != "lm_head.weight"}
    assert torch.equal(laid(tied)["lm_head.weight"].chunk(2)[0], state["embed_tokens.weight"][:256].t())


def test_only_layouts_a_chosen_kernel_reads_are_made_and_replaced_weights_go() -> None:
    state = checkpoint()
    made = laid(state, "qkv_by_core")
    assert [name for name in made if "laid" in name or "fp8" in name] == [
        "layers.0.self_attn.laid.qkv_by_core.weight"
    ]
    kept = without_replaced(state | {"layers.0.self_attn.Wqkv.weight": torch.zeros(1)})
    assert not [name for name in kept if "_proj" in name and "experts" not in name]
    assert "layers.0.self_attn.Wqkv.weight" not in kept
    assert "layers.0.mlp.experts.0.gate_proj.weight" in kept


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
    state = checkpoint()
    for e in range(SMALL.experts):
        state[f"layers.0.mlp.experts.{e}.up_proj.weight"] *= e + 1
    state["layers.0.mlp.experts.3.up_proj.weight"][:] = 0
    gate, up, down = (
        np.stack([state[f"layers.0.mlp.experts.{e}.{n}_proj.weight"].float().numpy().T for e in range(8)])
        for n in ("gate", "up", "down")
    )
    made = laid(state, "gate_up_fp8")
    names = ("gate_up_fp8.weight", "down_fp8.weight", "expert_scales.scale")
    found = [made[f"layers.0.mlp.{name}"].numpy() for name in names]
    for rank in (0, 1):
        mine = slice(rank * 32, rank * 32 + 32)
        sides = np.concatenate([gate[:, :, mine], up[:, :, mine]], axis=2)
        expected = quantised_experts(sides, down[:, mine])
        for whole, part in zip(found, expected, strict=True):
            assert (whole[rank * 8 : rank * 8 + 8] == part).all()
