"""What the fields of a summary must be of one another, and of the rows beside it.

The formulas are Neuron Explorer's documented ones (summary terminology); each holds to `TOLERANCE` on 132
real records of versions 2.27, 2.28 and 2.32. One that fails means a damaged file, a version whose fields mean
something else, or numbers printed as percentages.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from collectors.readers.machines import Family
from collectors.readers.normalise import number
from collectors.readers.row_sums import RowSum

TOLERANCE = 1e-3
CYCLES = 5e-3
ROWS = 5e-3
"""Relative difference between rows and summary beyond the rounding of rows."""
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
    from_rows: Mapping[str, RowSum] | None = None,
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


def _of_rows(values: Values, from_rows: Mapping[str, RowSum]) -> Iterator[Disagreement]:
    for name, expected in from_rows.items():
        said = values.get(name)
        if said is None or said < 0 or abs(said - expected.value) <= expected.slack + ROWS * abs(said):
            continue
        yield Disagreement(name, said, expected.value, _cause_of_rows(name, said, expected.value))


def _cause_of_rows(name: str, said: float, expected: float) -> str:
    if name.startswith("hbm") or not expected or abs(said / expected - 2) > ROWS:
        return "the rows and the summary are not of the same execution, or rows are missing"
    return "the summary counts them twice, or half of the rows are missing"


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


def _instruction_flops(v: Values) -> float | None:
    return v["hardware_flops"] - v.get("transpose_flops", 0.0) if "hardware_flops" in v else None


def _model_flops(v: Values) -> float | None:
    """FLOPs the HLO says the model needs; 0 without HLO stats, as with NKI kernels alone."""
    return v.get("model_flops")


def _either_flops(v: Values) -> float | None:
    return _model_flops(v) or _instruction_flops(v)


def _of_model(v: Values, family: Family, cores: int) -> float | None:
    flops = _model_flops(v)
    if flops is None or not v.get("total_time"):
        return None
    return flops / (v["total_time"] * family.peak_flops * cores)


def _mfu(v: Values, family: Family, cores: int) -> float | None:
    """Of the HLO's FLOPs where there are any, of the instructions' otherwise."""
    formula = _of_model if _model_flops(v) else _utilisation("transpose_flops")
    return formula(v, family, cores)


def _achievable(flops_of: Callable[[Values], float | None]) -> Formula:
    """What the bandwidth of HBM leaves of the peak at this arithmetic intensity."""

    def formula(v: Values, family: Family, cores: int) -> float | None:
        flops, moved = flops_of(v), _hbm(v)
        if flops is None or not moved:
            return None
        return min(1.0, flops / moved * family.hbm_bytes_per_s / (family.peak_flops * cores))

    return formula


def _limit(core: int) -> Formula:
    """Σ of the throttles' limits times their shares of the time; what no notification covers counts 0."""

    def formula(v: Values, _family: Family, _cores: int) -> float | None:
        kinds = [
            found
            for name in v
            if (found := re.fullmatch(rf"throttle_(\w+)_active_time_nc{core}_percent", name))
        ]
        limits = [
            (v.get(f"throttle_{kind[1]}_avg_util_limit_nc{core}_percent"), v[kind[0]]) for kind in kinds
        ]
        known = [limit * active for limit, active in limits if limit is not None]
        return sum(known) if known and len(known) == len(limits) else None

    return formula


_ACHIEVABLE: Mapping[str, Callable[[Values], float | None]] = {
    "": _either_flops,
    "inst_": _instruction_flops,
    "hlo_": _model_flops,
}
_LIMIT = "a kind of throttling is missing"
MAX_CORE = 16
"""Physical cores are numbered below it."""
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
    Identity("mfu_hlo_estimated_percent", _of_model, _PEAK),
    Identity("mfu_estimated_percent", _mfu, "HLO's FLOPs or the instructions', whichever it is not"),
    *(
        Identity(f"mfu_{kind}max_achievable_estimated_percent", _achievable(flops), _PEAK)
        for kind, flops in _ACHIEVABLE.items()
    ),
    Identity(
        "dma_transfer_average_bytes",
        _ratio("dma_transfer_total_bytes", "dma_transfer_count"),
        "transfers are missing or doubled",
    ),
    *(
        Identity(f"throttle_avg_util_limit_nc{core}_percent", _limit(core), _LIMIT)
        for core in range(MAX_CORE)
    ),
)
