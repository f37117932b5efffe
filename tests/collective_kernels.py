"""Kernels that work with other ranks; loaded by path, as a user's file is."""

import nki
import nki.collectives as ncc
import nki.isa as nisa
import nki.language as nl


def _out(shape, dtype):
    return nl.ndarray(shape, dtype=dtype, buffer=nl.shared_hbm)


def _brought(x):
    own = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=own, src=x)
    return own


@nki.jit
def reduced(x, groups, op="add"):
    out = _out(x.shape, x.dtype)
    ncc.all_reduce(srcs=[_brought(x)], dsts=[out], replica_group=ncc.ReplicaGroup(groups), op=getattr(nl, op))
    return out


@nki.jit
def gathered(x, groups):
    out = _out((x.shape[0] * len(groups[0]), x.shape[1]), x.dtype)
    ncc.all_gather([_brought(x)], [out], ncc.ReplicaGroup(groups), 0)
    return out


@nki.jit
def gathered_on_chip(x, groups):
    tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x)
    wide = nl.ndarray((x.shape[0], x.shape[1] * len(groups[0])), dtype=x.dtype, buffer=nl.sbuf)
    ncc.all_gather([tile], [wide], ncc.ReplicaGroup(groups), 1)
    out = _out(wide.shape, x.dtype)
    nisa.dma_copy(dst=out, src=wide)
    return out


@nki.jit
def scattered(x, groups):
    out = _out((x.shape[0] // len(groups[0]), x.shape[1]), x.dtype)
    ncc.reduce_scatter([_brought(x)], [out], ncc.ReplicaGroup(groups), 0, nl.add)
    return out


@nki.jit
def exchanged(x, groups):
    out = _out(x.shape, x.dtype)
    ncc.all_to_all([_brought(x)], [out], ncc.ReplicaGroup(groups), 0)
    return out


@nki.jit
def permuted(x, pairs):
    out = _out(x.shape, x.dtype)
    nisa.dma_copy(dst=out, src=x)
    ncc.collective_permute([_brought(x)], [out], pairs)
    return out


@nki.jit
def ring_gathered(x, groups):
    """What every rank brought, by its number, one step of the ring at a time."""
    ranks = len(groups[0])
    group = ncc.ReplicaGroup(groups)
    out = _out((ranks, *x.shape), x.dtype)
    held = _brought(x)
    for step in range(ranks):
        whose = ncc.collective_permute_implicit_current_processing_rank_id(step, group)
        size = x.shape[0] * x.shape[1]
        nisa.dma_copy(
            dst=out.ap(pattern=[[x.shape[1], x.shape[0]], [1, x.shape[1]]], offset=0, scalar_offset=whose),
            src=held,
        )
        assert size
        received = _out(x.shape, x.dtype)
        ncc.collective_permute_implicit([[held]], [[received]], group)
        held = received
    return out


@nki.jit
def reduced_from_before(x, y, groups):
    out = _out(x.shape, x.dtype)
    ncc.collective_permute_implicit_reduce(
        [[_brought(x)]], [[_brought(y)]], [[out]], ncc.ReplicaGroup(groups), nl.maximum
    )
    return out


@nki.jit
def numbered(x):
    out = _out((1, 1), nl.int32)
    tile = nl.ndarray((1, 1), dtype=nl.int32, buffer=nl.sbuf)
    nisa.register_store(tile, ncc.rank_id())
    nisa.dma_copy(dst=out, src=tile)
    return out


@nki.jit
def out_of_step(x, groups):
    out, group = _out(x.shape, x.dtype), ncc.ReplicaGroup(groups)
    if int(ncc.rank_id()) == 0:
        ncc.all_reduce([_brought(x)], [out], group, nl.add)
    return out


@nki.jit
def ragged(x, metadata, groups, everyone_alike, displaced=False):
    out = _out((2 * x.shape[0],), x.dtype)
    zeros = nl.zeros((1, 2 * x.shape[0]), dtype=x.dtype)
    nisa.dma_copy(dst=out.reshape((1, 2 * x.shape[0])), src=zeros)
    table = nl.ndarray(metadata.shape, dtype=metadata.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=table, src=metadata)
    call = ncc.all_gather_v if everyone_alike else ncc.all_to_all_v
    call([_brought(x)], [out], ncc.ReplicaGroup(groups), table, has_rdispls=displaced)
    return out, table


@nki.jit
def bad(x, how):
    group, out = ncc.ReplicaGroup([[0, 1]]), _out(x.shape, x.dtype)
    if how == "psum":
        there = nl.ndarray(x.shape, dtype=nl.float32, buffer=nl.psum)
        ncc.all_reduce([there], [there], group, nl.add)
    elif how == "mixed":
        there = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
        ncc.all_reduce([_brought(x)], [there], group, nl.add)
    elif how == "op":
        ncc.all_reduce([_brought(x)], [out], group, nl.multiply)
    elif how == "dim":
        ncc.all_gather([_brought(x)], [out], group, 1)
    elif how == "shape":
        ncc.all_gather([_brought(x)], [out], group, 0)
    elif how == "twice":
        ncc.collective_permute([_brought(x)], [out], [(0, 1), (1, 1)])
    elif how == "group":
        ncc.all_reduce([_brought(x)], [out], ncc.ReplicaGroup([[0, 1], [1, 2]]), nl.add)
    elif how == "outsider":
        ncc.all_reduce([_brought(x)], [out], ncc.ReplicaGroup([[0]]), nl.add)
    return out
