"""Simulations on disk by content hash: a folder an entry, written whole or not at all, checked when read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from collectors.records import Profile
from collectors.store.write import to_json

FORMAT = 2
DOCUMENT = "entry.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """What one job left: a profile with its tables (None for a check alone), kernel sources, a verdict.

    `files` maps a kernel file's name to its text; `verdict` is the accuracy check's outcome as plain values.
    """

    profile: Profile | None
    files: Mapping[str, str] = field(default_factory=dict)
    verdict: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()


def folder() -> Path:
    """`$NKI_DASHBOARD_CACHE`, else the platform's cache folder."""
    if given := os.environ.get("NKI_DASHBOARD_CACHE"):
        return Path(given).expanduser()
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "nki-dashboard"
    home = {"darwin": "Library/Caches", "win32": "AppData/Local"}.get(sys.platform, ".cache")
    return Path.home() / home / "nki-dashboard"


def read(key: str) -> Entry | None:
    """The entry, or None when there is none or it is damaged (a damaged one is removed)."""
    place = _place(key)
    if not has(key):
        return None
    try:
        return _read(place)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        shutil.rmtree(place, ignore_errors=True)
        return None


def has(key: str) -> bool:
    """Whether there is an entry; it may still turn out to be damaged."""
    return (_place(key) / DOCUMENT).exists()


def write(key: str, entry: Entry) -> None:
    """Store an entry; whoever is first wins, for both wrote the same."""
    place = _place(key)
    place.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        _write(made, entry)
        made.replace(place)
    except OSError:
        if not has(key):
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def size() -> tuple[int, int]:
    """Entries in the cache and their bytes."""
    root = folder() / "simulated"
    files = [path for path in root.rglob("*") if path.is_file()] if root.exists() else []
    return sum(path.name == DOCUMENT for path in files), sum(path.stat().st_size for path in files)


def _place(key: str) -> Path:
    return folder() / "simulated" / key[:2] / key


def _write(place: Path, entry: Entry) -> None:
    tables = entry.profile.tables if entry.profile else {}
    hashes = {name: _write_table(place / f"{name}.arrow", table) for name, table in tables.items()}
    document = {
        "format": FORMAT,
        "tables": hashes,
        "profile": _plain(entry.profile) if entry.profile else None,
        "files": dict(entry.files),
        "verdict": dict(entry.verdict) if entry.verdict is not None else None,
        "warnings": list(entry.warnings),
    }
    (place / DOCUMENT).write_text(to_json(document), "utf-8")


def _read(place: Path) -> Entry:
    document = json.loads((place / DOCUMENT).read_text("utf-8"))
    if document["format"] != FORMAT:
        raise ValueError("another format")
    tables = {name: _read_table(place / f"{name}.arrow", sha) for name, sha in document["tables"].items()}
    plain = document["profile"]
    profile = replace(Profile(**plain), tables=tables) if plain is not None else None
    return Entry(profile, document["files"], document["verdict"], tuple(document["warnings"]))


def _plain(profile: Profile) -> dict[str, Any]:
    plain = {each.name: getattr(profile, each.name) for each in fields(profile) if each.name != "tables"}
    return plain | {name: dict(getattr(profile, name)) for name in ("engines", "raw", "ideal_ns")}


def _write_table(path: Path, table: pa.Table) -> str:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_table(path: Path, sha: str) -> pa.Table:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha:
        raise ValueError(f"{path.name} is damaged")
    return pa.ipc.open_file(pa.py_buffer(content)).read_all()
