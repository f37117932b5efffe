"""Packages that run a model on a device are imported beside many kernels and are rarely here.

While a kernel's file is imported, one that is missing has an empty stand-in, and so has a name that another
release of a host package had: its names can be imported, subclassed, called and used as decorators, and give
stand-ins again. A kernel that uses one when it runs is refused, so no result and no time depends on them.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

from simulator.errors import BadKernel
from simulator.nki.tracer import running

HOST = frozenset({"transformers"})
"""Installed here, in a release of their own."""
INSTALLED = "site-packages"
NO_NAME = re.compile(r"cannot import name '(?P<name>\w+)' from '(?P<module>[\w.]+)'")
PACKAGES = frozenset(
    {
        "libneuronxla",
        "neuronxcc",
        "neuronx_distributed",
        "neuronx_distributed_inference",
        "torch_neuronx",
        "torch_xla",
    }
)


def _refuse(name: str) -> NoReturn:
    raise BadKernel(
        f"the kernel uses {name} as it runs, and {name.partition('.')[0]} is not installed here",
        "move it out of the kernel, or install the package",
    )


class Absent:
    """A name of a package that is not installed."""

    __slots__ = ("_name",)
    _name: str

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def __getattr__(self, name: str) -> Absent:
        if running():
            _refuse(f"{self._name}.{name}")
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self._name}.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        """Patching what is not there changes nothing."""

    def __call__(self, *arguments: Any, **_: Any) -> Any:
        """As a decorator, the function itself."""
        if running():
            _refuse(self._name)
        function = arguments[0] if len(arguments) == 1 else None
        return function if callable(function) else Absent(f"{self._name}()")

    def __getitem__(self, _: Any) -> Absent:
        return self()  # type: ignore[no-any-return]

    def __bool__(self) -> bool:
        if running():
            _refuse(self._name)
        return False

    def __eq__(self, other: object) -> bool:
        if running():
            _refuse(self._name)
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __or__(self, _: Any) -> Absent:
        return self

    __ror__ = __or__

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        """A class derived from it derives from nothing else it names."""
        return ()

    def __repr__(self) -> str:
        return f"<{self._name}, not installed>"


class StandIns(MetaPathFinder, Loader):
    """Stands last among the finders, and answers only to files under `folders`: a library that looks whether
    a package is installed hears the truth.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(f"{folder}/" for folder in folders)

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in PACKAGES or not self._asks(sys._getframe(1)):
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def _asks(self, frame: FrameType | None) -> bool:
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        asking = "" if frame is None else frame.f_code.co_filename
        return asking.startswith(self.folders) and INSTALLED not in asking

    def complete(self, load: Callable[[], ModuleType]) -> ModuleType:
        """`load()`, again after each name of `HOST` it could not import stands in."""
        added: list[tuple[ModuleType, str]] = []
        try:
            while True:
                try:
                    return load()
                except ImportError as error:
                    missing = _missing_name(error)
                    if missing is None or missing in added:
                        raise
                    added.append(missing)
                    setattr(*missing, Absent(f"{missing[0].__name__}.{missing[1]}"))
        finally:
            for module, name in added:
                delattr(module, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _names_of(module.__name__)  # type: ignore[method-assign]


def _missing_name(error: ImportError) -> tuple[ModuleType, str] | None:
    found = NO_NAME.match(str(error))
    if found is None or found["module"].partition(".")[0] not in HOST:
        return None
    module = sys.modules.get(found["module"])
    return None if module is None else (module, found["name"])


def _names_of(module: str) -> Callable[[str], Absent]:
    def named(name: str) -> Absent:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{module}.{name}")

    return named


@contextlib.contextmanager
def standing_in(folders: Sequence[Path]) -> Iterator[StandIns]:
    """Inside, files under `folders` import the missing ones of `PACKAGES` as stand-ins."""
    finder = StandIns(folders)
    sys.meta_path.append(finder)
    try:
        yield finder
    finally:
        sys.meta_path.remove(finder)
