"""Small kernels that call functions of nki.language on tiles; loaded by path, as a user's file is."""

import nki
import nki.isa as nisa
import nki.language as nl


def saved(tile):
    out = nl.ndarray(tile.shape, dtype=tile.dtype, buffer=nl.shared_hbm)
    if tile.buffer == nl.psum:
        copy = nl.ndarray(tile.shape, dtype=tile.dtype, buffer=nl.sbuf)
        nisa.tensor_copy(dst=copy, src=tile)
        tile = copy
    nisa.dma_copy(dst=out, src=tile)
    return out


@nki.jit
def one(x, name):
    return saved(getattr(nl, name)(nl.load(x)))


@nki.jit
def over(x, name, axis, keepdims):
    return saved(getattr(nl, name)(nl.load(x), axis, keepdims=keepdims))


@nki.jit
def softmax(x, axis):
    return saved(nl.softmax(nl.load(x), axis=axis))


@nki.jit
def every(x):
    return saved(nl.all(nl.load(x), axis=1))


@nki.jit
def rms_norm(x, w):
    weight = nl.load(w.broadcast(0, x.shape[0]))
    return saved(nl.rms_norm(nl.load(x), weight, axis=1, n=x.shape[1], epsilon=1e-6))


@nki.jit
def where(condition, x):
    return saved(nl.where(nl.load(condition), nl.load(x), -1.0))


@nki.jit
def matmul(x, y, transpose_x):
    return saved(nl.matmul(nl.load(x), nl.load(y), transpose_x=transpose_x))


@nki.jit
def load_transposed(x):
    return saved(nl.load_transpose2d(x))


@nki.jit
def gathered(x, indices):
    return saved(nl.gather_flattened(nl.load(x), nl.load(indices)))


@nki.jit
def dropped(x, rate):
    return saved(nl.dropout(nl.load(x), rate))


@nki.jit
def drawn_twice(seed, columns):
    state = nl.load(seed)
    nl.random_seed(state)
    first = nl.rand((128, columns), dtype=nl.float32)
    more = nl.rand((128, columns), dtype=nl.float32)
    nl.random_seed(state)
    again = nl.rand((128, columns), dtype=nl.float32)
    return saved(first), saved(more), saved(again)


@nki.jit
def between(low, high):
    tile = nl.ndarray((128, 64), dtype=nl.float32, buffer=nl.sbuf)
    nisa.rand2(dst=tile, min=nl.load(low), max=high)
    return saved(tile)


@nki.jit
def continued(state):
    words = nl.load(state)
    nisa.rand_set_state(words)
    first = nl.ndarray((128, 8), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.rng(first, engine=nisa.engine.gpsimd)
    kept = nl.ndarray((128, 6), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.rand_get_state(kept)
    more = nl.ndarray((128, 8), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.rng(more, engine=nisa.engine.gpsimd)
    nisa.rand_set_state(kept)
    again = nl.ndarray((128, 8), dtype=nl.uint32, buffer=nl.sbuf)
    nisa.rng(again, engine=nisa.engine.gpsimd)
    return saved(first), saved(more), saved(again)


@nki.jit
def floats_from_rng(x):
    tile = nl.ndarray(x.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.rng(tile)
    return saved(tile)


@nki.jit
def halves(x, buffer):
    rows = x.shape[0] // nl.num_programs()
    mine = nl.ds(nl.program_id(0) * rows, rows)
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=getattr(nl, buffer))
    nisa.dma_copy(dst=out[mine, :], src=nl.load(x[mine, :]))
    return out


@nki.jit
def misread_axis(x):
    total = nl.ndarray((x.shape[0], 1), dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_reduce(dst=total, op=nl.add, data=nl.load(x), axis=1)
    return saved(total)


@nki.jit
def whole_psum(x, y):
    acc = nl.ndarray((x.shape[1], y.shape[1]), dtype=nl.float32, buffer=nl.psum)
    nisa.nc_matmul(dst=acc, stationary=nl.load(x), moving=nl.load(y))
    tile = nl.ndarray(acc.shape, dtype=nl.float32, buffer=nl.sbuf)
    nisa.tensor_copy(dst=tile, src=acc, dtype=nl.bfloat16)
    return saved(tile)


@nki.jit
def every_second(x):
    rows, columns = x.shape
    tile = nl.load(x)
    return saved(tile.ap(pattern=[[columns, rows], [2, columns // 2]], offset=1))
