"""Whose an instruction or a transfer of a graph is: the place of every row, by its layer and source line.

Rows are read as numbers: a label (layer and line) is looked up once, however many rows carry it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
SELECT start_ts, end_ts, coalesce({engines}, {dma})::TINYINT AS engine,
       coalesce(pcore_idx, 0)::TINYINT AS core, coalesce(place.number, {nobody})::SMALLINT AS place,
       coalesce(hbm_read_bytes, 0) AS hbm_read, coalesce(hbm_write_bytes, 0) AS hbm_write,
       coalesce(raw_flops, 0) - coalesce(flops_transpose, 0) AS flops
FROM (SELECT *, {label} AS label {work}) LEFT JOIN place USING (label)
ORDER BY core, engine, start_ts, end_ts
"""
_TRANSFERS = """
SELECT start_ts, end_ts, coalesce(transfer_bytes, 0) AS moved, {descriptors} AS descriptors,
       coalesce(place.number, {nobody})::SMALLINT AS place
FROM (SELECT *, {label} AS label FROM {table}) LEFT JOIN place USING (label)
"""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows of instructions at work, and of transfers, with the number of each one's place in `places`.

    The last place is `NOBODY`. `transfers` is None where the profile has none.
    """

    places: tuple[Place, ...]
    rows: pa.Table
    of: Small
    transfers: pa.Table | None
    carries: Small

    def at_work(self, number: int, engine: str | None = None) -> Covered:
        """When a place's instructions worked, on one engine or on any."""
        mine = self.of == number
        if engine is not None:
            mine &= self.rows["engine"].to_numpy() == ENGINE_NAMES.index(engine)
        return Covered.of(*(self.rows[name].to_numpy()[mine] for name in ("start_ts", "end_ts")))

    def sums(self, number: int) -> Mapping[str, int]:
        """Instructions of a place, their HBM bytes and FLOPs (without transposes)."""
        mine = self.of == number
        found = {name: int(self.rows[name].to_numpy()[mine].sum()) for name in SUMMED}
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
        query = f"SELECT DISTINCT {carried} AS label FROM {TRANSFERS}"  # noqa: S608 (own names)
        moved = _places(ask, query, phase) if carried else {}
        places = (*dict.fromkeys(own.values()), NOBODY)
        ask.connection.register("place", _numbers({**moved, **own}, places))
        given = {"nobody": len(places) - 1, "engines": _ENGINES, "dma": ENGINE_NAMES.index("dma")}
        found = _whole(ask(_ROWS.format(label=label, work=_WORK, **given)))
        transfers = None
        if carried:
            descriptors = _or_null(rows, TRANSFERS, "descriptors")
            query = _TRANSFERS.format(label=carried, table=TRANSFERS, descriptors=descriptors, **given)
            transfers = _whole(ask(query))
    of = _between(found, found["place"].to_numpy(), len(places) - 1)
    carries = np.zeros(0, np.int16) if transfers is None else transfers["place"].to_numpy()
    return Labelled(places, found, of, transfers, carries)


def _whole(rows: pa.Table) -> pa.Table:
    return rows.combine_chunks()


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


def _between(rows: pa.Table, of: Small, nobody: int) -> Small:
    """Instructions of nobody between two of one place on the same engine are that place's: engines are in
    order, and a helper in a file of its own is inlined into its kernel.
    """
    lane = rows["engine"].to_numpy().astype(np.int16) * 128 + rows["core"].to_numpy()
    known, at = of != nobody, np.arange(len(of))
    before = np.maximum.accumulate(np.where(known, at, -1))
    after = np.minimum.accumulate(np.where(known, at, len(of))[::-1])[::-1]
    inside = np.flatnonzero(~known & (before >= 0) & (after < len(of)))
    a, b = before[inside], after[inside]
    same = (of[a] == of[b]) & (lane[a] == lane[inside]) & (lane[b] == lane[inside])
    filled = of.copy()
    filled[inside[same]] = of[a[same]]
    return filled
