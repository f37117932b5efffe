"""`nki.dtype`: the dtypes under the names of `nki.language`."""

from __future__ import annotations

from typing import Any

from simulator.nki.dtypes import DTYPES
from simulator.nki.names import unknown_name


def __getattr__(name: str) -> Any:
    if name in DTYPES:
        return DTYPES[name]
    raise unknown_name("nki.dtype", name)
