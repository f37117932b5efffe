"""The second half of a decoder layer for one token in one kernel, every weight a stationary tile."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, P, core_of, share
from kernels.columns import (
    inverse_rms_of,
    load_halves,
    ones_matrix,
    request_halves,
    scaled_column,
    sum_of_squares,
)
from kernels.decode_experts import (
    activations_of_all,
    add_experts,
    load_scales,
    request_down_half,
    request_experts,
    scaled_factors,
)
from kernels.decode_router import affinities_of, best_experts, logits_of
from kernels.router import TOP_K


@nki.jit
def moe_block(
    x: Any,
    norm_weight: Any,
    router_weight: Any,
    gate_up: Any,
    down: Any,
    eps: float,
    queues: str = "both",
    down_queues: str = "both",
) -> Any:
    """x [1, H] before the norm, norm_weight [1, H], bf16 router_weight [H, E], gate_up, down to [1, H].

    Weights are the stationary operand, so a 128 x 128 tile takes the tensor engine's shortest interval (64
    cycles) instead of 128 rows, answers stay column-major, and no activation is transposed. The ids of the
    best experts need neither softmax nor 1 / rms, so the weights are asked for as soon as the logits exist
    and affinities are computed while they move. A core computes gate and up of half of the experts; the cores
    exchange activations ([128, 8]) while the down weights arrive, and each adds all eight experts, in fp32
    and in the router's order, for half of the columns. Bound by HBM bandwidth after a serial prologue of
    about five microseconds. It loses where loading stationary tiles is not hidden (then `routed`, whose
    weights move past the token, is the better one), and at several tokens, where experts repeat.
    """
    chosen = (queues, down_queues)
    return _block(x, norm_weight, router_weight, gate_up, down, eps, None, chosen)


@nki.jit
def moe_block_fp8(
    x: Any, norm_weight: Any, router_weight: Any, gate_up: Any, down: Any, scales: Any, eps: float
) -> Any:
    """`moe_block` with gate_up and down as bytes of float8_e4m3 and fp32 scales [E, 3] of gate, up and down.

    Half of the bytes leave HBM. Weights arrive as uint8, so hardware queues can move them, and are fp8 only
    to the tensor engine; activations stay bf16. Scales ride where 1 / rms and the affinities do, at no
    instruction of their own. Bound by the tensor engine, whose count of tiles is that of `moe_block`. Its
    answers are those of the quantised checkpoint: an entry judged against bf16 logits may fail with it.
    """
    return _block(x, norm_weight, router_weight, gate_up, down, eps, scales, ("both", "both"))


def _block(
    x: Any,
    norm_weight: Any,
    router_weight: Any,
    gate_up: Any,
    down: Any,
    eps: float,
    scales: Any,
    queues: Any,
) -> Any:
    """From the residual [1, H] to what the experts add [1, H]; `scales` and `queues` as `experts_share`."""
    core, cores = core_of()
    hidden, experts, inner = x.shape[1], router_weight.shape[1], down.shape[1]
    assert x.shape[0] == 1 and hidden % (2 * P) == 0, "one token, hidden in blocks of 256"
    assert inner <= 2 * P and TOP_K <= experts <= BANK, "at most 256 wide, 8 to 512 experts"
    out = nl.ndarray((1, hidden), dtype=x.dtype, buffer=nl.shared_hbm)
    column, gamma = load_halves(x), load_halves(norm_weight)
    router = request_halves(router_weight)
    total = experts_share(column, gamma, router, gate_up, down, eps, core, cores, scales, queues)
    store_columns(total, out, core * total.shape[1])
    return out


def experts_share(
    column: Any,
    gamma: Any,
    router: Any,
    gate_up: Any,
    down: Any,
    eps: float,
    core: int,
    cores: int,
    scales: Any = None,
    queues: Any = ("both", "both"),
) -> Any:
    """Norm, routing and experts of a token's column [128, H / 128]: the core's columns [128, tiles] of them.

    Tile t holds columns t * 128 to t * 128 + 127 of the core's part of H. With scales [E, 3] the experts'
    weights are bytes of float8_e4m3. `queues` are those of gate and up, and of down.
    """
    inner, hidden = down.shape[1], down.shape[2]
    tiles = hidden // cores // P
    ones = ones_matrix()
    scaled = scaled_column(column, gamma)
    best, ids = best_experts(logits_of(scaled, router))
    first, count = share(TOP_K)
    weights = request_experts(gate_up, ids, first, count, queues[0])
    downs = request_down_half(down, ids, core * tiles * P, tiles * P, queues[1])
    inverse = inverse_rms_of(sum_of_squares(column, ones), eps, hidden)
    shares = affinities_of(best, inverse, ones)
    if scales is None:
        gates = ups = [inverse] * count
    else:
        gates, ups, shares = scaled_factors(load_scales(scales, ids), inverse, shares, first, count)
    active = activations_of_all(scaled, weights, gates, ups, inner, core, cores)
    return add_experts(active, downs, shares, inner, tiles)


def store_columns(total: Any, out: Any, first: int) -> None:
    """Columns [128, tiles] to the rows first:first+tiles of out seen as rows of 128."""
    tiles = total.shape[1]
    psum = nl.ndarray((tiles, P), dtype=total.dtype, buffer=nl.psum)
    nisa.nc_transpose(dst=psum, data=total, engine=nisa.engine.tensor)
    rows = nl.ndarray((tiles, P), dtype=out.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=rows, src=psum, engine=nisa.engine.vector)
    nisa.dma_copy(
        dst=out.reshape((out.shape[1] // P, P))[first : first + tiles, :],
        src=rows,
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.sync,
    )
