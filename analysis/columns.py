"""Columns of a profiler table as NumPy arrays, whatever is missing said plainly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

Tables = Mapping[str, pa.Table]
Array = np.ndarray[Any, Any]

# Neuron Explorer's and neuron-profile's own names for the engines, lower case.
_ENGINES = {
    "pe": "tensor",
    "tensormatrix": "tensor",
    "dve": "vector",
    "act": "scalar",
    "pool": "gpsimd",
    "sp": "sync",
}


def table(tables: Tables | None, name: str) -> pa.Table | None:
    """A table that is there and has rows, else None: Neuron Explorer writes no table without activity."""
    found = (tables or {}).get(name)
    return found if found is not None and found.num_rows else None


def integers(rows: pa.Table, name: str, missing: int = 0) -> Array:
    """An integer column, `missing` where it is null or absent."""
    if name not in rows.column_names:
        return np.full(rows.num_rows, missing, dtype=np.int64)
    column = rows.column(name).cast(pa.int64(), safe=False)
    return np.asarray(column.fill_null(missing).to_numpy(), dtype=np.int64)


def known(rows: pa.Table, name: str) -> Array:
    """Which rows have a value in a column."""
    if name not in rows.column_names:
        return np.zeros(rows.num_rows, dtype=bool)
    return np.asarray(rows.column(name).is_valid().to_numpy(zero_copy_only=False), dtype=bool)


@dataclass(frozen=True, slots=True)
class Texts:
    """A text column as its distinct `values` and, per row, which of them it holds."""

    values: tuple[str, ...]
    codes: Array

    def where(self, holds: Callable[[str], bool]) -> Array:
        """Which rows hold a value for which `holds` is true."""
        return np.asarray(np.array([holds(value) for value in self.values], dtype=bool)[self.codes])

    def among(self, *wanted: str) -> Array:
        """Which rows hold one of these values."""
        return self.where(set(wanted).__contains__)

    def any(self) -> bool:
        """Whether any row holds a text."""
        return any(self.values)


def texts(rows: pa.Table, name: str) -> Texts:
    """A text column, "" where it is null or absent."""
    if name not in rows.column_names or not rows.num_rows:
        return Texts(("",), np.zeros(rows.num_rows, dtype=np.int64))
    coded = rows.column(name).cast(pa.string()).fill_null("").combine_chunks().dictionary_encode()
    return Texts(tuple(coded.dictionary.to_pylist()), coded.indices.to_numpy().astype(np.int64))


def engines(rows: pa.Table) -> Texts:
    """The engine column in this project's words (`collectors.records.ENGINE_NAMES`)."""
    found = texts(rows, "engine")
    return Texts(tuple(_ENGINES.get(name.lower(), name.lower()) for name in found.values), found.codes)


def union(start: Array, end: Array) -> int:
    """Length of the union of half-open intervals."""
    return int(exclusive(start, end).sum())


def exclusive(start: Array, end: Array) -> Array:
    """Per interval, the part no earlier-starting interval covers, in the order given: sums to the union."""
    order = np.argsort(start, kind="stable")
    reached = np.maximum.accumulate(end[order])
    before = np.concatenate((start[order][:1], reached[:-1]))
    own = np.empty(len(start), dtype=np.int64)
    own[order] = np.maximum(reached - np.maximum(before, start[order]), 0)
    return own
