"""`neuronxcc.nki.isa`: the simulator's instructions under the first dialect's names, which return tiles."""

from __future__ import annotations

from typing import Any

from simulator.nki.isa import (
    dge_mode,
    dma_engine,
    engine,
    get_nc_version,
    gpsimd_engine,
    matmul_perf_mode,
    nc_version,
    oob_mode,
    reduce_cmd,
    scalar_engine,
    sync_engine,
    tensor_engine,
    unknown_engine,
    vector_engine,
)
from simulator.nki_beta.elementwise import (
    activation,
    activation_reduce,
    affine_select,
    bn_aggr,
    bn_stats,
    iota,
    memset,
    reciprocal,
    scalar_tensor_tensor,
    tensor_copy,
    tensor_reduce,
    tensor_scalar,
    tensor_scalar_reduce,
    tensor_tensor,
    tensor_tensor_scan,
)
from simulator.nki_beta.matmul import nc_matmul, nc_transpose
from simulator.nki_beta.names import not_executed
from simulator.nki_beta.transfers import dma_copy


def __getattr__(name: str) -> Any:
    raise not_executed("neuronxcc.nki.isa", name)


__all__ = [
    "activation",
    "activation_reduce",
    "affine_select",
    "bn_aggr",
    "bn_stats",
    "dge_mode",
    "dma_copy",
    "dma_engine",
    "engine",
    "get_nc_version",
    "gpsimd_engine",
    "iota",
    "matmul_perf_mode",
    "memset",
    "nc_matmul",
    "nc_transpose",
    "nc_version",
    "oob_mode",
    "reciprocal",
    "reduce_cmd",
    "scalar_engine",
    "scalar_tensor_tensor",
    "sync_engine",
    "tensor_copy",
    "tensor_engine",
    "tensor_reduce",
    "tensor_scalar",
    "tensor_scalar_reduce",
    "tensor_tensor",
    "tensor_tensor_scan",
    "unknown_engine",
    "vector_engine",
]
