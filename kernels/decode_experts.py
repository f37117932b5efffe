"""Chosen experts of one token in column-major form: transfers, activations, exchange and weighted sum.

The inner dimension is cut into a first part of up to 128 rows and a second part. A second part of up to 64
rows lies on the lower half of the partitions for even choices and on the upper half for odd ones, so that the
down weights of a pair fill every partition, and with it every DMA engine.
"""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from kernels.blocks import P, copy_weights
from kernels.router import TOP_K


def parts_of(inner: int, choice: int) -> Any:
    """(first row, rows, first partition) of each part of the inner dimension for the choice-th expert."""
    rest = inner - P
    if rest <= 0:
        return ((0, inner, 0),)
    lane = (choice % 2) * (P // 2) if rest <= P // 2 else 0
    return ((0, P, 0), (P, rest, lane))


def request_experts(gate_up: Any, ids: Any, first: int, count: int, queues: str = "both") -> Any:
    """Gate and up of choices first:first+count as tiles [128, H / 128, 2 I] in the layout of `load_halves`.

    Each half is one transfer of 6 KiB runs for Qwen3-30B-A3B, on the queues of `copy_weights`.
    """
    hidden, columns = gate_up.shape[1], gate_up.shape[2]
    width = hidden // 2 // P
    tiles = []
    for k in range(first, first + count):
        tile = nl.ndarray((P, 2 * width, columns), dtype=gate_up.dtype, buffer=nl.sbuf)
        for half in (0, 1):
            source = gate_up.ap(
                pattern=[[width * columns, P], [columns, width], [1, columns]],
                offset=half * width * P * columns,
                scalar_offset=ids.ap(pattern=[[TOP_K, 1], [1, 1]], offset=k),
                indirect_dim=0,
            )
            copy_weights(queues, half, tile[:, half * width : (half + 1) * width, :], source)
        tiles.append(_as_weights(tile))
    return tiles


def _as_weights(tile: Any) -> Any:
    """A tile as the tensor engine reads it: bytes are float8_e4m3."""
    return tile.view(nl.float8_e4m3) if tile.dtype == nl.uint8 else tile


def load_scales(scales: Any, ids: Any) -> Any:
    """Scales [E, 3] of the chosen experts on every partition [128, 8, 3]."""
    tile = nl.ndarray((P, TOP_K, 3), dtype=nl.float32, buffer=nl.sbuf)
    for k in range(TOP_K):
        nisa.dma_copy(
            dst=tile[:, k, :],
            src=scales.ap(
                pattern=[[0, P], [1, 3]],
                offset=0,
                scalar_offset=ids.ap(pattern=[[TOP_K, 1], [1, 1]], offset=k),
                indirect_dim=0,
            ),
            dge_mode=nisa.dge_mode.hwdge,
            engine=nisa.engine.scalar,
        )
    return tile


def scaled_factors(scales: Any, inverse: Any, shares: Any, first: int, count: int) -> Any:
    """Factors of gate and of up for each of the core's choices, and shares times the scale of down."""
    factors = nl.ndarray((P, TOP_K, 3), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_scalar(dst=factors, data=scales, op0=nl.multiply, operand0=inverse, engine=nisa.engine.vector)
    scaled = nl.ndarray((P, TOP_K), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_tensor(dst=scaled, data1=shares, data2=scales[:, :, 2], op=nl.multiply)
    mine = range(first, first + count)
    return [factors[:, k, 0:1] for k in mine], [factors[:, k, 1:2] for k in mine], scaled


def request_down_half(down: Any, ids: Any, start: int, size: int, queues: str = "both") -> Any:
    """Columns start:start+size of the down weights of all choices: for each, a tile for each part.

    Second parts of an even and an odd choice share a tile.
    """
    inner, hidden = down.shape[1], down.shape[2]
    found = []
    for even in range(0, TOP_K, 2):
        pair: list[Any] = []
        for place in range(len(parts_of(inner, even))):
            for k in (even, even + 1):
                row, rows, lane = parts_of(inner, k)[place]
                tile = pair[-1] if lane > 0 else nl.ndarray((P, size), dtype=down.dtype, buffer=nl.sbuf)
                source = down.ap(
                    pattern=[[hidden, rows], [1, size]],
                    offset=row * hidden + start,
                    scalar_offset=ids.ap(pattern=[[TOP_K, 1], [1, 1]], offset=k),
                    indirect_dim=0,
                )
                copy_weights(queues, even // 2, tile[lane : lane + rows, :], source)
                pair.append(tile)
        pair = [_as_weights(tile) for tile in pair]
        found += [pair[0::2], pair[1::2]]
    return found


def activate_columns(column: Any, weights: Any, gates: Any, ups: Any, first: int, inner: int) -> Any:
    """silu(gate) * up of a token's column [128, depth] for choices from `first` on: [128, parts] for each.

    The column is not normalised: gates[k] and ups[k] [128, 1], 1 / rms and any scale, ride in both
    instructions.
    """
    width = len(parts_of(inner, 0))
    active = nl.ndarray((P, len(weights), width), dtype=column.dtype, buffer=nl.sbuf)
    nisa.memset(dst=active, value=0.0, engine=nisa.engine.vector)
    for k in range(len(weights)):
        parts = parts_of(inner, first + k)
        sides = _project_parts(column, weights[k], parts, inner)
        for place in range(width):
            _, rows, lane = parts[place]
            held = slice(lane, lane + rows)
            kept = nl.ndarray((P, 1), dtype=nl.float32, buffer=nl.sbuf)
            nisa.activation(
                dst=kept[held, :], op=nl.silu, data=sides[place][held, :], scale=gates[k][held, :]
            )
            nisa.scalar_tensor_tensor(
                dst=active[held, k, place : place + 1],
                data=sides[width + place][held, :],
                op0=nl.multiply,
                operand0=ups[k][held, :],
                op1=nl.multiply,
                operand1=kept[held, :],
            )
    return active


def _project_parts(column: Any, tile: Any, parts: Any, inner: int) -> Any:
    """PSUM columns of gate, then of up, for each part: a token's column times tile [128, depth, 2 I].

    Each accumulates in a bank of its own, so the first half of the depth is done when the second arrives.
    """
    depth = tile.shape[1]
    starts, sides = [], []
    for side in (0, inner):
        for row, rows, lane in parts:
            starts.append(side + row - lane)
            sides.append(nl.ndarray((rows + lane, 1), dtype=nl.float32, buffer=nl.psum))
    for low, high in ((0, depth // 2), (depth // 2, depth)):
        for n in range(len(sides)):
            size = sides[n].shape[0]
            for j in range(low, high):
                nisa.nc_matmul(
                    dst=sides[n],
                    stationary=tile[:, j, starts[n] : starts[n] + size],
                    moving=column[:, j : j + 1],
                    accumulate=j > 0,
                )
    return sides


def activations_of_all(
    column: Any, weights: Any, gates: Any, ups: Any, inner: int, core: int, cores: int
) -> Any:
    """Activations of all eight choices, [128, parts] each, in the router's order.

    weights are those of the core's own choices. Two cores exchange two choices at a time, so that the first
    are there before the last are computed.
    """
    held = {}
    group = 2 if cores == 2 else len(weights)
    for start in range(0, len(weights), group):
        mine = core * len(weights) + start
        part = slice(start, start + group)
        active = activate_columns(column, weights[part], gates[part], ups[part], mine, inner)
        for k in range(group):
            held[mine + k] = active[:, k, :]
        if cores == 2:
            other = nl.ndarray(active.shape, dtype=active.dtype, buffer=nl.sbuf)
            nisa.sendrecv(src=active, dst=other, send_to_rank=1 - core, recv_from_rank=1 - core, pipe_id=0)
            theirs = (1 - core) * len(weights) + start
            for k in range(group):
                held[theirs + k] = other[:, k, :]
    return [held[k] for k in range(TOP_K)]


def add_experts(active: Any, downs: Any, shares: Any, inner: int, tiles: int) -> Any:
    """Columns [128, tiles] of the weighted sum, added in fp32 in the order of the choices.

    active[k] is [128, parts], downs[k] a tile [128, tiles * 128] for each part, shares [128, 8].
    """
    total = None
    for k in range(TOP_K):
        answer = _contract_down(active[k], downs[k], parts_of(inner, k), tiles)
        dtype = active[k].dtype if k == TOP_K - 1 else nl.float32
        added = nl.ndarray((P, tiles), dtype=dtype, buffer=nl.sbuf)
        share = shares[:, k : k + 1]
        if total is None:
            nisa.tensor_scalar(
                dst=added, data=answer, op0=nl.multiply, operand0=share, engine=nisa.engine.vector
            )
        else:
            nisa.scalar_tensor_tensor(
                dst=added, data=answer, op0=nl.multiply, operand0=share, op1=nl.add, operand1=total
            )
        total = added
    return total


def _contract_down(active: Any, weights: Any, parts: Any, tiles: int) -> Any:
    """PSUM [128, tiles] of one expert's answer; active [128, parts], a weight tile for each part."""
    answer = nl.ndarray((P, tiles), dtype=nl.float32, buffer=nl.psum)
    for n in range(tiles):
        for place in range(len(parts)):
            _, rows, lane = parts[place]
            nisa.nc_matmul(
                dst=answer[:, n : n + 1],
                stationary=weights[place][lane : lane + rows, n * P : (n + 1) * P],
                moving=active[lane : lane + rows, place : place + 1],
                accumulate=place > 0,
            )
    return answer
