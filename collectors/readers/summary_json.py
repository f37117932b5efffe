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
from collectors.readers.files import text_of
from collectors.readers.reading import Reading

_START = re.compile(r'\{\s*"[ns]_[0-9a-f]')


def read_summary_json(path: Path, sha256: str) -> list[Reading]:
    """A reading per device record; the system record is kept in each. Raises `UnreadableInput`."""
    return readings(_records(path), path, sha256, "summary-json")


def readings(records: Mapping[str, Mapping[str, Any]], path: Path, sha256: str, kind: str) -> list[Reading]:
    """Device records as readings, named after the file (or its folder's name and the record's id)."""
    devices = {key: value for key, value in records.items() if key.startswith("n_")}
    if not devices:
        raise UnreadableInput(
            f"{path} has only a system record: it says nothing of a NeuronCore",
            "capture a device profile too (NEURON_RT_INSPECT_DEVICE_PROFILE=1), and import its summary",
        )
    system = {key: value for key, value in records.items() if key not in devices}
    name = path.name.split(".")[0]
    found = []
    for key, record in devices.items():
        _check(record, key, path)
        own = name if len(devices) == 1 else f"{name}:{key[:10]}"
        found.append(
            Reading(
                identity=f"{sha256}:{key}",
                name=own,
                format=kind,
                summary=record,
                constants={"system": system} if system else {},
            )
        )
    return found


def _check(record: Mapping[str, Any], key: str, path: Path) -> None:
    total = record.get("total_time")
    if not isinstance(total, int | float) or isinstance(total, bool) or not 0 < total < 1e6:
        raise UnreadableInput(
            f"{path}: record {key[:12]} has no usable total_time", "the summary is not complete: make it anew"
        )


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
