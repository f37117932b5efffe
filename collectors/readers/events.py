"""Totals of the runtime's trace events: how often something was done, and for how long in all.

A session's system record (`summary-json`, `summary-text`) has counts only. Tables without a header, made from
a session's trace, have times too, and come in two shapes, tab-separated:

    component  event  count  total ns
    NEFF  total  on the device  in the runtime  nc_exec_running  nrt_execute  kbl_exec_wait ns  count

In the public example of the second the columns sum to the rows of the first to the nanosecond.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collectors.errors import UnreadableInput
from collectors.readers.files import digest, text_of
from collectors.readers.reading import Events
from collectors.records import Artifact, Run, Sample

EVENT_LINE = re.compile(r"(neuron_\w+)\t(\w+)\t(\d+)\t(\d+)")
NEFF_LINE = re.compile(r"(\S+\.neff)" + r"\t(\d+)" * 7)
Make = Callable[[Sequence[str]], tuple[str, dict[str, int]]]
NEFF_COLUMNS = (
    "total_ns",
    "neuron_hw_ns",
    "neuron_rt_ns",
    "nc_exec_running_ns",
    "nrt_execute_ns",
    "kbl_exec_wait_ns",
    "count",
)
SUMMED = (
    "Event totals are sums over the session's cores and threads: they nest and overlap, so they are no parts "
    "of one time."
)
COUNTED = "The system record counts events without their times."


def read_event_totals(path: Path, sha256: str) -> list[Events]:
    """The totals of one file, by event or by NEFF. Raises `UnreadableInput`."""
    lines = [line.rstrip("\r") for line in text_of(path).split("\n") if line.strip()]
    for shape, made in ((EVENT_LINE, _event), (NEFF_LINE, _neff)):
        if shape.fullmatch(lines[0]):
            return [Events(sha256, path.stem, "event totals", _rows(path, lines, shape, made), (SUMMED,))]
    raise UnreadableInput(f"{path} has no event totals", "its first line is damaged: make the table anew")


def of_system(
    records: Mapping[str, Mapping[str, Any]], name: str, sha256: str, notes: Sequence[str]
) -> Events:
    """What system records count, by event."""
    totals = {
        event: {"count": count}
        for record in records.values()
        for event, count in _counts(record).items()
        if isinstance(count, int)
    }
    return Events(sha256, name, "system record", totals, (COUNTED, *notes), {"system": dict(records)})


def run_of_events(events: Events, artifacts: tuple[Artifact, ...]) -> Run:
    """A run that knows totals of events and no launch: mean times of events are its samples."""
    means = {
        name: row["total_ns"] / row["count"]
        for name, row in events.totals.items()
        if row.get("count") and "total_ns" in row and "nrt_execute_ns" not in row
    }
    return Run(
        run_id=digest("import", events.identity)[:32],
        session=digest("session", *(each.sha256 for each in artifacts))[:8],
        label=events.name,
        created_at=datetime.now(UTC),
        provenance="measured",
        backend="neuron",
        target="unknown",
        lnc=2,
        prompt=None,
        prompt_tokens=None,
        new_tokens=None,
        seq_len=None,
        batch=1,
        kernels={},
        accuracy=None,
        base_latency_ms=None,
        base_tokens_per_s=None,
        configuration={
            "imported": events.format,
            "kernel": "runtime events",
            "events": {name: dict(row) for name, row in events.totals.items()},
            **events.constants,
        },
        environment={},
        wall_s=0.0,
        samples=tuple(Sample(f"{name}_mean_ns", 0, value) for name, value in means.items()),
        artifacts=artifacts,
        warnings=events.notes,
    )


def _counts(record: Mapping[str, Any]) -> Mapping[str, Any]:
    counts = record.get("event_type_count")
    return counts if isinstance(counts, dict) else {}


def _rows(path: Path, lines: Sequence[str], shape: re.Pattern[str], made: Make) -> dict[str, dict[str, int]]:
    found = {}
    for number, line in enumerate(lines, 1):
        match = shape.fullmatch(line)
        if match is None:
            raise UnreadableInput(f"{path} has no event totals in line {number}", "make the table anew")
        name, row = made(match.groups())
        found[name] = row
    return found


def _event(cells: Sequence[str]) -> tuple[str, dict[str, int]]:
    _, event, count, total = cells
    return event, {"count": int(count), "total_ns": int(total)}


def _neff(cells: Sequence[str]) -> tuple[str, dict[str, int]]:
    return cells[0], dict(zip(NEFF_COLUMNS, map(int, cells[1:]), strict=True))
