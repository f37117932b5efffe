"""Files as a run records them, and text as it is found."""

from __future__ import annotations

import hashlib
from pathlib import Path

from collectors.errors import UnreadableInput
from collectors.records import Artifact


def artifact(path: Path, kind: str) -> Artifact:
    """A file with its SHA-256. Raises `UnreadableInput`."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Artifact(str(path), digest, path.stat().st_size, kind)
    except OSError as error:
        raise UnreadableInput(f"cannot read {path}: {error.strerror}", "check the file") from None


def text_of(path: Path) -> str:
    """The file as text; bytes that are not UTF-8 show as replacement characters."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError as error:
        raise UnreadableInput(f"cannot read {path}: {error.strerror}", "check the file") from None


def digest(*parts: object) -> str:
    """SHA-256 of the parts' text."""
    return hashlib.sha256("\0".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()
