"""What the fields of a summary must be of one another, and of the rows beside it.

The formulas are Neuron Explorer's documented ones (summary terminology); each holds to `TOLERANCE` on 132
real records of versions 2.27, 2.28 and 2.32. One that fails means a damaged file, a version whose fields mean
something else, or numbers printed as percentages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from collectors.readers.machines import Family
from collectors.readers.normalise import number

TOLERANCE = 1e-3
CYCLES = 5e-3
ENGINES = ("tensor", "vector", "scalar", "gpsimd", "sync")

Values = Mapping[str, float]
Formula = Callable[[Values, Family, int], float | None]


@dataclass(frozen=True, slots=True)
class Identity:
    """`field` must equal `formula(values, family, cores)`; None when something it needs is missing."""

    field: str
    formula: Formula
    cause: str
    tolerance: float = TOLERANCE


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A field, what it says, what it should say, and the likely cause."""

    field: str
    said: float
    expected: float
    cause: str

    @property
    def sentence(self) -> str:
        """For the run's warnings."""
        return f"{self.field} is {self.said:.6g} but the rest says {self.expected:.6g}: {self.cause}."


def disagreements(
    summary: Mapping[str, Any],
    family: Family | None,
    cores: int,
    from_rows: Mapping[str, float] | None = None,
) -> list[Disagreement]:
    """Every identity that does not hold. `from_rows` are fields recomputed from rows, by name."""
    values = {name: value for name, raw in summary.items() if (value := number(raw)) is not None}
    found = list(_of_rows(values, from_rows or {}))
    if family is not None:
        found += _of_formulas(values, family, cores)
    return found


def cores_of(summary: Mapping[str, Any], family: Family | None) -> int | None:
    """Physical cores behind a record, from hfu: its peak is summed over them. None when it cannot be told."""
    values = {name: value for name, raw in summary.items() if (value := number(raw)) is not None}
    said = values.get("hfu_estimated_percent")
    if family is None or not said or said < 0:
        return None
    for cores in (1, 2):
        expected = _utilisation("")(values, family, cores)
        if expected is not None and math.isclose(said, expected, rel_tol=TOLERANCE):
            return cores
    return None


def _of_formulas(values: Values, family: Family, cores: int) -> Iterator[Disagreement]:
    for each in IDENTITIES:
        said = values.get(each.field)
        if said is None or said < 0:
            continue
        try:
            expected = each.formula(values, family, cores)
        except (ZeroDivisionError, OverflowError):
            continue
        if expected is not None and not _close(said, expected, each.tolerance):
            yield Disagreement(each.field, said, expected, _cause(each, said, expected))


def _of_rows(values: Values, from_rows: Mapping[str, float]) -> Iterator[Disagreement]:
    for name, expected in from_rows.items():
        said = values.get(name)
        if said is not None and not _close(said, expected, CYCLES):
            cause = "the rows and the summary are not of the same execution, or rows are missing"
            yield Disagreement(name, said, expected, cause)


def _close(said: float, expected: float, tolerance: float) -> bool:
    return math.isclose(said, expected, rel_tol=tolerance, abs_tol=1e-9)


def _cause(identity: Identity, said: float, expected: float) -> str:
    if _close(said, expected * 100, identity.tolerance):
        return "it is printed as a percentage, while profilers write fractions"
    return identity.cause


def _ratio(upper: str, lower: str) -> Formula:
    return lambda v, _f, _c: v[upper] / v[lower] if upper in v and v.get(lower) else None


def _cycles(time: str, hertz: Callable[[Family], float]) -> Formula:
    return lambda v, f, _c: v[time] * hertz(f) if time in v else None


def _hbm(v: Values) -> float | None:
    return (
        v["hbm_read_bytes"] + v["hbm_write_bytes"]
        if {"hbm_read_bytes", "hbm_write_bytes"} <= v.keys()
        else None
    )


def _intensity(v: Values, _family: Family, _cores: int) -> float | None:
    moved = _hbm(v)
    if not moved or "hardware_flops" not in v:
        return None
    return (v["hardware_flops"] - v.get("transpose_flops", 0.0)) / moved


def _utilisation(less: str) -> Formula:
    """FLOPs over the peak of all cores: adjusted FLOPs where the version has them, raw ones before."""

    def formula(v: Values, family: Family, cores: int) -> float | None:
        kind = "adjusted_" if "adjusted_hardware_flops" in v else ""
        flops = v.get(f"{kind}hardware_flops")
        if flops is None or not v.get("total_time"):
            return None
        flops -= v.get(f"{kind}{less}", 0.0) if less else 0.0
        return flops / (v["total_time"] * family.peak_flops * cores)

    return formula


def _bandwidth_use(bytes_of: Callable[[Values], float | None]) -> Formula:
    def formula(v: Values, family: Family, _cores: int) -> float | None:
        moved = bytes_of(v)
        if moved is None or not v.get("total_time"):
            return None
        return moved / v["total_time"] / family.hbm_bytes_per_s

    return formula


def _share(kind: str, what: str) -> Formula:
    """A DMA class's share of packets or bytes; a class that is absent did nothing."""

    def formula(v: Values, _family: Family, _cores: int) -> float | None:
        classes = ("static", "software_dynamic", "hardware_dynamic")
        total = sum(v.get(f"{each}_dma_{what}", 0.0) for each in classes)
        return v[f"{kind}_dma_{what}"] / total if total and f"{kind}_dma_{what}" in v else None

    return formula


_SHARES = {"packet_count": "packet_percent", "size": "size_percent"}
_TIMES = "active and total time are not of one execution"
_PEAK = "another instance type, or FLOPs counted by another version's rule"

IDENTITIES: tuple[Identity, ...] = (
    Identity("total_active_time_percent", _ratio("total_active_time", "total_time"), _TIMES),
    Identity("dma_active_time_percent", _ratio("dma_active_time", "total_time"), _TIMES),
    *(
        Identity(
            f"{engine}_engine_active_time_percent",
            _ratio(f"{engine}_engine_active_time", "total_time"),
            _TIMES,
        )
        for engine in ENGINES
    ),
    *(
        Identity(
            f"{kind}_dma_{percent}", _share(kind, what), "packets of one DMA class are missing or doubled"
        )
        for kind in ("static", "software_dynamic", "hardware_dynamic")
        for what, percent in _SHARES.items()
    ),
    Identity("dma_active_cycles", _cycles("dma_active_time", lambda f: f.other_hz), "another clock", CYCLES),
    Identity("neuroncore_cycle_count", _cycles("total_time", lambda f: f.other_hz), "another clock", CYCLES),
    Identity("mm_arithmetic_intensity", _intensity, "FLOPs or HBM bytes were edited or cut"),
    Identity(
        "peak_flops_bandwidth_ratio",
        lambda _v, f, _c: f.peak_flops / f.hbm_bytes_per_s,
        "another instance type",
    ),
    Identity("mbu_estimated_percent", _bandwidth_use(_hbm), "another HBM bandwidth"),
    Identity(
        "mbu_min_read_util_percent",
        _bandwidth_use(lambda v: v.get("inputs_and_weights_size_bytes")),
        "another HBM bandwidth",
    ),
    Identity("hfu_estimated_percent", _utilisation(""), _PEAK),
    Identity("mfu_inst_estimated_percent", _utilisation("transpose_flops"), _PEAK),
)
