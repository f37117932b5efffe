"""Small kernels in the first dialect for its tests; loaded by path, as a user's file is."""

import neuronxcc.nki as nki
import neuronxcc.nki.compiler as ncc
import neuronxcc.nki.isa as nisa
import neuronxcc.nki.language as nl
import numpy as np
from neuronxcc.nki.language import par_dim
from neuronxcc.nki.typing import tensor


def saved(tile):
    out = nl.ndarray(tile.shape, dtype=tile.dtype, buffer=nl.shared_hbm)
    nl.store(out, value=tile)
    return out


@nki.jit
def placed(x, y):
    tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    tile[...] = nl.add(nl.load(x), nl.load(y))
    return saved(tile)


@nki.jit
def operators(x, y):
    a, b = nl.load(x), nl.load(y)
    return saved((2.0 - a) * b / 4 + nl.exp(a) - (-b))


@nki.jit
def overwritten(x):
    tile = nl.ndarray(x.shape, dtype=x.dtype)
    first = nl.multiply(nl.load(x), 2)
    tile[...] = first
    tile[...] = nl.add(tile, 1)
    return saved(first)


@nki.jit
def masked(x):
    rows, columns = x.shape
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    i_p, i_f = nl.arange(128)[:, None], nl.arange(columns)[None, :]
    for i in nl.affine_range(-(-rows // 128)):
        inside = i * 128 + i_p < rows
        tile = nl.load(x[i * 128 + i_p, i_f], mask=inside)
        peak = nl.max(tile, axis=[1], keepdims=True, mask=inside)
        nl.store(out[i * 128 + i_p, i_f], value=nl.subtract(tile, peak, mask=inside), mask=inside)
    return out


@nki.jit
def causal(x):
    i_p, i_f = nl.mgrid[0:128, 0:128]
    tile = nl.zeros((128, 128), dtype=x.dtype)
    tile[i_p, i_f] = nl.copy(nl.load(x), mask=i_p >= i_f)
    return saved(tile)


@nki.jit
def selected(x):
    i_p, i_f = nl.mgrid[0:128, 0:128]
    tile = nisa.affine_select(
        pred=(i_p >= i_f), on_true_tile=nl.load(x), on_false_value=-1.0, dtype=nl.float32
    )
    return saved(tile)


@nki.jit
def outside(x):
    i_p, i_f = nl.arange(128)[:, None], nl.arange(64)[None, :]
    return saved(nl.load(x[i_p + 1, i_f]))


@nki.jit
def pairs_swapped(x):
    i_p = nl.arange(4)[:, None, None]
    outer, inner = nl.arange(3)[None, :, None], nl.arange(2)[None, None, :]
    tile = nl.load(x)
    turned = nl.ndarray(tile.shape, dtype=tile.dtype)
    turned[i_p, inner * 3 + outer] = nl.copy(tile[i_p, outer * 2 + inner])
    return saved(turned)


@nki.jit
def pooled(x):
    p, i, a, j, b = nl.mgrid[0:4, 0:3, 0:2, 0:3, 0:2]
    tile: tensor[4, 6, 6] = nl.load(x)
    return saved(nl.sum(tile[p, 2 * i + a, 2 * j + b], axis=[2, 4]) / 4)


@nki.jit
def blocked_matmul(lhs_t, rhs):
    depth, rows = lhs_t.shape
    left = nl.ndarray((depth // 128, par_dim(128), rows), dtype=lhs_t.dtype, buffer=nl.sbuf)
    i_p, i_f = nl.mgrid[0:128, 0:rows]
    total = nl.zeros((rows, rhs.shape[1]), nl.float32, buffer=nl.psum)
    for k in nl.affine_range(depth // 128):
        left[k, i_p, i_f] = nl.load(lhs_t[k * 128 + i_p, i_f])
        right = nl.load(rhs[nl.ds(k * 128, 128), :])
        total += nl.matmul(left[k], right, transpose_x=True)
    return saved(nl.copy(total, dtype=lhs_t.dtype))


@nki.jit
def plain_matmul(x, y):
    return saved(nl.copy(nl.matmul(nl.load(x), nl.load(y))))


@nki.jit
def bias_added(x, bias):
    return saved(nl.load(x) + nl.load(bias).broadcast_to(x.shape))


@nki.jit
def largest(x):
    parts = nl.ndarray((4, par_dim(128), 1), dtype=x.dtype)
    best = nl.ndarray((par_dim(128), 1), dtype=x.dtype)
    i_p = nl.arange(128)[:, None]
    for i in nl.affine_range(4):
        tile = nl.load(x[:, nl.ds(i * 16, 16)])
        parts[i, i_p, 0] = nisa.tensor_reduce(np.max, data=tile, axis=(1,))
        best[i_p, 0] = nl.loop_reduce(parts[i, i_p, 0], op=np.max, loop_indices=[i])
    return saved(best)


@nki.jit
def folded_at_once(x):
    for i in nl.affine_range(2):
        total = nl.loop_reduce(nl.load(x[:, nl.ds(i * 16, 16)]), op=np.add, loop_indices=[i]) * 2
    return saved(total)


@nki.jit
def on_grid(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    i_p = nl.program_id(0) * 128 + nl.arange(128)[:, None]
    i_f = nl.program_id(1) * 64 + nl.arange(64)[None, :]
    nl.store(out[i_p, i_f], value=nl.load(x[i_p, i_f]) * 2)
    return out


def launched(x):
    return on_grid[x.shape[0] // 128, x.shape[1] // 64](x)


def on_two_cores(x):
    return on_grid[nl.spmd_dim(x.shape[0] // 256, nl.nc(2)), x.shape[1] // 64](x)


@ncc.skip_middle_end_transformations
@nki.baremetal(additional_compile_opt="--flag")
def allocated(x):
    tiles = nl.ndarray(
        (4, par_dim(128), 64), dtype=x.dtype, buffer=ncc.sbuf.mod_alloc(base_addr=1024, num_free_tiles=(2,))
    )
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    for i in nl.affine_range(4):
        tiles[i] = nl.load(x[:, nl.ds(i * 64, 64)])
        nl.store(out[:, nl.ds(i * 64, 64)], value=tiles[i])
    return out


@nki.jit
def unknown(x):
    return nl.rand(x.shape, x.dtype)


@nki.jit
def indirect(x):
    tile = nl.load(x)
    return saved(tile[tile, 0])


@nki.jit
def transposed_parts(x):
    """Four transposes whose copies lie side by side."""
    tile = nl.load(x)
    turned = nl.ndarray((par_dim(128), 4, 128), dtype=x.dtype)
    for i in nl.affine_range(4):
        turned[:, i, :] = nisa.tensor_copy(nisa.nc_transpose(tile[:, nl.ds(i * 128, 128)]))
    return saved(turned.reshape((128, 512)))


@ncc.skip_middle_end_transformations
@nki.jit
def as_written(x):
    return transposed_parts(x)
