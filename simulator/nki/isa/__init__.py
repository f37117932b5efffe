"""`nki.isa`: every instruction this machine executes, under the names kernels call."""

from __future__ import annotations

from typing import Any

from simulator.nki.isa import enums as constants
from simulator.nki.isa.activation import activate2, activation, activation_reduce, exponential
from simulator.nki.isa.dma import dma_compute, dma_copy, dma_transpose
from simulator.nki.isa.elementwise import (
    memset,
    reciprocal,
    scalar_tensor_tensor,
    tensor_copy,
    tensor_copy_predicated,
    tensor_scalar,
    tensor_tensor,
)
from simulator.nki.isa.enums import (
    dge_mode,
    dma_engine,
    engine,
    matmul_perf_mode,
    nc_version,
    oob_mode,
    reduce_cmd,
)
from simulator.nki.isa.exchange import core_barrier, sendrecv
from simulator.nki.isa.matmul import nc_matmul, nc_transpose
from simulator.nki.isa.mx import nc_matmul_mx, quantize_mx
from simulator.nki.isa.randomness import dropout, rand2, rand_get_state, rand_set_state, rng, set_rng_seed
from simulator.nki.isa.reductions import (
    bn_aggr,
    bn_stats,
    tensor_partition_reduce,
    tensor_reduce,
    tensor_scalar_cumulative,
    tensor_scalar_reduce,
    tensor_tensor_scan,
)
from simulator.nki.isa.registers import (
    VirtualRegister,
    register_alloc,
    register_load,
    register_move,
    register_store,
)
from simulator.nki.isa.selection import (
    affine_select,
    iota,
    local_gather,
    max8,
    nc_find_index8,
    nc_match_replace8,
    nc_n_gather,
    nc_stream_shuffle,
    nonzero_with_count,
    range_select,
    select_reduce,
    sequence_bounds,
    topk,
)
from simulator.nki.names import unknown_name
from simulator.nki.tracer import Handle as NkiInstruction
from simulator.nki.tracer import current

tensor_engine, vector_engine, scalar_engine = engine.tensor, engine.vector, engine.scalar
gpsimd_engine, sync_engine, unknown_engine = engine.gpsimd, engine.sync, engine.unknown

GENERATION = {"trn2": nc_version.gen3, "trn3": nc_version.gen4}


def get_nc_version() -> nc_version:
    """Generation of the target."""
    return GENERATION[current().launch.target]


def get_nc_sub_version() -> int:
    """Revision of the silicon within its generation: the first."""
    return 0


def __getattr__(name: str) -> Any:
    raise unknown_name("nki.isa", name)


__all__ = [
    "NkiInstruction",
    "VirtualRegister",
    "activate2",
    "activation",
    "activation_reduce",
    "affine_select",
    "bn_aggr",
    "bn_stats",
    "constants",
    "core_barrier",
    "dge_mode",
    "dma_compute",
    "dma_copy",
    "dma_engine",
    "dma_transpose",
    "dropout",
    "engine",
    "exponential",
    "get_nc_sub_version",
    "get_nc_version",
    "gpsimd_engine",
    "iota",
    "local_gather",
    "matmul_perf_mode",
    "max8",
    "memset",
    "nc_find_index8",
    "nc_match_replace8",
    "nc_matmul",
    "nc_matmul_mx",
    "nc_n_gather",
    "nc_stream_shuffle",
    "nc_transpose",
    "nc_version",
    "nonzero_with_count",
    "oob_mode",
    "quantize_mx",
    "rand2",
    "rand_get_state",
    "rand_set_state",
    "range_select",
    "reciprocal",
    "reduce_cmd",
    "register_alloc",
    "register_load",
    "register_move",
    "register_store",
    "rng",
    "scalar_engine",
    "scalar_tensor_tensor",
    "select_reduce",
    "sendrecv",
    "sequence_bounds",
    "set_rng_seed",
    "sync_engine",
    "tensor_copy",
    "tensor_copy_predicated",
    "tensor_engine",
    "tensor_partition_reduce",
    "tensor_reduce",
    "tensor_scalar",
    "tensor_scalar_cumulative",
    "tensor_scalar_reduce",
    "tensor_tensor",
    "tensor_tensor_scan",
    "topk",
    "unknown_engine",
    "vector_engine",
]
