"""A kernel by its place: import its file as it is, with its helpers, and find its function."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from simulator.absent import standing_in
from simulator.dialect import lock, nki_modules
from simulator.errors import BadKernel, SimulatorError
from simulator.kernel_ref import KernelRef

_loaded: dict[tuple[str, ...], ModuleType] = {}


def load(kernel: KernelRef) -> Callable[..., Any]:
    """The kernel function, from a file by its path (its folder importable) or from an importable module."""
    with lock:
        module = _module(kernel)
        function = getattr(module, kernel.function, None)
    if not callable(function):
        place = kernel.file or kernel.module
        known = (
            ", ".join(
                n for n, v in vars(module).items() if isinstance(getattr(v, "func", None), FunctionType)
            )
            or "none"
        )
        raise BadKernel(f"{place} has no function {kernel.function!r}", f"its kernels are: {known}")
    found: Callable[..., Any] = function
    return found


def _module(kernel: KernelRef) -> ModuleType:
    if kernel.file is None:
        name = kernel.module or ""
        return _once(("module", name), name, lambda: importlib.import_module(name))
    path = Path(kernel.file).resolve()
    if not path.is_file():
        raise BadKernel(f"there is no file {kernel.file}", "give the path as FILE.py::FUNCTION")
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    return _once((str(path), content, *kernel.paths), kernel.file, lambda: _from_file(path, kernel.paths))


def _once(key: tuple[str, ...], name: str, load_it: Callable[[], ModuleType]) -> ModuleType:
    if key not in _loaded:
        _loaded[key] = _imported(name, load_it)
    return _loaded[key]


def _imported(name: str, load_it: Callable[[], ModuleType]) -> ModuleType:
    try:
        with nki_modules():
            return load_it()
    except SimulatorError:
        raise
    except ImportError as error:
        raise BadKernel(
            f"{name} does not import: {error}",
            f"install {error.name}, or add --path FOLDER, the folder that holds it"
            if error.name
            else "add --path FOLDER for a folder its imports lie in",
        ) from error
    except SyntaxError as error:
        raise BadKernel(
            f"{name} does not import: {error.filename}:{error.lineno}: {error.msg}", "mend that file"
        ) from error
    except Exception as error:
        raise BadKernel(
            f"{name} does not import: {type(error).__name__}: {error}", "run it with Python to see"
        ) from error


def _from_file(path: Path, further: tuple[str, ...]) -> ModuleType:
    """Import a file under the package it lies in, so that its relative imports work as they are."""
    root, parts = _package(path)
    folders = [root, path.parent, *(Path(folder).resolve() for folder in further)]
    with _importable(parts[0], folders), standing_in(folders) as stand_ins:
        _name_folders(root, parts[:-1])
        return stand_ins.complete(lambda: _executed(path, parts))


def _executed(path: Path, parts: list[str]) -> ModuleType:
    """The module of a file; a stem that holds a dot is no name Python could import it by."""
    if len(parts) > 1 and "." not in path.stem:
        return importlib.import_module(".".join(parts))
    name = ".".join([*parts[:-1], path.stem.replace(".", "_")])
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


def _package(path: Path) -> tuple[Path, list[str]]:
    """The folder above a file's outermost package, and the names from there: folders with __init__.py, and
    as many more as the file's relative imports climb.
    """
    root, parts, climbs = path.parent, [path.stem], _climbs(path)
    while (root / "__init__.py").is_file() or len(parts) <= climbs:
        parts.insert(0, root.name)
        root = root.parent
    return root, parts


def _climbs(path: Path) -> int:
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return 0
    return max((node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0)


def _name_folders(root: Path, parts: list[str]) -> None:
    """Modules for folders without __init__.py: a package of that name elsewhere would be found first."""
    folder, names = root, list[str]()
    for part in parts:
        folder, names = folder / part, [*names, part]
        if not (folder / "__init__.py").is_file():
            package = ModuleType(".".join(names))
            package.__path__ = [str(folder)]
            sys.modules[package.__name__] = package


@contextlib.contextmanager
def _importable(package: str, folders: list[Path]) -> Iterator[None]:
    """`folders` come first on the path, and a loaded package of the same name from elsewhere steps aside."""

    def members() -> dict[str, ModuleType]:
        return {n: m for n, m in sys.modules.items() if n.partition(".")[0] == package}

    aside = members()
    for name in aside:
        del sys.modules[name]
    added = [str(folder) for folder in folders]
    sys.path[:0] = added
    importlib.invalidate_caches()
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)
        if aside:
            for name in members():
                del sys.modules[name]
            sys.modules.update(aside)
