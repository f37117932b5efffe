"""What determines a simulation, as hashes: kernel source with its helpers, data, machine, simulator."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from collectors.arguments import data_hash
from collectors.environment import ROOT


def digest(*parts: object) -> str:
    """SHA-256 of the parts' text."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


@cache
def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes; read once per process."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def folder_hash(folder: Path, patterns: tuple[str, ...]) -> str:
    """SHA-256 over names and contents of a folder's files that match."""
    files = sorted({path for pattern in patterns for path in folder.rglob(pattern)})
    return digest(*(f"{path.relative_to(folder)}={file_hash(path)}" for path in files))


def machine_tables(target: str) -> str:
    """Hash of the machine's constants."""
    return "sha256:" + file_hash(ROOT / "simulator" / "machine" / f"{target}.toml")


@cache
def simulator() -> str:
    """Hash of the simulator's own source: another source may give another time."""
    return "sha256:" + folder_hash(ROOT / "simulator", ("*.py",))


def of_modules(*modules: str) -> str:
    """Hash of modules' source with their helpers."""
    return digest(*(source_hash(module_file(module)) for module in modules))


@cache
def sources(start: Path, paths: tuple[str, ...] = ()) -> tuple[Path, ...]:
    """A kernel's file and every helper it imports from beside it, its package or `paths`, itself first."""
    found: dict[Path, None] = {}
    waiting = [start.resolve()]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = None
        waiting += [helper for helper in _helpers(path, paths) if helper not in found]
    return tuple(found)


def source_hash(start: Path, paths: tuple[str, ...] = ()) -> str:
    """Hash of a kernel's file and its helpers."""
    return digest(*sorted(f"{path.name}={file_hash(path)}" for path in sources(start, paths)))


def module_file(module: str) -> Path:
    """The file of a module, found without importing it (its package is imported)."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {module}")
    return Path(spec.origin).resolve()


def maker_hash(make: Any, seed: int) -> str:
    """Identity of the arguments `make(seed)` gives: by its description when it has a stable one, else by
    data.
    """
    if isinstance(make, partial) and not make.keywords and all(_has_stable_text(each) for each in make.args):
        return digest(make.func.__module__, make.func.__qualname__, *map(repr, make.args), seed)
    return data_hash(make(seed))


def _has_stable_text(value: Any) -> bool:
    return " at 0x" not in repr(value)


def _helpers(path: Path, paths: tuple[str, ...]) -> Iterator[Path]:
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, UnicodeDecodeError, OSError):
        return
    for module, level in _imports(tree):
        yield from _local_files(path, module, level, paths)


def _imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield module, node.level
            yield from ((f"{module}.{alias.name}".lstrip("."), node.level) for alias in node.names)


def _local_files(path: Path, module: str, level: int, paths: tuple[str, ...]) -> Iterable[Path]:
    """Files an import may mean: beside the importing file, from its package's root, or in `paths`."""
    parts = module.split(".")
    beside = [path.parent, _package_root(path), *map(Path, paths)]
    roots = [path.parents[level - 1]] if level else beside
    for root in dict.fromkeys(roots):
        for candidate in (root.joinpath(*parts).with_suffix(".py"), root.joinpath(*parts, "__init__.py")):
            if module and candidate.is_file():
                yield candidate.resolve()


def _package_root(path: Path) -> Path:
    folder = path.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder
