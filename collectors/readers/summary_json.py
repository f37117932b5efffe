"""`view --output-format summary-json`: {"<id>": {field: value}}, with log lines on the same stream.

A device's record has an id that begins with n_; a session folder also yields a system record, s_.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collectors.errors import UnreadableInput
from collectors.readers.events import of_system
from collectors.readers.files import text_of
from collectors.readers.reading import Events, Reading

_START = re.compile(r'\{\s*"[ns]_[0-9a-f]')


def read_summary_json(path: Path, sha256: str) -> list[Reading | Events]:
    """A reading per device record; the system record is kept in each. Raises `UnreadableInput`."""
    return readings(_records(path), path, sha256, "summary-json")


def readings(
    records: Mapping[str, Mapping[str, Any]], path: Path, sha256: str, kind: str
) -> list[Reading | Events]:
    """Device records as readings, named after the file (or its folder's name and the record's id).

    Without a device record that is whole, a system record gives the counts of its events.
    """
    devices = {key: record for key, record in records.items() if key.startswith("n_")}
    system = {key: record for key, record in records.items() if key not in devices}
    whole = {key: record for key, record in devices.items() if _is_whole(record)}
    cut = tuple(
        f"Record {key[:12]} is left out: no usable total_time (fields: {len(record)})."
        for key, record in devices.items()
        if key not in whole
    )
    name = path.name.split(".")[0]
    if not whole and any("event_type_count" in record for record in system.values()):
        return [of_system(system, name, sha256, cut)]
    if not whole:
        raise UnreadableInput(f"{path}: {_lacking(devices)}", "the summary is not complete: make it anew")
    return [
        Reading(
            identity=f"{sha256}:{key}",
            name=name if len(devices) == 1 else f"{name}:{key[:10]}",
            format=kind,
            summary=record,
            constants={"system": system} if system else {},
            notes=cut,
        )
        for key, record in whole.items()
    ]


def _is_whole(record: Mapping[str, Any]) -> bool:
    total = record.get("total_time")
    return isinstance(total, int | float) and not isinstance(total, bool) and 0 < total < 1e6


def _lacking(devices: Mapping[str, Mapping[str, Any]]) -> str:
    if not devices:
        return "a system record without counts of events says nothing"
    key, record = next(iter(devices.items()))
    return f"record {key[:12]} has no usable total_time (fields: {len(record)})"


def _records(path: Path) -> dict[str, dict[str, Any]]:
    text = text_of(path)
    start = _START.search(text)
    if not start:
        raise UnreadableInput(f"{path} is cut off before its end", "make the summary anew")
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start.start())
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(
            f"{path} is not whole JSON: {error}", "the file is cut off or damaged: make the summary anew"
        ) from None
    if not isinstance(found, dict) or not all(isinstance(record, dict) for record in found.values()):
        raise UnreadableInput(f"{path} holds no records", "a summary is {id: {field: value}}")
    return found
