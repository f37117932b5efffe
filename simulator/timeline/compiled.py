"""Compiled functions: machine code is made once after a change of their source, and kept on disk.

Numba keeps what it compiles by the file of the function alone; a compiled function here calls others of this
folder, so the folder it is kept in is named by the source of them all. No compiled function makes an array:
that spares Numba counting who holds the ones it is given, which would take most of the time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., object])
ENTRIES = 9
"""Functions marked `entry` in this folder."""
_HERE = Path(__file__).parent


def part(function: Function) -> Function:
    """A function that only compiled ones call."""
    return _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def entry(function: Function) -> Function:
    """A compiled function that Python calls. Where nothing can be written every process compiles it."""
    import numba

    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder())
    try:
        return _compiled(function, cache=True)
    except RuntimeError:
        return _compiled(function)
    finally:
        config.CACHE_DIR = before


def _compiled(function: Function, **options: Any) -> Function:
    from numba import njit

    unlisted: dict[str, Any] = {"error_model": "numpy", "_nrt": False} | options
    return cast(Function, njit(**unlisted)(function))


def is_compiled() -> bool:
    """Whether this source's machine code is on disk, as far as can be told without loading Numba."""
    return sum(1 for _ in folder().rglob("*.nbi")) >= ENTRIES


@cache
def folder() -> Path:
    """Where this source's machine code is kept: beside the source, or in NUMBA_CACHE_DIR."""
    texts = (path.read_bytes() for path in sorted(_HERE.glob("*.py")))
    name = hashlib.sha256(version("numba").encode() + b"".join(texts)).hexdigest()[:16]
    return Path(os.environ.get("NUMBA_CACHE_DIR") or _HERE / "__pycache__") / f"compiled-{name}"
