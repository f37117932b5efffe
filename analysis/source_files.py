"""Files a run stored the source of, by whatever name a profile calls them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from collectors.records import Run


def stored(run: Run, file: str) -> str | None:
    """The name a run stored a file under that a profile or a kernel names, perhaps by its whole path."""
    files = run.configuration.get("source_files", {})
    names = [name for name in files if _same_file(name, file)] if isinstance(files, Mapping) else []
    return max(names, key=len, default=None)


def short(run: Run, file: str) -> str:
    """A file's name for the screen: as stored, else its last two parts."""
    return stored(run, file) or "/".join(PurePath(file).parts[-2:])


def text_of(run: Run, file: str) -> str | None:
    """The stored text of a file."""
    name = stored(run, file)
    return None if name is None else run.sources.get(run.configuration["source_files"][name])


def _same_file(a: str, b: str) -> bool:
    left, right = PurePath(a).parts, PurePath(b).parts
    common = min(len(left), len(right))
    return left[-common:] == right[-common:]
