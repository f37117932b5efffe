"""Whose an instruction or a transfer of a graph is: the place of every row, by its layer and source line.

Rows are read as numbers: a label (layer and line) is looked up once, however many rows carry it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collectors.readers.opcodes import NOT_EXECUTION
from collectors.readers.reading import Rows
from collectors.readers.rows import Covered, count
from collectors.readers.slots import UNATTRIBUTED, Place, place
from collectors.readers.sql import Ask, asking
from collectors.records import ENGINE_NAMES, Phase, Scan

Index = npt.NDArray[np.int64]
Small = npt.NDArray[np.int16]
NOBODY = Place((UNATTRIBUTED,), "measured", nki=False)
TRANSFERS = "DmaPacketAggregated"
SUMMED = ("hbm_read", "hbm_write", "flops")

_CONTROL = ", ".join(f"'{opcode}'" for opcode in sorted(NOT_EXECUTION))
_WORK = f"FROM Instruction WHERE opcode NOT IN ({_CONTROL})"
_LABEL = "coalesce({layer}, '') || chr(1) || coalesce({source}, '')"
_ENGINES = "CASE engine " + " ".join(f"WHEN '{n}' THEN {i}" for i, n in enumerate(ENGINE_NAMES)) + " END"
_ROWS = """
SELECT start_ts, end_ts, coalesce({engines}, {dma}) AS engine, coalesce(pcore_idx, 0) AS core,
       coalesce(place.number, {nobody}) AS place, coalesce(hbm_read_bytes, 0) AS hbm_read,
       coalesce(hbm_write_bytes, 0) AS hbm_write,
       coalesce(raw_flops, 0) - coalesce(flops_transpose, 0) AS flops
FROM (SELECT *, {label} AS label {work}) LEFT JOIN place USING (label)
"""
_CARRIED = """
CREATE TABLE carried AS
SELECT start_ts, end_ts, coalesce(transfer_bytes, 0) AS moved, coalesce({descriptors}, -1) AS descriptors,
       {label} AS label
FROM {table}
"""
"""Once: what says whose a transfer is may be a join over all rows."""
_TRANSFERS = """
SELECT carried.* EXCLUDE (label), coalesce(place.number, {nobody}) AS place
FROM carried LEFT JOIN place USING (label)
"""
_TYPES = {"engine": np.int8, "core": np.int8, "place": np.int16}
"""Of columns that are no 64-bit integers."""
Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows of instructions at work, and of transfers, with the number of each one's place in `places`.

    The last place is `NOBODY`. `transfers` is None where the profile has none; their `descriptors` are -1
    where packets are not known.
    """

    places: tuple[Place, ...]
    rows: Columns
    of: Small
    transfers: Columns | None

    def at_work(self, number: int, engine: str | None = None) -> Covered:
        """When a place's instructions worked, on one engine or on any."""
        mine = self.of == number
        if engine is not None:
            mine &= self.rows["engine"] == ENGINE_NAMES.index(engine)
        return Covered.of(*(self.rows[name][mine] for name in ("start_ts", "end_ts")))

    def sums(self, number: int) -> Mapping[str, int]:
        """Instructions of a place, their HBM bytes and FLOPs (without transposes)."""
        mine = self.of == number
        found = {name: int(self.rows[name][mine].sum()) for name in SUMMED}
        return {"rows": int(mine.sum()), **found}


def labelled(rows: Rows, phase: Phase | None, *, least: int) -> Labelled | None:
    """The rows of a graph of `phase` (None: not known); None when its instructions name fewer slots than
    `least`.
    """
    if not count(rows, "Instruction"):
        return None
    label = _LABEL.format(layer="layer", source=_or_null(rows, "Instruction", "nki_source_location"))
    carried = _label_of_transfers(rows)
    with asking(rows) as ask:
        own = _places(ask, f"SELECT DISTINCT {label} AS label {_WORK} ORDER BY 1", phase)
        if len({each.slot for each in own.values()}) < least:
            return None
        moved: dict[str, Place] = {}
        if carried:
            descriptors = _or_null(rows, TRANSFERS, "descriptors")
            ask.run(_CARRIED.format(label=carried, table=TRANSFERS, descriptors=descriptors))
            moved = _places(ask, "SELECT DISTINCT label FROM carried", phase)
        places = (*dict.fromkeys(own.values()), NOBODY)
        ask.connection.register("numbers", _numbers({**moved, **own}, places))
        ask.run("CREATE TABLE place AS FROM numbers")  # its size is known then: joins build on it
        given = {"nobody": len(places) - 1, "engines": _ENGINES, "dma": ENGINE_NAMES.index("dma")}
        found = _columns(ask, _ROWS.format(label=label, work=_WORK, **given), _WORK)
        transfers = _columns(ask, _TRANSFERS.format(**given), "FROM carried") if carried else None
    return Labelled(places, found, _between(found, len(places) - 1), transfers)


def _columns(ask: Ask, query: str, rows: str) -> Columns:
    """An answer, a row for each of `rows`, as arrays filled batch by batch: held once, and in few bytes."""
    [size] = ask(f"SELECT count(*) AS size {rows}")["size"].to_pylist()
    found: dict[str, npt.NDArray[Any]] = {}
    at = 0
    for batch in ask.batches(query):
        for name in batch.column_names:
            column = found.setdefault(name, np.empty(size, _TYPES.get(name, np.int64)))
            column[at : at + batch.num_rows] = batch[name].to_numpy()
        at += batch.num_rows
    return found


def _label_of_transfers(rows: Rows) -> str | None:
    """SQL of a transfer's label; its variable's name stands in where no layer is known. None without any."""
    if not count(rows, TRANSFERS):
        return None
    layer, source = (_or_null(rows, TRANSFERS, name) for name in ("layer", "nki_source_location"))
    return _LABEL.format(layer=f"nullif({layer}, 'Unknown'), variable", source=source)


def _or_null(rows: Rows, table: str, name: str) -> str:
    """The column, or NULL where the format has none."""
    found = rows[table]
    names = found.columns if isinstance(found, Scan) else found.column_names
    return name if name in names else "NULL::VARCHAR"


def _places(ask: Ask, query: str, phase: Phase | None) -> dict[str, Place]:
    """The place of every label that has one."""
    labels = ask(query)["label"].to_pylist()
    found = {label: _place(label, phase) for label in labels}
    return {label: each for label, each in found.items() if each is not None}


def _place(label: str, phase: Phase | None) -> Place | None:
    layer, _, source = label.partition(chr(1))
    return place(layer, source, phase)


def _numbers(known: Mapping[str, Place], places: tuple[Place, ...]) -> pa.Table:
    """Labels with the number of their place; a transfer's place without an instruction is nobody's."""
    numbers = {label: places.index(each) for label, each in known.items() if each in places}
    return pa.table(
        {"label": pa.array(numbers, pa.string()), "number": pa.array(numbers.values(), pa.int16())}
    )


def _between(rows: Columns, nobody: int) -> Small:
    """Instructions of nobody between two of one place on the same engine are that place's: engines are in
    order, and a helper in a file of its own is inlined into its kernel.
    """
    lane = rows["engine"].astype(np.int16) * 128 + rows["core"]
    order = np.lexsort((rows["start_ts"], lane))
    of, lane = rows["place"][order], lane[order]
    known, at = of != nobody, np.arange(len(of), dtype=np.int32)
    before = np.maximum.accumulate(np.where(known, at, -1))
    after = np.minimum.accumulate(np.where(known, at, len(of))[::-1])[::-1]
    inside = np.flatnonzero(~known & (before >= 0) & (after < len(of)))
    a, b = before[inside], after[inside]
    same = (of[a] == of[b]) & (lane[a] == lane[inside]) & (lane[b] == lane[inside])
    filled = rows["place"].copy()
    filled[order[inside[same]]] = of[a[same]]
    return filled
