"""A folder that is not itself a profile: what in it the import knows.

A folder of NEFFs and NTFFs is a capture; one that also holds something else the import knows is mixed, and
its NEFFs and NTFFs are one of its parts.
"""

from __future__ import annotations

from pathlib import Path

from collectors.errors import UnreadableInput
from collectors.readers.captures import SUFFIXES, is_capture
from collectors.readers.recognise import recognise


def is_mixed(path: Path) -> bool:
    """Whether a folder is neither a profile's tables nor a capture and nothing else."""
    if not path.is_dir() or any(path.glob("*.parquet")):
        return False
    return not is_capture(path) or bool(_known(path))


def within(folder: Path) -> list[Path]:
    """Files, captures and folders of tables below a folder that the import knows; others are left out.

    Raises `UnreadableInput` when it knows none of them.
    """
    found = _known(folder)
    if is_capture(folder):
        found.append(folder)
    if not found:
        raise UnreadableInput(
            f"{folder} holds no parquet tables and no file the import knows",
            "name the folder that has Instruction.parquet and Summary.parquet",
        )
    return found


def _known(folder: Path) -> list[Path]:
    tables = sorted({path.parent for path in folder.rglob("*.parquet")})
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent not in tables)
    return [*tables, *(path for path in files if path.suffix not in SUFFIXES and _is_known(path))]


def _is_known(path: Path) -> bool:
    try:
        recognise(path)
    except UnreadableInput:
        return False
    return True
