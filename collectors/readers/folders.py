"""A folder that is not itself a profile: what in it the import knows."""

from __future__ import annotations

from pathlib import Path

from collectors.errors import UnreadableInput
from collectors.readers.captures import is_capture
from collectors.readers.recognise import recognise


def is_mixed(path: Path) -> bool:
    """Whether a folder is neither a profile's tables nor a capture."""
    return path.is_dir() and not any(path.glob("*.parquet")) and not is_capture(path)


def within(folder: Path) -> list[Path]:
    """Files and folders of tables below a folder that the import knows; others are left out.

    Raises `UnreadableInput` when it knows none of them.
    """
    tables = sorted({path.parent for path in folder.rglob("*.parquet")})
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent not in tables)
    found = [*tables, *(path for path in files if _is_known(path))]
    if not found:
        raise UnreadableInput(
            f"{folder} holds no parquet tables and no file the import knows",
            "name the folder that has Instruction.parquet and Summary.parquet",
        )
    return found


def _is_known(path: Path) -> bool:
    try:
        recognise(path)
    except UnreadableInput:
        return False
    return True
