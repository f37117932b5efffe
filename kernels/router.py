"""Expert routing: logits, softmax over all experts, the best eight, and their normalised weights."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.attention_prefill import softmax_numerator
from kernels.blocks import (
    P,
    contract,
    core_of,
    load,
    load_weight_tiles,
    request_pieces,
    token_share,
    transpose_interleaved,
    transpose_tokens,
)

TOP_K = 8


def choose(logits: Any, rows: int, experts: int) -> Any:
    """Logits [rows, E] to expert ids [rows, 8] and affinities [rows, 8] that sum to one.

    A tie goes to the lower expert id: every match is struck out before the next value is looked for.
    """
    numerators, total = softmax_numerator(logits, rows, experts, nl.float32)
    inverse = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.reciprocal(dst=inverse, data=total)
    probabilities = nl.ndarray((rows, experts), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=probabilities, data=numerators, op0=nl.multiply, operand0=inverse, engine=nisa.engine.vector
    )
    best = nl.ndarray((rows, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.max8(dst=best, src=probabilities)
    ids = nl.ndarray((rows, TOP_K), dtype=nl.uint32, buffer=nl.sbuf)
    rest = nl.ndarray((rows, experts), dtype=nl.float32, buffer=nl.sbuf)
    nisa.nc_match_replace8(dst=rest, data=probabilities, vals=best, imm=-1.0, dst_idx=ids)
    kept = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=kept, op=nl.add, data=best, axis=1)
    scale = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.reciprocal(dst=scale, data=kept)
    affinities = nl.ndarray((rows, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=affinities, data=best, op0=nl.multiply, operand0=scale, engine=nisa.engine.vector)
    return ids, affinities


def store_choice(ids: Any, affinities: Any, ids_out: Any, affinities_out: Any, start: int, stop: int) -> None:
    """Both results to HBM; with one token each core, having both, writes one."""
    core, cores = core_of()
    single = ids_out.shape[0] == 1
    if core == 0 or not single:
        nisa.dma_copy(dst=ids_out[start:stop, :], src=ids)
    if core == cores - 1 or not single:
        nisa.dma_copy(dst=affinities_out[start:stop, :], src=affinities)


@nki.jit
def router(x: Any, weight: Any) -> Any:
    """x [T, H] and fp32 weight [H, E] to ids [T, 8] uint32 and affinities [T, 8] fp32.

    In fp32 from the matmul on, as the reference does it. Cores divide the tokens. Bound at one token by
    sixteen fp32 transposes and their evictions; at a full bucket by fp32 matmuls, four cycles a row.
    """
    tokens, hidden = x.shape
    experts = weight.shape[1]
    assert hidden % P == 0 and TOP_K <= experts <= 512, "hidden in blocks of 128, 8 to 512 experts"
    ids_out = nl.ndarray((tokens, TOP_K), dtype=nl.uint32, buffer=nl.shared_hbm)
    affinities_out = nl.ndarray((tokens, TOP_K), dtype=nl.float32, buffer=nl.shared_hbm)
    first, count = token_share(tokens)
    tiles = load_weight_tiles(weight, 0, experts)
    for start in range(first, first + count, P):
        rows = min(P, first + count - start)
        wide = nl.ndarray((rows, hidden), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=wide, src=load(x[start : start + rows, :], x.dtype), engine=nisa.engine.vector)
        acc = contract(transpose_tokens(wide, rows, hidden), tiles, rows, 0, experts)
        logits = nl.ndarray((rows, experts), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=logits, src=acc, engine=nisa.engine.vector)
        ids, affinities = choose(logits, rows, experts)
        store_choice(ids, affinities, ids_out, affinities_out, start, start + rows)
    return ids_out, affinities_out


@nki.jit
def router_best(x: Any, weight: Any, pieces: int = 1, queues: str = "software") -> Any:
    """x [T, H] and bf16 weight [H, E] to ids [T, 8] uint32 and affinities [T, 8] fp32.

    The eight best logits are found first and softmax is taken over them alone: divided by the sum over the
    best, softmax over all experts is the same. So nothing but the search sees E columns, and bf16 operands
    give the fp32 products of a bf16 checkpoint. The norm stays a launch of its own, whose result others may
    read. Bound by the weight's transfer and by two searches on the vector engine. It loses to `fused` where
    nobody else needs the normalised state, and to `router` on a checkpoint with a true fp32 router.
    """
    tokens, hidden = x.shape
    experts, depth = weight.shape[1], hidden // P
    assert hidden % P == 0 and TOP_K <= experts <= 512, "hidden in blocks of 128, 8 to 512 experts"
    ids_out = nl.ndarray((tokens, TOP_K), dtype=nl.uint32, buffer=nl.shared_hbm)
    affinities_out = nl.ndarray((tokens, TOP_K), dtype=nl.float32, buffer=nl.shared_hbm)
    tiles = nl.ndarray((P, depth, experts), dtype=weight.dtype, buffer=nl.sbuf)
    request_pieces(tiles, weight.reshape((P, depth, experts)), max(1, depth // pieces), queues)
    first, count = token_share(tokens)
    for start in range(first, first + count, P):
        rows = min(P, first + count - start)
        tile = nl.ndarray((rows, hidden), dtype=x.dtype, buffer=nl.sbuf)
        nisa.dma_copy(
            dst=tile, src=x[start : start + rows, :], dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.sync
        )
        logits = contract(transpose_interleaved(tile, rows, hidden), tiles, rows, 0, experts)
        ids, affinities = choose_best(logits, rows)
        store_choice(ids, affinities, ids_out, affinities_out, start, start + rows)
    return ids_out, affinities_out


def choose_best(logits: Any, rows: int) -> Any:
    """PSUM logits [rows, E] to the ids of the eight largest and their softmax; ties to the lower id."""
    best = nl.ndarray((rows, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.max8(dst=best, src=logits)
    ids = nl.ndarray((rows, TOP_K), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.nc_find_index8(dst=ids, data=logits, vals=best)
    numerators, total = softmax_numerator(best, rows, TOP_K, nl.float32)
    share = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.reciprocal(dst=share, data=total)
    affinities = nl.ndarray((rows, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=affinities, data=numerators, op0=nl.multiply, operand0=share, engine=nisa.engine.vector
    )
    return ids, affinities
