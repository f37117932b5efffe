"""Collectives whose sizes are data: `all_gather_v` and `all_to_all_v`, over tensors as flat buffers.

Rows of the metadata are counts sent, where they begin, counts received (written unless they are known), and
where they go. Source: the API pages of NKI 0.6, nki.collectives.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.nki.numerics import store
from simulator.nki.replica_groups import ReplicaGroup, members_of
from simulator.nki.rules import refuse
from simulator.nki.tensor import NkiTensor
from simulator.nki.together import Array, Brought, Tensors, bytes_of, check_operands, together
from simulator.nki.tracer import Handle, current


def all_gather_v(
    srcs: Tensors,
    dsts: Tensors,
    replica_group: ReplicaGroup,
    metadata_tensor: NkiTensor,
    recv_counts_known: bool = False,
    has_rdispls: bool = False,
    priority: int | None = None,
    name: str | None = None,
) -> Handle:
    """One piece of each rank's src, of a length its metadata says, to every rank's dst."""
    given = (srcs, dsts, replica_group, metadata_tensor, recv_counts_known, has_rdispls, priority, name)
    return _ragged("all_gather_v", *given, column=lambda _: 0)


def all_to_all_v(
    srcs: Tensors,
    dsts: Tensors,
    replica_group: ReplicaGroup,
    metadata_tensor: NkiTensor,
    recv_counts_known: bool = False,
    has_rdispls: bool = False,
    priority: int | None = None,
    name: str | None = None,
) -> Handle:
    """A piece of each rank's src to each rank's dst, of lengths their metadata says."""
    given = (srcs, dsts, replica_group, metadata_tensor, recv_counts_known, has_rdispls, priority, name)
    return _ragged("all_to_all_v", *given, column=lambda place: place)


def _ragged(
    call: str,
    srcs: Tensors,
    dsts: Tensors,
    group: ReplicaGroup,
    metadata: NkiTensor,
    known: bool,
    placed: bool,
    priority: int | None,
    name: str | None,
    *,
    column: Any,
) -> Handle:
    check_operands(call, srcs, dsts, priority, memories=("hbm",), single=True)
    launch = current().launch
    members = members_of(launch, call, group)
    place = members.index(launch.rank)
    rows = _rows(call, metadata, len(members), placed)

    def give(brought: Brought, _: int, dst: NkiTensor) -> Array:
        filled = dst.array.reshape(-1).copy()
        for sender, member in enumerate(members):
            values, theirs = brought[member]
            table = theirs.reshape(-1, len(members))
            count, begin = (int(table[row, column(place)]) for row in (0, 1))
            at = int(rows[3, sender]) if placed else filled.size // len(members) * sender
            _check_fits(call, values.size, begin, count)
            _check_fits(call, filled.size, at, count)
            filled[at : at + count] = values.reshape(-1)[begin : begin + count]
            rows[2, sender] = count
        if not known:
            store(metadata, rows)
        return filled

    return together(call, members, [*srcs, metadata], dsts, give, name, bytes_of(srcs))


def _rows(call: str, metadata: NkiTensor, count: int, placed: bool) -> Array:
    """The metadata as [rows, ranks]; it is (rows, ranks) in HBM, (1, rows, ranks) in SBUF, of uint32."""
    shape = (4 if placed else 3, count)
    wanted = shape if metadata.storage.memory == "hbm" else (1, *shape)
    if metadata.shape not in (wanted, (*wanted[:-2], 4, count)) or metadata.dtype != np.uint32:
        raise refuse(
            "collective-metadata",
            f"{call} with metadata of {metadata.dtype.name} {metadata.shape}",
            f"give uint32 of {wanted}",
        )
    return np.array(metadata.array).reshape(-1, count)


def _check_fits(call: str, size: int, begin: int, count: int) -> None:
    if begin + count > size:
        raise refuse(
            "bounds",
            f"{call} moves elements {begin} to {begin + count} of a tensor of {size}",
            "check counts and displacements in the metadata",
        )
