"""What every reader of a profile returns, before it becomes a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from collectors.readers.fp32 import Fp32
from collectors.records import Scan

Rows = Mapping[str, pa.Table | Scan]
Watch = Callable[[str, int, int], None]
"""Told as reading goes on: the file's name, bytes done, bytes in all."""


def unwatched(name: str, done: int, total: int) -> None:
    """A watch nobody looks at."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One profile as its file tells it: the untranslated summary, and rows in the store's columns.

    `window_ns` is (first start, last end) of the rows that execution time counts, on the profile's own clock;
    None without rows. `tables`, and `scans` of tables that stay in their files, still carry the profile's own
    clock; `placed(scans, origin_ns)` is what the store is to read of them. `fp32` are the FLOPs of matrix
    multiplications in fp32, where they are counted twice and rows tell them. `constants` is the profiler's
    own Metadata.
    """

    identity: str
    name: str
    format: str
    summary: Mapping[str, Any]
    constants: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    scans: Mapping[str, Scan] = field(default_factory=dict)
    window_ns: tuple[int, int] | None = None
    fp32: Fp32 = field(default_factory=Fp32)
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> Rows:
        """Every table, wherever its rows are; `collectors.readers.sql.asking` answers SQL over them."""
        return {**self.tables, **self.scans}

    @property
    def version(self) -> str:
        """The profiler's version as it writes it, "" when it does not."""
        return str(self.summary.get("profiler_version") or self.constants.get("explorer_version") or "")


@dataclass(frozen=True, slots=True)
class Events:
    """Totals of a session's trace events by name: `count`, and `total_ns` where the file has times."""

    identity: str
    name: str
    format: str
    totals: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
