from __future__ import annotations

import numpy as np
import torch

from kernels.layouts import o_proj_by_core, o_proj_from_cores, qkv_by_core, qkv_from_cores


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
