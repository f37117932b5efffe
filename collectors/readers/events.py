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
from pathlib import Path
from typing import Any

from collectors.errors import UnreadableInput
from collectors.readers.evaluation import Evaluation
from collectors.readers.files import text_of
from collectors.readers.reading import Events
from collectors.records import Artifact

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


def evaluation_of(events: Events, artifacts: tuple[Artifact, ...]) -> Evaluation:
    """Totals as a part of an evaluation whose latency, if any, another file has."""
    return Evaluation(
        events.name,
        events.identity,
        events.format,
        artifacts,
        events=events.totals,
        notes=events.notes,
        constants=events.constants,
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
