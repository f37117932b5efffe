"""What a summary's field means: its unit, the factor to ours, and how that depends on the version.

The same name has meant different things: up to neuron-profile 2.28 `hardware_flops` counts an fp32 matrix
multiplication twice, and the shares of DMA classes are of DMA's active time; in 2.32 they are of the total.
A share is therefore recomputed both ways and the one that matches names the meaning, because a development
build of 2.0 mixes the two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from collectors.readers.fp32 import Fp32

MATCHES = 1e-3
"""Relative difference at which a recomputed share is the profiler's own."""

DOUBLED_UP_TO = (2, 28)
"""The last version whose `hardware_flops` counts both passes of an fp32 multiplication in full."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """Fields whose name matches: their unit here, the factor to it, and what to know."""

    name: re.Pattern[str]
    unit: str
    factor: float = 1.0
    note: str = ""
    up_to: tuple[int, int] | None = None
    """The last version it holds for; None for every version."""


def _meaning(
    name: str, unit: str, factor: float = 1.0, note: str = "", up_to: tuple[int, int] | None = None
) -> Meaning:
    return Meaning(re.compile(name), unit, factor, note, up_to)


MEANINGS: tuple[Meaning, ...] = (
    _meaning(r".*_(bandwidth_ratio|arithmetic_intensity)", "FLOP/byte"),
    _meaning(r"mm_arithmetic_intensity", "FLOP/byte"),
    _meaning(r"throttle_.*_percent", "fraction", note="time no notification covers counts 0: not a ceiling"),
    _meaning(r"total_time", "ns", 1e9, "with the fixed envelope of a profiled execution around the kernel"),
    _meaning(r".*_percent", "fraction"),
    _meaning(r".*_time_ns", "ns"),
    _meaning(r".*_time", "ns", 1e9),
    _meaning(r".*(_bytes|_size)", "bytes"),
    _meaning(r".*_cycles|.*_cycle_count", "cycles"),
    _meaning(
        r"(hardware|transpose)_flops", "FLOP", note="fp32 multiplications count twice", up_to=DOUBLED_UP_TO
    ),
    _meaning(r".*_flops", "FLOP"),
    _meaning(r".*_count", "count"),
    _meaning(r"(nc|nd)_idx|ultraserver_\w+", "index"),
)
"""Field × version → conversion; the first that matches is meant."""

LARGEST = 2.0**60
"""No count, size or time in ns of a profile comes near it; sums of a few fit 64 bits."""

_DMA_SHARE = re.compile(r"((?:static|software_dynamic|hardware_dynamic)_dma_active_time)_percent")
_SENTINEL = "negative: the profiler's mark for not available"
_WRITTEN_OF_DMA = "written as a share of dma_active_time; here of total_time"
_ONCE = "fp32 multiplications, counted twice, count once"
_WEIGHTED = "fp32 multiplications weigh four times a bf16 one, as from 2.29 on"
_NONE = "absent: nothing of its kind happened"
DYNAMIC = ("software_dynamic", "hardware_dynamic")
_WIDE = frozenset({"ultraserver_id"})
_FIELDS = pa.schema(
    [
        ("field", pa.string()),
        ("raw", pa.string()),
        ("normalised", pa.float64()),
        ("unit", pa.string()),
        ("note", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field as the profiler wrote it and as it is used; `value` is None when it is text or missing."""

    name: str
    raw: Any
    value: float | None
    unit: str
    note: str


def release(version: str) -> tuple[int, int] | None:
    """(2, 28) of "2.28.23.0%kaena-tools/2.28@f1c114a"; None without one."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found.group(1)), int(found.group(2))) if found else None


def normalise(summary: Mapping[str, Any], version: str, fp32: Fp32 | None = None) -> dict[str, Field]:
    """Every field of a summary by name, and those of DMA classes that are absent because nothing happened.

    `fp32`, when rows tell it, puts FLOPs and utilisation of versions up to 2.28 on the basis of later ones.
    """
    found = {name: _field(name, raw, version) for name, raw in sorted(summary.items())}
    for name in found:
        if share := _DMA_SHARE.fullmatch(name):
            found[name] = _of_total(found[name], share.group(1), found)
    found |= _dynamic(found)
    if doubled(version) and fp32 and fp32.flops:
        found |= _rebased(found, fp32)
    return found | _absent(found)


def as_table(fields: Mapping[str, Field]) -> pa.Table:
    """Rows of `summary_field`."""
    rows = [
        {
            "field": each.name,
            "raw": None if each.raw is None else str(each.raw),
            "normalised": each.value,
            "unit": each.unit or None,
            "note": each.note or None,
        }
        for each in fields.values()
    ]
    return pa.Table.from_pylist(rows, schema=_FIELDS)


def number(value: Any) -> float | None:
    """A finite number as float; None for text, booleans, infinities and absence."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def doubled(version: str) -> bool:
    """Whether this version of the profiler counts both passes of an fp32 multiplication in full."""
    known = release(version)
    return known is not None and (2, 1) <= known <= DOUBLED_UP_TO


def _meanings(version: str) -> Iterator[Meaning]:
    known = release(version)
    for each in MEANINGS:
        if each.up_to is None or (known is not None and (2, 1) <= known <= each.up_to):
            yield each


def _field(name: str, raw: Any, version: str) -> Field:
    value = number(raw)
    meaning = next((each for each in _meanings(version) if each.name.fullmatch(name)), None)
    if value is None:
        return Field(name, raw, None, "", "")
    if meaning is None:
        return Field(name, raw, None if name in _WIDE else value, "", "unit not known")
    if value < 0:
        return Field(name, raw, None, meaning.unit, _SENTINEL)
    if value * meaning.factor >= LARGEST:
        return Field(name, raw, None, meaning.unit, "larger than anything it could count")
    return Field(name, raw, value * meaning.factor, meaning.unit, meaning.note)


def _of_total(share: Field, time_name: str, fields: Mapping[str, Field]) -> Field:
    """A DMA class's share as a share of the total, whichever the profiler divided by."""
    times = [fields.get(name) for name in (time_name, "dma_active_time", "total_time")]
    own, active, total = (each.value if each else None for each in times)
    if share.value is None or own is None or not total:
        return share
    if math.isclose(share.value, own / total, rel_tol=MATCHES, abs_tol=1e-9):
        return Field(share.name, share.raw, own / total, "fraction", "of total_time")
    if active and math.isclose(share.value, own / active, rel_tol=MATCHES, abs_tol=1e-9):
        return Field(share.name, share.raw, own / total, "fraction", _WRITTEN_OF_DMA)
    note = "neither a share of total_time nor of dma_active_time; here recomputed of total_time"
    return Field(share.name, share.raw, own / total, "fraction", note)


def _dynamic(fields: Mapping[str, Field]) -> dict[str, Field]:
    """The share of all dynamic DMA: no time is written beside it, so its classes say what of."""
    share, active = fields.get("dynamic_dma_active_time_percent"), fields.get("dma_active_time_percent")
    notes = [fields[name].note for name in fields if _DMA_SHARE.fullmatch(name)]
    if (
        share is None
        or share.value is None
        or not active
        or active.value is None
        or _WRITTEN_OF_DMA not in notes
    ):
        return {}
    return {share.name: Field(share.name, share.raw, share.value * active.value, "fraction", _WRITTEN_OF_DMA)}


def _rebased(fields: Mapping[str, Field], fp32: Fp32) -> dict[str, Field]:
    """Fields that fp32 multiplications were counted twice in, as version 2.32 has them.

    FLOPs count once. Utilisation is of FLOPs weighted by their cost, four times for fp32: twice what was
    counted.
    """
    known = {
        name: fields[name].value or 0.0 for name in ("hardware_flops", "transpose_flops") if name in fields
    }
    whole = known.get("hardware_flops", 0.0)
    useful = whole - known.get("transpose_flops", 0.0)
    found = {
        "hardware_flops": (whole, -fp32.flops / 2, _ONCE),
        "transpose_flops": (known.get("transpose_flops", 0.0), -fp32.transposed / 2, _ONCE),
        "mm_arithmetic_intensity": (useful, -fp32.useful / 2, _ONCE),
        "hfu_estimated_percent": (whole, fp32.flops, _WEIGHTED),
        "mfu_inst_estimated_percent": (useful, fp32.useful, _WEIGHTED),
    }
    if not fields.get("model_flops") or not fields["model_flops"].value:  # else it is the HLO's FLOPs
        found["mfu_estimated_percent"] = found["mfu_inst_estimated_percent"]
    return {
        name: Field(name, fields[name].raw, value * (1 + more / of), fields[name].unit, note)
        for name, (of, more, note) in found.items()
        if of > 0 and name in fields and (value := fields[name].value) is not None
    }


def _absent(fields: Mapping[str, Field]) -> dict[str, Field]:
    """Fields of dynamic DMA that a summary leaves out when there was none: 0, where static ones are there."""
    units = {
        name.removeprefix("static_"): each.unit
        for name, each in fields.items()
        if name.startswith("static_dma_") and each.value is not None
    }
    names = {f"{kind}_{name}": unit for name, unit in units.items() for kind in DYNAMIC}
    return {name: Field(name, None, 0.0, unit, _NONE) for name, unit in names.items() if name not in fields}
