"""out = lhs_t.T @ rhs, from one load per matmul to blocks that are reused: lhs_t [K, M], rhs [K, N].

The steps are those the public matmul tutorial of the NKI documentation describes (its measured times are
public, see `benchmarks/ladder.py`); the kernels are our own. Tiles are [128, 128] stationary and [128, 512]
moving, results accumulate in one PSUM bank.
"""

from __future__ import annotations

from typing import Any

import nki
import nki.isa as nisa
import nki.language as nl

P = 128
N = 512


@nki.jit
def tiled(lhs_t: Any, rhs: Any) -> Any:
    """Both tiles are loaded for every matmul: bound by the number of transfers."""
    depth, rows, columns, out = _problem(lhs_t, rhs)
    for m in range(0, rows, P):
        for n in range(0, columns, N):
            acc = nl.ndarray((P, N), dtype=nl.float32, buffer=nl.psum)
            for k in range(0, depth, P):
                left, right = _load(lhs_t, k, m, P), _load(rhs, k, n, N)
                nisa.nc_matmul(dst=acc, stationary=left, moving=right)
            _store(out, m, n, acc)
    return out


@nki.jit
def hoisted(lhs_t: Any, rhs: Any) -> Any:
    """The left tiles of a row of results are loaded once, the right tiles once per result."""
    depth, rows, columns, out = _problem(lhs_t, rhs)
    for m in range(0, rows, P):
        left = [_load(lhs_t, k, m, P) for k in range(0, depth, P)]
        for n in range(0, columns, N):
            right = [_load(rhs, k, n, N) for k in range(0, depth, P)]
            acc = nl.ndarray((P, N), dtype=nl.float32, buffer=nl.psum)
            for k in range(len(left)):
                nisa.nc_matmul(dst=acc, stationary=left[k], moving=right[k])
            _store(out, m, n, acc)
    return out


@nki.jit
def blocked(lhs_t: Any, rhs: Any, block_rows: int = 8, block_columns: int = 2) -> Any:
    """Blocks of results share their tiles, each tile brought by a transfer of its own."""
    depth, rows, columns, out = _problem(lhs_t, rhs)
    high, wide = P * block_rows, N * block_columns
    for m in range(0, rows, high):
        left = [[_load(lhs_t, k, c, P) for c in range(m, m + high, P)] for k in range(0, depth, P)]
        for n in range(0, columns, wide):
            right = [[_load(rhs, k, c, N) for c in range(n, n + wide, N)] for k in range(0, depth, P)]
            for i in range(block_rows):
                for j in range(block_columns):
                    pairs = [(left[k][i], right[k][j]) for k in range(len(left))]
                    _store(out, m + i * P, n + j * N, _product(pairs))
    return out


@nki.jit
def row_loads(lhs_t: Any, rhs: Any, block_rows: int = 8, block_columns: int = 2) -> Any:
    """The same blocks, a whole row of a block brought by one transfer."""
    depth, rows, columns, out = _problem(lhs_t, rhs)
    high, wide = P * block_rows, N * block_columns
    for m in range(0, rows, high):
        left = [_load(lhs_t, k, m, high) for k in range(0, depth, P)]
        for n in range(0, columns, wide):
            right = [_load(rhs, k, n, wide) for k in range(0, depth, P)]
            for i in range(0, high, P):
                for j in range(0, wide, N):
                    pairs = [(left[k][:, i : i + P], right[k][:, j : j + N]) for k in range(len(left))]
                    _store(out, m + i, n + j, _product(pairs))
    return out


@nki.jit
def resident(lhs_t: Any, rhs: Any, block_rows: int = 16, block_columns: int = 2, block_depth: int = 8) -> Any:
    """Blocks in all three dimensions; partial sums stay in SBUF, so every tile is reused many times."""
    depth, rows, columns, out = _problem(lhs_t, rhs)
    high, wide, deep = P * block_rows, N * block_columns, P * block_depth
    for n in range(0, columns, wide):
        for m in range(0, rows, high):
            sums = [nl.ndarray((P, wide), dtype=nl.float32, buffer=nl.sbuf) for _ in range(block_rows)]
            for k in range(0, depth, deep):
                right = [_load(rhs, d, n, wide) for d in range(k, k + deep, P)]
                left = [_load(lhs_t, d, m, high) for d in range(k, k + deep, P)]
                for i, total in enumerate(sums):
                    _add_block(total, left, right, i * P, block_columns, first=k == 0)
            for i, total in enumerate(sums):
                result = nl.ndarray((P, wide), dtype=out.dtype, buffer=nl.sbuf)
                nisa.tensor_copy(dst=result, src=total)
                nisa.dma_copy(dst=out[m + i * P : m + (i + 1) * P, n : n + wide], src=result)
    return out


def _add_block(
    total: Any, left: list[Any], right: list[Any], column: int, tiles: int, *, first: bool
) -> None:
    for j in range(0, tiles * N, N):
        acc = nl.ndarray((P, N), dtype=nl.float32, buffer=nl.psum)
        for k in range(len(left)):
            nisa.nc_matmul(dst=acc, stationary=left[k][:, column : column + P], moving=right[k][:, j : j + N])
        if first:
            nisa.tensor_copy(dst=total[:, j : j + N], src=acc)
        else:
            nisa.tensor_tensor(dst=total[:, j : j + N], data1=total[:, j : j + N], data2=acc, op=nl.add)


def _problem(lhs_t: Any, rhs: Any) -> tuple[int, int, int, Any]:
    depth, rows = lhs_t.shape
    columns = rhs.shape[1]
    out = nl.ndarray((rows, columns), dtype=lhs_t.dtype, buffer=nl.shared_hbm)
    return depth, rows, columns, out


def _product(pairs: list[tuple[Any, Any]]) -> Any:
    acc = nl.ndarray((P, N), dtype=nl.float32, buffer=nl.psum)
    for stationary, moving in pairs:
        nisa.nc_matmul(dst=acc, stationary=stationary, moving=moving)
    return acc


def _load(source: Any, row: int, column: int, width: int) -> Any:
    tile = nl.ndarray((P, width), dtype=source.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=source[row : row + P, column : column + width])
    return tile


def _store(out: Any, row: int, column: int, acc: Any) -> None:
    result = nl.ndarray((P, N), dtype=out.dtype, buffer=nl.sbuf)
    nisa.tensor_copy(dst=result, src=acc)
    nisa.dma_copy(dst=out[row : row + P, column : column + N], src=result)
