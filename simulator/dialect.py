"""`import nki` inside the simulator: our modules stand in AWS's place while a kernel is loaded or traced."""

from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

lock = threading.RLock()
PACKAGES = ("nki", "neuronxcc")


def _ours() -> dict[str, ModuleType]:
    from simulator import nki, nki_beta
    from simulator.nki import collectives, dtype, isa, language, typing
    from simulator.nki.isa import enums

    neuronxcc = ModuleType("neuronxcc")
    neuronxcc.nki = nki_beta  # type: ignore[attr-defined]
    neuronxcc.__path__ = []
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


def _imported() -> list[str]:
    """Names of imported modules of NKI; there are none where neither package is."""
    if sys.modules.keys().isdisjoint(PACKAGES):
        return []
    near = [name for name in sys.modules if name.startswith(PACKAGES)]
    return [name for name in near if name.partition(".")[0] in PACKAGES]


@contextlib.contextmanager
def nki_modules(forget: bool = True) -> Iterator[None]:
    """Inside, `import nki...` gives the simulator's modules; at exit sys.modules is as it was.

    What was imported inside and uses them is forgotten, so that a device path in this process imports it
    with AWS's `nki`.
    """
    with lock:
        ours = _ours()
        before = set(sys.modules) if forget else set()
        aside = {name: sys.modules.pop(name) for name in _imported()}
        sys.modules.update(ours)
        try:
            yield
        finally:
            added = [n for n in sys.modules if n not in before] if forget else []
            for name in _imported() + [n for n in added if _uses_nki(sys.modules[n])]:
                sys.modules.pop(name, None)
            sys.modules.update(aside)


def _uses_nki(module: ModuleType) -> bool:
    """Whether a module holds one of ours, or anything that came from one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asking a deprecated name of a library where it is from
        return any(_from_nki(value) for value in list(vars(module).values()))


def _from_nki(value: Any) -> bool:
    origin = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
    return isinstance(origin, str) and origin.startswith(("simulator.nki", "simulator.absent"))
