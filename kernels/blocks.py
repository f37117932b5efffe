"""What the kernels share: how two cores divide work, and the moves between layouts.

Token-major means tokens on partitions; column-major means the hidden dimension on partitions. "Interleaved"
puts index k of a contracted dimension K on partition k // (K / 128), so each partition reads one contiguous
run of HBM; a contraction does not care about the order as long as both operands use the same one.
"""

from __future__ import annotations

from typing import Any

import nki.isa as nisa
import nki.language as nl

P = 128  # partitions of SBUF and PSUM, rows and columns of the tensor engine
BANK = 512  # fp32 columns of a PSUM bank, and the widest moving tile
MASKED = -30000.0  # a score no softmax keeps, and finite in bf16 and fp32


def core_of() -> Any:
    """(index of the core, cores) of the launch grid; (0, 1) without one."""
    if nl.program_ndim() == 0:
        return 0, 1
    return nl.program_id(0), nl.num_programs(0)


def share(total: int, granule: int = 1) -> Any:
    """(start, size) of this core's contiguous part of `total`, cut at multiples of `granule`."""
    core, cores = core_of()
    pieces = (total + granule - 1) // granule
    chunk = ((pieces + cores - 1) // cores) * granule
    start = min(core * chunk, total)
    return start, min(chunk, total - start)


def token_share(tokens: int) -> Any:
    """Tokens of the core; a single token belongs to every core."""
    if tokens == 1:
        return 0, 1
    return share(tokens)


def load(source: Any, dtype: Any) -> Any:
    """A [rows <= 128, columns] piece of HBM in SBUF."""
    tile = nl.ndarray(source.shape, dtype=dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=source)
    return tile


def load_scalar(source: Any) -> Any:
    """A [1, 1] index from HBM, for use as a dynamic address."""
    tile = nl.ndarray((1, 1), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=source)
    return tile


def load_broadcast(row: Any, partitions: int) -> Any:
    """A [1, N] row of HBM on every one of `partitions` partitions."""
    columns = row.shape[1]
    tile = nl.ndarray((partitions, columns), dtype=row.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=row.ap(pattern=[[0, partitions], [1, columns]], offset=0))
    return tile


def constant(rows: int, value: float) -> Any:
    """A [rows, 1] fp32 column of one value."""
    tile = nl.ndarray((rows, 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.memset(dst=tile, value=value)
    return tile


def transpose(tile: Any, rows: int, columns: int) -> Any:
    """[rows, columns] to [columns, rows] through the tensor engine; both at most 128."""
    psum = nl.ndarray((columns, rows), dtype=tile.dtype, buffer=nl.psum)
    nisa.nc_transpose(dst=psum, data=tile, engine=nisa.engine.tensor)
    turned = nl.ndarray((columns, rows), dtype=tile.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=turned, src=psum, engine=nisa.engine.vector)
    return turned


def transpose_tokens(tile: Any, tokens: int, hidden: int) -> Any:
    """[tokens, hidden] to [128, hidden / 128, tokens]: index k on partition k % 128, block k // 128."""
    turned = nl.ndarray((P, hidden // P, tokens), dtype=tile.dtype, buffer=nl.sbuf)
    for block in range(hidden // P):
        psum = nl.ndarray((P, tokens), dtype=tile.dtype, buffer=nl.psum)
        nisa.nc_transpose(dst=psum, data=tile[:, block * P : (block + 1) * P], engine=nisa.engine.tensor)
        nisa.tensor_copy(dst=turned[:, block, :], src=psum, engine=nisa.engine.vector)
    return turned


def transpose_interleaved(tile: Any, rows: int, hidden: int) -> Any:
    """[rows, hidden] to [128, depth, rows], hidden interleaved; up to a PSUM bank per eviction."""
    depth = hidden // P
    group = min(depth, 2 * P * 4 // rows)
    turned = nl.ndarray((P, depth, rows), dtype=tile.dtype, buffer=nl.sbuf)
    for start in range(0, depth, group):
        size = min(group, depth - start)
        psum = nl.ndarray((P, size, rows), dtype=tile.dtype, buffer=nl.psum)
        for j in range(size):
            nisa.nc_transpose(
                dst=psum[:, j, :],
                data=tile.ap(pattern=[[hidden, rows], [depth, P]], offset=start + j),
                engine=nisa.engine.tensor,
            )
        engine = nisa.engine.vector if (start // group) % 2 == 0 else nisa.engine.scalar
        nisa.tensor_copy(dst=turned[:, start : start + size, :], src=psum, engine=engine)
    return turned


def load_weight_tiles(weight: Any, start: int, size: int) -> Any:
    """Columns start:start+size of weight [K, N] as [128, K / 128, size], one transfer per 128 rows."""
    blocks = weight.shape[0] // P
    tile = nl.ndarray((P, blocks, size), dtype=weight.dtype, buffer=nl.sbuf)
    for block in range(blocks):
        nisa.dma_copy(dst=tile[:, block, :], src=weight[block * P : (block + 1) * P, start : start + size])
    return tile


def engine_of(name: str) -> Any:
    """The engine of a copy by its name: "vector", "scalar" or "gpsimd"."""
    if name == "vector":
        return nisa.engine.vector
    if name == "scalar":
        return nisa.engine.scalar
    assert name == "gpsimd", "copies run on vector, scalar or gpsimd"
    return nisa.engine.gpsimd


def copy_weights(queues: str, turn: int, dst: Any, src: Any, oob: Any = nisa.oob_mode.error) -> None:
    """A weight transfer, its descriptors written by hardware (triggered by the sync engine) or by GpSimd.

    `queues` "both" takes turns, even ones on hardware; "hardware" and "software" stay with one. With `oob`
    skip, a source outside its tensor moves nothing.
    """
    if queues == "hardware" or (queues == "both" and turn % 2 == 0):
        nisa.dma_copy(dst=dst, src=src, oob_mode=oob, dge_mode=nisa.dge_mode.hwdge, engine=nisa.engine.sync)
    else:
        nisa.dma_copy(dst=dst, src=src, oob_mode=oob, dge_mode=nisa.dge_mode.swdge)


def request_pieces(tiles: Any, source: Any, piece: int, queues: str = "both") -> None:
    """tiles [128, depth, n] from HBM in pieces of the depth, on the queues `copy_weights` takes.

    Compute can start on the first piece while later ones arrive, at no cost in descriptor size.
    """
    depth = tiles.shape[1]
    for place in range((depth + piece - 1) // piece):
        low = place * piece
        high = min(depth, low + piece)
        copy_weights(queues, place, tiles[:, low:high, :], source[:, low:high, :])


def contract(turned: Any, weight: Any, tokens: int, start: int, size: int) -> Any:
    """PSUM [tokens, size] = tokens x weight columns, both with K on partitions in blocks of 128."""
    acc = nl.ndarray((tokens, size), dtype=nl.float32, buffer=nl.psum)
    for block in range(turned.shape[1]):
        nisa.nc_matmul(
            dst=acc,
            stationary=turned[:, block, :],
            moving=weight[:, block, start : start + size],
            accumulate=block > 0,
        )
    return acc


def row_scale(total: Any, rows: int, width: int, eps: float) -> Any:
    """1 / sqrt(total / width + eps) for sums of squares total [rows, n]."""
    scale = nl.ndarray(total.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.activation(dst=scale, op=nl.rsqrt, data=total, scale=1.0 / width, bias=constant(rows, eps))
    return scale
