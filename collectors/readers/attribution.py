"""The time of a whole graph, divided among the slots of the model.

Engines work at once, so durations do not add up to time. Every moment of the execution belongs to the slots
whose instructions are at work in it, in equal parts; a moment when nothing works belongs to the work that
starts next, because that was waited for. The parts sum to the execution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collectors.readers.files import digest
from collectors.readers.opcodes import NOT_EXECUTION
from collectors.readers.rows import union_ns
from collectors.readers.slots import UNATTRIBUTED, Place, place
from collectors.readers.sql import asking
from collectors.records import ENGINE_NAMES, Launch, Phase, Profile, Run

Times = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]
NOBODY = Place((UNATTRIBUTED,), "measured", nki=False)
BASIS = "a part of one execution of the graph: the moments in which this slot's instructions work or are next"

_CONTROL = ", ".join(f"'{opcode}'" for opcode in sorted(NOT_EXECUTION))
_LABEL = "coalesce(layer, '') || chr(1) || coalesce({source}, '')"
_WORK = f"FROM Instruction WHERE opcode NOT IN ({_CONTROL})"
_LABELS = f"SELECT DISTINCT {_LABEL} AS label {_WORK} ORDER BY 1"
_ROWS = f"""
SELECT start_ts, end_ts, engine, coalesce(pcore_idx, 0) AS core, {_LABEL} AS label,
       coalesce(hbm_read_bytes, 0) AS hbm_read, coalesce(hbm_write_bytes, 0) AS hbm_write,
       coalesce(raw_flops, 0) - coalesce(flops_transpose, 0) AS flops
{_WORK} ORDER BY core, engine, start_ts, end_ts
"""


@dataclass(frozen=True, slots=True)
class _Labelled:
    """Rows of instructions and, for each, the number of its place in `places`."""

    rows: pa.Table
    places: tuple[Place, ...]
    of: Index


def attributed(run: Run, phase: Phase | None, *, whole: bool = False) -> Run:
    """The run of one graph with a launch per slot, and one for what no slot claims.

    A profile that names fewer than two slots is a single kernel's and stays as it is, unless `whole` says
    that it is a model's graph. Without rows of instructions a graph is one unattributed launch. A run that
    was divided before stays as it is.
    """
    if len(run.launches) != 1 or (profile := run.profiles.get(run.launches[0].profile_id or "")) is None:
        return run
    if run.launches[0].slot == UNATTRIBUTED:
        return run
    known = _places(profile, phase)
    named = len({each.slot for each in known.values()} - {UNATTRIBUTED})
    if named < 2 and not whole:
        return run
    if not named:
        rest = replace(
            run.launches[0], slot=UNATTRIBUTED, covers=(UNATTRIBUTED,), variant="measured", nki=False
        )
        return _said(replace(run, launches=(replace(rest, phase=phase or rest.phase),)), 1.0)
    return _divided(run, profile, _labelled(profile, known), phase)


def shares_ns(start: Times, end: Times, of: Index, places: int, bounds: tuple[float, float]) -> Times:
    """Time of each place within the bounds; what follows the last instruction is the last place's.

    `of` numbers the place of every interval [start, end), from 0 to `places` - 1.
    """
    start, end = np.clip(start, *bounds), np.clip(end, *bounds)
    edges = np.unique(np.concatenate((start, end, np.asarray(bounds, np.float64))))
    active = np.zeros((places, len(edges) - 1), bool)
    for number in range(places):
        mine = of == number
        change = np.zeros(len(edges), np.int64)
        np.add.at(change, np.searchsorted(edges, start[mine]), 1)
        np.add.at(change, np.searchsorted(edges, end[mine]), -1)
        active[number] = np.cumsum(change)[:-1] > 0
    owner = _next_busy(np.asarray(active.any(axis=0)))
    tail = owner == active.shape[1]
    active = active[:, np.where(tail, 0, owner)]
    active[:, tail] = False
    active[-1, tail] = True
    return np.asarray((np.diff(edges) * active / active.sum(axis=0)).sum(axis=1))


def _next_busy(busy: npt.NDArray[np.bool_]) -> Index:
    """For every segment the first one at or after it that is busy; their number where there is none."""
    at = np.where(busy, np.arange(len(busy)), len(busy))
    return np.minimum.accumulate(at[::-1])[::-1]


def _places(profile: Profile, phase: Phase | None) -> Mapping[str, Place]:
    """The place of every label the profile's instructions have; empty without rows."""
    labels = _asked(profile, _LABELS)
    names = [] if labels is None else labels["label"].to_pylist()
    return {name: _place_of(name, phase) for name in names}


def _place_of(label: str, phase: Phase | None) -> Place:
    layer, _, source = label.partition(chr(1))
    return place(layer, source, phase) or NOBODY


def _asked(profile: Profile, query: str) -> pa.Table | None:
    """The answer of the profile's instructions; formats before sources of NKI have no column for them."""
    found = profile.tables.get("Instruction") or profile.scans.get("Instruction")
    if found is None:
        return None
    names = found.column_names if isinstance(found, pa.Table) else found.columns
    source = "nki_source_location" if "nki_source_location" in names else "NULL::VARCHAR"
    with asking({"Instruction": found}) as ask:
        return ask(query.format(source=source))


def _labelled(profile: Profile, known: Mapping[str, Place]) -> _Labelled:
    rows = _asked(profile, _ROWS)
    if rows is None:
        raise ValueError("a profile without instructions has no places")
    labels = rows["label"].combine_chunks().dictionary_encode()
    places = (*dict.fromkeys(each for each in known.values() if each != NOBODY), NOBODY)
    numbers = np.asarray([places.index(known[label]) for label in labels.dictionary.to_pylist()], np.int64)
    of = numbers[labels.indices.to_numpy(zero_copy_only=False)]
    return _Labelled(rows.drop_columns(["label"]), places, _between(rows, of, len(places) - 1))


def _between(rows: pa.Table, of: Index, nobody: int) -> Index:
    """Instructions of nobody between two of one place on the same engine are that place's: engines are in
    order, and a helper in a file of its own is inlined into its kernel.
    """
    coded = rows["engine"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    lane = np.asarray(coded, np.int64) * 2 + rows["core"].to_numpy()
    known = of != nobody
    before = np.maximum.accumulate(np.where(known, np.arange(len(of)), -1))
    after = np.minimum.accumulate(np.where(known, np.arange(len(of)), len(of))[::-1])[::-1]
    inside = ~known & (before >= 0) & (after < len(of))
    a, b = before[inside], after[inside]
    same = (of[a] == of[b]) & (lane[a] == lane[inside]) & (lane[b] == lane[inside])
    filled = of.copy()
    filled[np.flatnonzero(inside)[same]] = of[a][same]
    return filled


def _divided(run: Run, profile: Profile, found: _Labelled, phase: Phase | None) -> Run:
    start, end = (found.rows[name].to_numpy().astype(np.float64) for name in ("start_ts", "end_ts"))
    times = shares_ns(start, end, found.of, len(found.places), (0.0, float(profile.duration_ns)))
    whole = np.diff(np.round(np.cumsum(times)), prepend=0.0).astype(np.int64)
    launches, profiles = [], {profile.profile_id: profile}
    for number, (each, time_ns) in enumerate(zip(found.places, whole.tolist(), strict=True)):
        if not time_ns:
            continue
        own = profile
        if each != NOBODY:
            own = _part(profile, found.rows.filter(pa.array(found.of == number)), each, time_ns)
            profiles[own.profile_id] = own
        launches.append(_launch(each, own, time_ns, phase))
    rest = float(times[-1] / profile.duration_ns)
    divided = replace(run, launches=tuple(launches), profiles=profiles, kernels=_kernels(found.places))
    return _said(divided, rest)


def _part(profile: Profile, rows: pa.Table, place: Place, time_ns: int) -> Profile:
    """What the rows of one slot say; DMA is not a slot's, so the graph's own numbers of it are not kept."""
    return replace(
        profile,
        profile_id=digest(profile.profile_id, *place.covers, place.variant),
        kernel=place.slot,
        duration_ns=time_ns,
        interval_basis=BASIS,
        engines=_engines(rows, time_ns),
        hbm_read_bytes=int(rows["hbm_read"].to_numpy().sum()),
        hbm_write_bytes=int(rows["hbm_write"].to_numpy().sum()),
        dma_bytes=None,
        dma_transfers=None,
        dma_descriptors=None,
        macs=int(rows["flops"].to_numpy().sum()) // 2,
        instructions=rows.num_rows,
        raw={"graph": profile.profile_id},
        tables={},
        scans={},
    )


def _engines(rows: pa.Table, time_ns: int) -> Mapping[str, float | None]:
    always = (-(2**62), 2**62)
    spent = {
        name: union_ns(rows.filter(pc.equal(rows["engine"], name)), always) for name in ENGINE_NAMES[:-1]
    }
    return {name: None if name == "dma" else min(spent[name] / time_ns, 1.0) for name in ENGINE_NAMES}


def _launch(place: Place, profile: Profile, time_ns: int, phase: Phase | None) -> Launch:
    return Launch(
        slot=place.slot,
        covers=place.covers,
        variant=place.variant,
        phase=phase or "kernel",
        bucket=None,
        count=1,
        provenance="measured",
        time_ns=time_ns,
        low_ns=None,
        high_ns=None,
        macs=None if place == NOBODY else profile.macs,
        nki=place.nki,
        profile_id=profile.profile_id,
    )


def _kernels(places: Sequence[Place]) -> dict[str, str]:
    return {slot: each.variant for each in places if each != NOBODY for slot in each.covers}


def _said(run: Run, rest: float) -> Run:
    text = f"{rest:.1%} of the graph's time is unattributed: no source line or layer says which slot it is."
    return replace(run, warnings=(*run.warnings, *((text,) if rest >= 0.001 else ())))
