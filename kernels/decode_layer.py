"""A whole decoder layer for one token in one kernel, the two all-reduces over ranks inside it."""

from __future__ import annotations

from typing import Any

import nki
import nki.collectives as collectives
import nki.isa as nisa
import nki.language as nl

from kernels.attention_block import attention_share, request_attention, store_row, store_share
from kernels.blocks import P, core_of, share
from kernels.columns import load_halves, request_halves
from kernels.moe_block import experts_share, store_columns


@nki.jit
def decode_layer(
    x: Any,
    pending: Any,
    norm_weight: Any,
    qkv: Any,
    q_weight: Any,
    k_weight: Any,
    cos: Any,
    sin: Any,
    k_cache: Any,
    v_cache: Any,
    position: Any,
    o_proj: Any,
    post_norm_weight: Any,
    router_weight: Any,
    gate_up: Any,
    down: Any,
    eps: float,
    bucket: int,
    ranks: int,
) -> Any:
    """Residual x [1, H] and the rank's pending share of the layer before, to both of this layer, and caches.

    `attention_block` and `moe_block` without the trips through HBM between them. The residual stays in SBUF,
    column-major, and each core reduces its half of the columns over the ranks from SBUF to SBUF and hands it
    to the other. The layer begins with the all-reduce of its predecessor's experts, under which all weights
    of attention arrive; only the experts' weights, whose ids are not known yet, cannot be fetched under the
    second one. Bound by the two collectives and the experts' weights. Its time leans on the machine's
    assumed latency of a collective, and it loses where a graph overlaps collectives better than it does.
    """
    core, cores = core_of()
    hidden = x.shape[1]
    assert x.shape[0] == 1 and hidden % (2 * P) == 0, "one token, hidden in blocks of 256"
    residual_out = nl.ndarray((1, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    pending_out = nl.ndarray((1, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    before = _over_ranks(_load_share(pending), ranks, core, cores)
    column, gamma = load_halves(x), load_halves(norm_weight)
    loaded = request_attention(qkv, q_weight, k_weight, cos, sin, k_cache, v_cache, position, o_proj, bucket)
    post_gamma, router = load_halves(post_norm_weight), request_halves(router_weight)

    residual = _add(column, before)
    attention, key, value = attention_share(residual, gamma, loaded, eps, bucket, core, cores)
    residual = _add(residual, _over_ranks(attention, ranks, core, cores))
    store_row(key, value, k_cache, v_cache, position, core, cores)
    first, count = share(2)
    width = hidden // 2 // P
    store_share(residual[:, first * width : (first + count) * width], residual_out)
    total = experts_share(residual, post_gamma, router, gate_up, down, eps, core, cores)
    store_columns(total, pending_out, core * total.shape[1])
    return residual_out, pending_out, k_cache, v_cache


def _load_share(row: Any) -> Any:
    """The core's half of a row [1, H] as [128, H / 256], or both halves, as `load_halves` has it."""
    first, count = share(2)
    width = row.shape[1] // 2 // P
    tile = nl.ndarray((P, count * width), dtype=row.dtype, buffer=nl.sbuf)
    for place in range(count):
        nisa.dma_copy(
            dst=tile[:, place * width : (place + 1) * width],
            src=row.reshape((2, P, width))[first + place],
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.scalar,
        )
    return tile


def _over_ranks(own: Any, ranks: int, core: int, cores: int) -> Any:
    """The sum over ranks of every core's columns, all of them on each core [128, H / 128]."""
    reduced = own
    if ranks > 1:
        reduced = nl.ndarray(own.shape, dtype=own.dtype, buffer=nl.sbuf)
        group = collectives.ReplicaGroup([list(range(ranks))])
        collectives.all_reduce(srcs=[own], dsts=[reduced], replica_group=group, op=nl.add)
    if cores == 1:
        return reduced
    width = own.shape[1]
    whole = nl.ndarray((P, 2 * width), dtype=own.dtype, buffer=nl.sbuf)
    mine, theirs = core * width, (1 - core) * width
    nisa.sendrecv(
        src=reduced,
        dst=whole[:, theirs : theirs + width],
        send_to_rank=1 - core,
        recv_from_rank=1 - core,
        pipe_id=0,
    )
    nisa.tensor_copy(dst=whole[:, mine : mine + width], src=reduced, engine=nisa.engine.vector)
    return whole


def _add(column: Any, other: Any) -> Any:
    total = nl.ndarray(column.shape, dtype=column.dtype, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=total, data1=column, data2=other, op=nl.add)
    return total
