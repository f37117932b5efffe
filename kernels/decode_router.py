"""Routing of one token from its unnormalised column: logits, the best experts, and their shares."""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from kernels.blocks import P
from kernels.router import TOP_K


def logits_of(column: Any, weight: Any) -> Any:
    """PSUM [1, E] of a column [128, depth] times weight [128, depth, E]: logits but for 1 / rms."""
    depth, experts = weight.shape[1], weight.shape[2]
    logits = nl.ndarray((1, experts), dtype=nl.float32, buffer=nl.psum)
    for j in range(depth):
        nisa.nc_matmul(dst=logits, stationary=column[:, j : j + 1], moving=weight[:, j, :], accumulate=j > 0)
    return logits


def best_experts(logits: Any) -> Any:
    """The eight largest of PSUM logits [1, E] and their ids, largest first, ties to the lower id.

    A positive factor and softmax change neither, so both are left for later.
    """
    best = nl.ndarray((1, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.max8(dst=best, src=logits)
    ids = nl.ndarray((1, TOP_K), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.nc_find_index8(dst=ids, data=logits, vals=best)
    return best, ids


def affinities_of(best: Any, inverse: Any, ones: Any) -> Any:
    """Shares of one of the best experts, on every partition [128, 8].

    Softmax over all experts divided by the sum over the best is softmax over the best. `inverse` [128, 1] is
    1 / rms of the token.
    """
    below = nl.ndarray((1, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(
        dst=below, data=best, op0=nl.subtract, operand0=best[:, 0:1], engine=nisa.engine.vector
    )
    numerators = nl.ndarray((1, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    total = nl.ndarray((1, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation_reduce(
        dst=numerators, op=nl.exp, data=below, reduce_op=nl.add, reduce_res=total, scale=inverse[0:1, :]
    )
    share = nl.ndarray((1, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.reciprocal(dst=share, data=total)
    row = nl.ndarray((1, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=row, data=numerators, op0=nl.multiply, operand0=share, engine=nisa.engine.vector)
    spread = nl.ndarray((P, TOP_K), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=spread, stationary=ones[0:1, :], moving=row)
    shares = nl.ndarray((P, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=shares, src=spread, engine=nisa.engine.vector)
    return shares
