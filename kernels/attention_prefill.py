"""Causal attention of the prompt: one key/value head, several query heads per rank."""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

from kernels.blocks import BANK, MASKED, P, engine_of, load, share, transpose


def load_keys_values(k: Any, v: Any) -> Any:
    """k, v [T, 128] as keys [128, T] and values [128, tiles, 128] (position on partitions)."""
    tokens = k.shape[0]
    tiles = (tokens + P - 1) // P
    keys = nl.ndarray((P, tokens), dtype=k.dtype, buffer=nl.sbuf)
    values = nl.ndarray((P, tiles, P), dtype=v.dtype, buffer=nl.sbuf)
    for tile in range(tiles):
        start = tile * P
        rows = min(P, tokens - start)
        piece = load(k[start : start + rows, :], k.dtype)
        psum = nl.ndarray((P, rows), dtype=k.dtype, buffer=nl.psum)
        nisa.nc_transpose(dst=psum, data=piece, engine=nisa.engine.tensor)
        nisa.tensor_copy(dst=keys[:, start : start + rows], src=psum, engine=nisa.engine.vector)
        nisa.dma_copy(dst=values[0:rows, tile, :], src=v[start : start + rows, :])
    return keys, values


@nki.jit
def attention_prefill(q: Any, k: Any, v: Any) -> Any:
    """q [T, heads * 128], k and v [T, 128] to softmax(q k^T / sqrt(128), causal) v [T, heads * 128].

    Cores divide the heads. For each head and 128 queries: all scores up to the diagonal, mask, one softmax
    over the row, probabilities transposed 128 x 128, product with the values. Bound by GpSimd, which masks
    whole rows of scores, and by the transposes.
    """
    tokens, width = q.shape
    heads = width // P
    out = nl.ndarray((tokens, width), dtype=q.dtype, buffer=nl.shared_hbm)
    first, count = share(heads)
    keys, values = load_keys_values(k, v)
    for head in range(first, first + count):
        for start in range(0, tokens, P):
            rows = min(P, tokens - start)
            seen = start + rows
            turned = transpose(load(q[start:seen, head * P : (head + 1) * P], q.dtype), rows, P)
            scores = nl.ndarray((rows, seen), dtype=nl.float32, buffer=nl.sbuf)
            for column in range(0, seen, BANK):
                size = min(BANK, seen - column)
                psum = nl.ndarray((rows, size), dtype=nl.float32, buffer=nl.psum)
                nisa.nc_matmul(dst=psum, stationary=turned, moving=keys[:, column : column + size])
                nisa.activation(dst=scores[:, column : column + size], op=nl.copy, data=psum, scale=P**-0.5)
            masked = nl.ndarray((rows, seen), dtype=nl.float32, buffer=nl.sbuf)
            nisa.affine_select(
                dst=masked,
                pattern=[[-1, seen]],
                offset=start,
                channel_multiplier=1,
                on_true_tile=scores,
                on_false_value=MASKED,
                cmp_op=nl.greater_equal,
            )
            weights, total = softmax_numerator(masked, rows, seen, q.dtype)
            acc = nl.ndarray((rows, P), dtype=nl.float32, buffer=nl.psum)
            for tile in range(0, seen, P):
                size = min(P, seen - tile)
                nisa.nc_matmul(
                    dst=acc,
                    stationary=transpose(weights[:, tile : tile + size], rows, size),
                    moving=values[0:size, tile // P, :],
                    accumulate=tile > 0,
                )
            nisa.dma_copy(
                dst=out[start:seen, head * P : (head + 1) * P], src=divide(acc, total, rows, q.dtype)
            )
    return out


def softmax_numerator(scores: Any, rows: int, columns: int, dtype: Any) -> Any:
    """exp(scores - row maximum) and its row sum [rows, 1] in fp32."""
    peak = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=peak, op=nl.maximum, data=scores, axis=1, negate=True)
    weights = nl.ndarray((rows, columns), dtype=dtype, buffer=nl.sbuf)
    total = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation_reduce(
        dst=weights, op=nl.exp, data=scores, reduce_op=nl.add, reduce_res=total, bias=peak, scale=1.0
    )
    return weights, total


def divide(acc: Any, total: Any, rows: int, dtype: Any) -> Any:
    """Acc [rows, 128] over total [rows, 1]."""
    inverse = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.reciprocal(dst=inverse, data=total)
    result = nl.ndarray((rows, P), dtype=dtype, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=result, data=acc, op0=nl.multiply, operand0=inverse, engine=nisa.engine.vector)
    return result


@nki.jit
def attention_prefill_diagonal(q: Any, k: Any, v: Any, collect: str = "gpsimd", evict: str = "vector") -> Any:
    """`attention_prefill` that masks only the diagonal block and evicts transposes a bank at a time.

    Blocks under the diagonal need no mask, so GpSimd sees 128 columns of each row instead of all of them;
    softmax reads the scores where the matmul left them, in PSUM; up to eight transposed blocks share one PSUM
    bank and one eviction. Bound by exp on the scalar engine. At 128 tokens only the diagonal exists and
    little is left to save.
    """
    tokens, width = q.shape
    heads = width // P
    assert tokens <= 5 * P, "scores of a row fill at most two PSUM banks"
    out = nl.ndarray((tokens, width), dtype=q.dtype, buffer=nl.shared_hbm)
    first, count = share(heads)
    keys, values = load_keys_values(k, v)
    for start in range(0, tokens, P):
        rows = min(P, tokens - start)
        seen = start + rows
        queries = nl.ndarray((rows, count, P), dtype=q.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=queries, src=q.reshape((tokens, heads, P))[start:seen, first : first + count, :])
        results = nl.ndarray((rows, count, P), dtype=q.dtype, buffer=nl.sbuf)
        for head in range(count):
            turned = transpose(queries[:, head, :], rows, P)
            scores = nl.ndarray((rows, seen), dtype=nl.float32, buffer=nl.sbuf)
            for column in range(0, start, BANK):
                size = min(BANK, start - column)
                psum = nl.ndarray((rows, size), dtype=nl.float32, buffer=nl.psum)
                nisa.nc_matmul(dst=psum, stationary=turned, moving=keys[:, column : column + size])
                nisa.tensor_copy(dst=scores[:, column : column + size], src=psum, engine=nisa.engine.vector)
            corner = nl.ndarray((rows, rows), dtype=nl.float32, buffer=nl.psum)
            nisa.nc_matmul(dst=corner, stationary=turned, moving=keys[:, start:seen])
            square = nl.ndarray((rows, rows), dtype=nl.float32, buffer=nl.sbuf)
            nisa.tensor_copy(dst=square, src=corner, engine=nisa.engine.vector)
            nisa.affine_select(
                dst=scores[:, start:seen],
                pattern=[[-1, rows]],
                offset=0,
                channel_multiplier=1,
                on_true_tile=square,
                on_false_value=MASKED,
                cmp_op=nl.greater_equal,
            )
            weights, total = _scaled_numerator(scores, rows, seen, q.dtype)
            nisa.tensor_copy(
                dst=results[:, head, :],
                src=_weigh(weights, values, total, rows, seen, q.dtype, evict),
                engine=engine_of(collect),
            )
        nisa.dma_copy(dst=out.reshape((tokens, heads, P))[start:seen, first : first + count, :], src=results)
    return out


def _scaled_numerator(scores: Any, rows: int, columns: int, dtype: Any) -> Any:
    """exp((scores - row maximum) / sqrt(128)) with the scale folded into the activation."""
    peak = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=peak, op=nl.maximum, data=scores, axis=1, negate=True)
    bias = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=bias, data=peak, op0=nl.multiply, operand0=P**-0.5, engine=nisa.engine.vector)
    weights = nl.ndarray((rows, columns), dtype=dtype, buffer=nl.sbuf)
    total = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation_reduce(
        dst=weights, op=nl.exp, data=scores, reduce_op=nl.add, reduce_res=total, bias=bias, scale=P**-0.5
    )
    return weights, total


def _weigh(weights: Any, values: Any, total: Any, rows: int, seen: int, dtype: Any, evict: str) -> Any:
    """Weights [rows, seen] times values, over total; all transposes share one PSUM bank and one eviction."""
    tiles = (seen + P - 1) // P
    psum = nl.ndarray((P, tiles, rows), dtype=dtype, buffer=nl.psum)
    turned = nl.ndarray((P, tiles, rows), dtype=dtype, buffer=nl.sbuf)
    for tile in range(tiles):
        size = min(P, seen - tile * P)
        nisa.nc_transpose(
            dst=psum[0:size, tile, :], data=weights[:, tile * P : tile * P + size], engine=nisa.engine.tensor
        )
    whole = seen // P
    if whole > 0:
        nisa.tensor_copy(dst=turned[:, 0:whole, :], src=psum[:, 0:whole, :], engine=engine_of(evict))
    if whole < tiles:
        rest = seen - whole * P
        nisa.tensor_copy(dst=turned[0:rest, whole, :], src=psum[0:rest, whole, :], engine=engine_of(evict))
    acc = nl.ndarray((rows, P), dtype=nl.float32, buffer=nl.psum)
    for tile in range(tiles):
        size = min(P, seen - tile * P)
        nisa.nc_matmul(
            dst=acc, stationary=turned[0:size, tile, :], moving=values[0:size, tile, :], accumulate=tile > 0
        )
    return divide(acc, total, rows, dtype)
