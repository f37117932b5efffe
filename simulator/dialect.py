"""`import nki` inside the simulator: our modules stand in AWS's place while a kernel is loaded or traced."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from simulator.api import KernelRef
from simulator.errors import BadKernel, SimulatorError

_lock = threading.RLock()
_loaded: dict[tuple[str, str], ModuleType] = {}


def _ours() -> dict[str, ModuleType]:
    from simulator import nki, nki_beta
    from simulator.nki import collectives, dtype, isa, language, typing
    from simulator.nki.isa import enums

    neuronxcc = ModuleType("neuronxcc")
    neuronxcc.nki = nki_beta  # type: ignore[attr-defined]
    return {
        "neuronxcc": neuronxcc,
        "neuronxcc.nki": nki_beta,
        "neuronxcc.nki.isa": nki_beta.isa,
        "neuronxcc.nki.language": nki_beta.language,
        "neuronxcc.nki.typing": nki_beta.typing,
        "neuronxcc.nki.compiler": nki_beta.compiler,
        "nki": nki,
        "nki.isa": isa,
        "nki.isa.constants": enums,
        "nki.dtype": dtype,
        "nki.language": language,
        "nki.collectives": collectives,
        "nki.typing": typing,
    }


def _is_nki(name: str) -> bool:
    return name.partition(".")[0] in ("nki", "neuronxcc")


@contextlib.contextmanager
def nki_modules(forget: bool = True) -> Iterator[None]:
    """Inside, `import nki...` gives the simulator's modules; at exit sys.modules is as it was.

    What was imported inside and uses them is forgotten, so that a device path in this process imports it
    with AWS's `nki`.
    """
    with _lock:
        ours = _ours()
        before = dict(sys.modules)
        for name in [n for n in before if _is_nki(n)]:
            del sys.modules[name]
        sys.modules.update(ours)
        try:
            yield
        finally:
            added = [n for n in sys.modules if n not in before] if forget else []
            for name in [n for n in sys.modules if _is_nki(n)] + [
                n for n in added if _uses_nki(sys.modules[n])
            ]:
                sys.modules.pop(name, None)
            sys.modules.update({n: m for n, m in before.items() if _is_nki(n)})


def _uses_nki(module: ModuleType) -> bool:
    """Whether a module holds one of ours, or anything that came from one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asking a deprecated name of a library where it is from
        return any(_from_nki(value) for value in list(vars(module).values()))


def _from_nki(value: Any) -> bool:
    origin = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
    return isinstance(origin, str) and origin.startswith("simulator.nki")


def load(kernel: KernelRef) -> Callable[..., Any]:
    """The kernel function, from a file by its path (its folder importable) or from an importable module."""
    with _lock:
        module = _module(kernel)
        function = getattr(module, kernel.function, None)
    if not callable(function):
        place = kernel.file or kernel.module
        known = ", ".join(n for n, v in vars(module).items() if hasattr(v, "func")) or "none"
        raise BadKernel(f"{place} has no function {kernel.function!r}", f"its kernels are: {known}")
    found: Callable[..., Any] = function
    return found


def _module(kernel: KernelRef) -> ModuleType:
    if kernel.file is None:
        name = kernel.module or ""
        key = ("module", name)
        if key not in _loaded:
            _loaded[key] = _imported(name, lambda: importlib.import_module(name))
        return _loaded[key]
    path = Path(kernel.file).resolve()
    if not path.is_file():
        raise BadKernel(f"there is no file {kernel.file}", "give the path as FILE.py::FUNCTION")
    key = (str(path), hashlib.sha256(path.read_bytes()).hexdigest())
    if key not in _loaded:
        _loaded[key] = _imported(str(kernel.file), lambda: _from_file(path))
    return _loaded[key]


def _imported(name: str, load_it: Callable[[], ModuleType]) -> ModuleType:
    try:
        with nki_modules():
            return load_it()
    except SimulatorError:
        raise
    except ImportError as error:
        raise BadKernel(
            f"{name} does not import: {error}", "install what it imports, or start from its folder"
        ) from error
    except Exception as error:
        raise BadKernel(
            f"{name} does not import: {type(error).__name__}: {error}", "run it with Python to see"
        ) from error


def _from_file(path: Path) -> ModuleType:
    """Import a file under the package it lies in, so that its relative imports work as they are."""
    root, parts = path.parent, [path.stem]
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    with _importable(parts[0], root, path.parent):
        if len(parts) > 1:
            return importlib.import_module(".".join(parts))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


@contextlib.contextmanager
def _importable(package: str, *folders: Path) -> Iterator[None]:
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
