"""Listed experts over several tokens in column-major form, weights stationary: transfers and matmuls.

Buffers come in pairs, as choices do in `decode_experts`: second parts of the inner dimension of an even and
an odd one share a tile, so that the down weights of a pair fill every partition.
"""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

from kernels.blocks import P, copy_weights
from kernels.decode_experts import parts_of
from kernels.expert_weights import request_gate_up


def expert_buffers(gate_up: Any, down: Any, count: int) -> Any:
    """For each of `count` buffers a tile [128, H / 128, 2 I] and, for each part of I, one [128, H]."""
    hidden, columns = gate_up.shape[1], gate_up.shape[2]
    inner = down.shape[1]
    found: list[Any] = []
    for place in range(count):
        tile = nl.ndarray((P, hidden // P, columns), dtype=gate_up.dtype, buffer=nl.sbuf)
        parts: list[Any] = []
        for _, _, lane in parts_of(inner, place):
            shared = (
                found[-1][1][-1] if lane > 0 else nl.ndarray((P, hidden), dtype=down.dtype, buffer=nl.sbuf)
            )
            parts.append(shared)
        found.append((tile, parts))
    return found


def request_expert(gate_up: Any, down: Any, owner: Any, held: Any, place: int, queues: str) -> None:
    """All weights of expert `owner` ([1, 1] in SBUF) into the place-th buffer; nothing where it is none."""
    inner, hidden = down.shape[1], down.shape[2]
    tile, parts = held
    skip = nisa.oob_mode.skip
    request_gate_up(gate_up, owner, tile, queues=queues, oob=skip)
    for number in range(len(parts)):
        row, rows, lane = parts_of(inner, place)[number]
        source = down.ap(
            pattern=[[hidden, rows], [1, hidden]],
            offset=row * hidden,
            scalar_offset=owner,
            indirect_dim=0,
        )
        copy_weights(queues, number + place, parts[number][lane : lane + rows, :], source, skip)


def project(columns: Any, tile: Any, place: int, inner: int) -> Any:
    """PSUM [128, 2 * parts, T]: gate, then up, of tokens' columns [128, depth, T] in the place-th buffer."""
    depth, tokens = columns.shape[1], columns.shape[2]
    parts = parts_of(inner, place)
    sides = nl.ndarray((P, 2 * len(parts), tokens), dtype=nl.float32, buffer=nl.psum)
    side = 0
    for low in (0, inner):
        for row, rows, lane in parts:
            first = low + row - lane
            for j in range(depth):
                nisa.nc_matmul(
                    dst=sides[0 : rows + lane, side, :],
                    stationary=tile[:, j, first : first + rows + lane],
                    moving=columns[:, j, :],
                    accumulate=j > 0,
                )
            side = side + 1
    return sides


def activate(sides: Any, shares: Any, place: int, inner: int, dtype: Any) -> Any:
    """silu(gate) * up * share of each token: [128, parts, T] of PSUM [128, 2 * parts, T]; shares [128, T]."""
    parts, tokens = parts_of(inner, place), sides.shape[2]
    active = nl.ndarray((P, len(parts), tokens), dtype=dtype, buffer=nl.sbuf)
    for number in range(len(parts)):
        _, rows, lane = parts[number]
        held = slice(lane, lane + rows)
        gate = nl.ndarray((P, tokens), dtype=nl.float32, buffer=nl.sbuf)
        nisa.activation(dst=gate[held, :], op=nl.silu, data=sides[held, number, :])
        up = nl.ndarray((P, tokens), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(
            dst=up[held, :], data1=sides[held, len(parts) + number, :], data2=shares[held, :], op=nl.multiply
        )
        nisa.tensor_tensor(
            dst=active[held, number, :], data1=gate[held, :], data2=up[held, :], op=nl.multiply
        )
    return active


def add_answer(answer: Any, active: Any, weights: Any, place: int, inner: int) -> None:
    """Add one expert's answer to PSUM [128, H / 128, T]; active [128, parts, T], weights [128, H] a part."""
    parts = parts_of(inner, place)
    for n in range(answer.shape[1]):
        for number in range(len(parts)):
            _, rows, lane = parts[number]
            held = slice(lane, lane + rows)
            nisa.nc_matmul(
                dst=answer[:, n, :],
                stationary=weights[number][held, n * P : (n + 1) * P],
                moving=active[held, number, :],
                accumulate=True,
            )


def store_answer(answer: Any, out: Any, core: int, cores: int) -> None:
    """The sum over cores of PSUM [128, H / 128, T] to out [T, H]: each core sends half and stores half."""
    _, depth, tokens = answer.shape
    size = depth // cores
    mine = answer[:, core * size : (core + 1) * size, :]
    total = nl.ndarray((P, size, tokens), dtype=out.dtype, buffer=nl.sbuf)
    if cores == 1:
        nisa.tensor_copy(dst=total, src=mine, engine=nisa.engine.vector)
    else:
        sent = nl.ndarray((P, size, tokens), dtype=nl.float32, buffer=nl.sbuf)
        other = nl.ndarray((P, size, tokens), dtype=nl.float32, buffer=nl.sbuf)
        theirs = answer[:, (1 - core) * size : (2 - core) * size, :]
        nisa.tensor_copy(dst=sent, src=theirs, engine=nisa.engine.vector)
        nisa.sendrecv(src=sent, dst=other, send_to_rank=1 - core, recv_from_rank=1 - core, pipe_id=0)
        nisa.tensor_tensor(dst=total, data1=mine, data2=other, op=nl.add)
    psum = nl.ndarray((tokens, size, P), dtype=out.dtype, buffer=nl.psum)
    for n in range(size):
        nisa.nc_transpose(dst=psum[:, n, :], data=total[:, n, :], engine=nisa.engine.tensor)
    rows = nl.ndarray((tokens, size * P), dtype=out.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=rows, src=psum.reshape((tokens, size * P)), engine=nisa.engine.vector)
    nisa.dma_copy(
        dst=out[:, core * size * P : (core + 1) * size * P],
        src=rows,
        dge_mode=nisa.dge_mode.hwdge,
        engine=nisa.engine.sync,
    )
