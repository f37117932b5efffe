"""`view --output-format summary-text`: an id on a line of its own, then indented `field  value` lines."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from collectors.readers.files import text_of
from collectors.readers.reading import Events, Reading
from collectors.readers.summary_json import readings

_RECORD = re.compile(r"^([ns]_[0-9a-f]{6,64})\s*$")
_FIELD = re.compile(r"^\s+([A-Za-z_]\w*)\s{2,}(\S.*?)\s*$")
_GROUP = re.compile(r"^\s+([A-Za-z_]\w*):\s*$")
_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")


def read_summary_text(path: Path, sha256: str) -> list[Reading | Events]:
    """A reading per device record. Raises `UnreadableInput`."""
    return readings(_records(text_of(path).splitlines()), path, sha256, "summary-text")


def _records(lines: Iterable[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    record: dict[str, Any] | None = None
    into: dict[str, Any] | None = None
    depth = 0
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if named := _RECORD.match(line):
            record = into = found.setdefault(named.group(1), {})
            depth = 0
        elif record is not None and (group := _GROUP.match(line)):
            into, depth = record.setdefault(group.group(1), {}), indent
        elif record is not None and into is not None and (pair := _FIELD.match(line)):
            into = record if indent <= depth else into
            into[pair.group(1)] = _value(pair.group(2))
    return found


def _value(text: str) -> Any:
    if not _NUMBER.fullmatch(text):
        return text
    return int(text) if text.lstrip("+-").isdigit() else float(text)
