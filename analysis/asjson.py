"""Any result of `analysis` as plain JSON values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np


def as_json(value: Any) -> Any:
    """Dataclasses become objects (with their properties), tuples lists, NaN null, dates ISO 8601."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        properties = [name for name, each in vars(type(value)).items() if isinstance(each, property)]
        names = [field.name for field in dataclasses.fields(value)] + properties
        return {name: as_json(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(each) for each in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)
