"""Causal attention of the prompt with online softmax: scores of one block of keys at a time."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.attention_prefill import divide, load_keys_values
from kernels.blocks import BANK, MASKED, P, share, transpose


@nki.jit
def attention_prefill_online(q: Any, k: Any, v: Any, block: int = 512) -> Any:
    """q [T, heads * 128], k and v [T, 128] to softmax(q k^T / sqrt(128), causal) v [T, heads * 128].

    As in flash attention, keys come in blocks: a running peak and sum of each row are raised by every block,
    and what was added before is scaled down to the new peak. Nothing grows with the prompt, so T is not
    limited by the scores of a row, and scores below the diagonal stay in PSUM from the matmul to the
    exponential. Bound by the vector engine, which looks for peaks and corrects, and by the chain from one
    block to the next. It loses to `diagonal` at 128 tokens, where there is one block and nothing to correct,
    and with small blocks, each of which is corrected. Cores divide the heads.
    """
    tokens, width = q.shape
    heads = width // P
    assert block % P == 0 and block <= BANK, "a block of 128 to 512 keys, whose scores fill a PSUM bank"
    out = nl.ndarray((tokens, width), dtype=q.dtype, buffer=nl.shared_hbm)
    first, count = share(heads)
    keys, values = load_keys_values(k, v)
    for start in range(0, tokens, P):
        rows = min(P, tokens - start)
        stop = start + rows
        queries = nl.ndarray((rows, count, P), dtype=q.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=queries, src=q.reshape((tokens, heads, P))[start:stop, first : first + count, :])
        results = nl.ndarray((rows, count, P), dtype=q.dtype, buffer=nl.sbuf)
        for head in range(count):
            turned = transpose(queries[:, head, :], rows, P)
            state: Any = None
            for low in range(0, stop, block):
                high = min(low + block, stop)
                scores = _scores(turned, keys, rows, start, low, high)
                state = _add_block(state, scores, values, rows, low, high, q.dtype)
            _, total, added = state
            nisa.tensor_copy(
                dst=results[:, head, :], src=divide(added, total, rows, q.dtype), engine=nisa.engine.gpsimd
            )
        nisa.dma_copy(dst=out.reshape((tokens, heads, P))[start:stop, first : first + count, :], src=results)
    return out


def _scores(turned: Any, keys: Any, rows: int, start: int, low: int, high: int) -> Any:
    """[rows, high - low] of queries from `start` on with keys low:high; masked where the diagonal is."""
    psum = nl.ndarray((rows, high - low), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=psum, stationary=turned, moving=keys[:, low:high])
    if high <= start:
        return psum
    scores = nl.ndarray((rows, high - low), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=scores, src=psum, engine=nisa.engine.vector)
    masked = nl.ndarray((rows, high - low), dtype=nl.float32, buffer=nl.sbuf)
    nisa.affine_select(
        dst=masked,
        pattern=[[-1, high - low]],
        offset=start - low,
        channel_multiplier=1,
        on_true_tile=scores,
        on_false_value=MASKED,
        cmp_op=nl.greater_equal,
    )
    return masked


def _add_block(state: Any, scores: Any, values: Any, rows: int, low: int, high: int, dtype: Any) -> Any:
    """Least negated peak [rows, 1], sum of weights [rows, 1] and weighted values [rows, 128] with a block."""
    peak = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=peak, op=nl.maximum, data=scores, axis=1, negate=True)
    if state is not None:
        least = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=least, data1=peak, data2=state[0], op=nl.minimum)
        peak = least
    bias = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=bias, data=peak, op0=nl.multiply, operand0=P**-0.5, engine=nisa.engine.vector)
    weights = nl.ndarray((rows, high - low), dtype=dtype, buffer=nl.sbuf)
    total = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation_reduce(
        dst=weights, op=nl.exp, data=scores, reduce_op=nl.add, reduce_res=total, bias=bias, scale=P**-0.5
    )
    added = _weigh(weights, values, rows, low, high)
    if state is None:
        kept = nl.ndarray((rows, P), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_copy(dst=kept, src=added, engine=nisa.engine.scalar)
        return peak, total, kept
    shrink = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(dst=shrink, op=nl.exp, data=state[0], scale=-(P**-0.5), bias=bias)
    return peak, _raised(state[1], shrink, total), _raised(state[2], shrink, added)


def _raised(before: Any, shrink: Any, more: Any) -> Any:
    """before * shrink + more."""
    total = nl.ndarray(before.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.scalar_tensor_tensor(
        dst=total, data=before, op0=nl.multiply, operand0=shrink, op1=nl.add, operand1=more
    )
    return total


def _weigh(weights: Any, values: Any, rows: int, low: int, high: int) -> Any:
    """PSUM [rows, 128]: weights [rows, high - low] times values low:high, in tiles of 128 positions."""
    tiles = (high - low + P - 1) // P
    psum = nl.ndarray((P, tiles, rows), dtype=weights.dtype, buffer=nl.psum)
    turned = nl.ndarray((P, tiles, rows), dtype=weights.dtype, buffer=nl.sbuf)
    acc = nl.ndarray((rows, P), dtype=nl.float32, buffer=nl.psum)
    for tile in range(tiles):
        size = min(P, high - low - tile * P)
        held = slice(tile * P, tile * P + size)
        nisa.nc_transpose(dst=psum[0:size, tile, :], data=weights[:, held], engine=nisa.engine.tensor)
        engine = nisa.engine.vector if tile % 2 == 0 else nisa.engine.scalar
        nisa.tensor_copy(dst=turned[0:size, tile, :], src=psum[0:size, tile, :], engine=engine)
    for tile in range(tiles):
        size = min(P, high - low - tile * P)
        nisa.nc_matmul(
            dst=acc,
            stationary=turned[0:size, tile, :],
            moving=values[0:size, low // P + tile, :],
            accumulate=tile > 0,
        )
    return acc
