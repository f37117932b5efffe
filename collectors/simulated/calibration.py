"""Which kernels have a public time, where their source is, and with what arguments they were measured."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from analysis.measured import Role, Skipped
from collectors.errors import UnreadableInput
from collectors.simulated.known_kernels import KNOWN, UNPUBLISHED, Key, Shapes, Steering
from kernels.ladder.measured import AGENTIC, RUNGS, Rung
from simulator.kernel_ref import KernelRef
from simulator.machine.facts import machine

DTYPES: Mapping[str, np.dtype[Any]] = {
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "fp32": np.dtype(np.float32),
    "int8": np.dtype(np.int8),
    "int32": np.dtype(np.int32),
}
PROFILED = "device profile"


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel with the shapes and dtype of its arguments; `dtypes` names those of another dtype."""

    kernel: KernelRef
    shapes: Mapping[str, tuple[int, ...]]
    dtype: str
    dtypes: Mapping[str, str] = field(default_factory=dict)
    steering: Mapping[str, Steering] = field(default_factory=dict)

    def arguments(self) -> dict[str, np.ndarray[Any, Any]]:
        """Zeros, and seeded values where they steer the kernel."""
        zeros = {
            name: np.zeros(shape, DTYPES[self.dtypes.get(name, self.dtype)])
            for name, shape in self.shapes.items()
        }
        return zeros | {name: one.drawn() for name, one in self.steering.items()}


@dataclass(frozen=True, slots=True)
class Case:
    """A measured row: one launch, or several whose times were added. Fractions and bytes where printed."""

    id: str
    family: str
    name: str
    problem: str
    method: str
    role: Role
    source: str
    target: str
    lnc: int
    measured_ns: float
    launches: tuple[Launch, ...]
    active: Mapping[str, float] = field(default_factory=dict)
    hbm_bytes: Mapping[str, float] = field(default_factory=dict)
    packets: Mapping[str, float] = field(default_factory=dict)

    def around(self) -> str:
        """The machine's constant of what the measurement contains beside each kernel."""
        return "profile.envelope_ns" if self.method.startswith(PROFILED) else "profile.benchmark_ns"

    def around_ns(self) -> float:
        """What the measurement contains beside the kernels."""
        facts = machine(self.target)
        return facts.constants[self.around()].value * len(self.launches)

    def skipped(self, reason: str) -> Skipped:
        """The row as one that was not predicted."""
        return Skipped(self.id, self.family, self.name, self.problem, self.measured_ns, reason)


def ladder() -> list[Case]:
    """The matmul ladder, whose kernels are part of this project."""
    return [_rung(at, rung) for at, rung in enumerate(RUNGS)]


def _rung(at: int, rung: Rung) -> Case:
    shapes = {"lhs_t": (rung.depth, rung.rows), "rhs": (rung.depth, rung.columns)}
    kernel = KernelRef(rung.function, module="kernels.ladder.matmul")
    return Case(
        id=f"ladder-{at}",
        family="matmul ladder",
        name=rung.name,
        problem=f"{rung.rows}x{rung.depth}x{rung.columns} {rung.dtype}",
        method=PROFILED,
        role="validation",
        source=rung.source,
        target="trn2",
        lnc=1,
        measured_ns=rung.measured_us * 1e3,
        launches=(Launch(kernel, shapes, rung.dtype),),
        active={name: us / rung.measured_us for name, us in rung.active_us.items()},
    )


COLUMNS = (
    "id",
    "source_repo",
    "kernel_file",
    "kernel",
    "variant",
    "params",
    "dtype",
    "hw",
    "method",
    "latency_us",
)
ACTIVE = {
    "tensor": "te_pct",
    "vector": "ve_pct",
    "scalar": "se_pct",
    "gpsimd": "gpsimd_pct",
    "dma": "dma_pct",
}
HBM = {"read": "hbm_read_bytes", "write": "hbm_write_bytes"}
AGENTIC_REPO = AGENTIC.split(",")[0]


def read_calibration(path: Path, kernels: Path | None) -> tuple[list[Case], list[Skipped]]:
    """Rows of a calibration CSV whose source is under `kernels`, and those without, with why.

    Columns are `COLUMNS`, and those of `ACTIVE` (fractions) and `HBM` (bytes) where known; latency is in µs.
    Raises `UnreadableInput`.
    """
    cases: list[Case] = []
    skipped: list[Skipped] = []
    for row in _csv(path):
        case, missing = _case(row, kernels)
        if missing:
            skipped.append(case.skipped(missing))
        else:
            cases.append(case)
    return cases, skipped


def _csv(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableInput(f"cannot read {path}: {error}", "give a CSV of measured rows") from None
    missing = [name for name in COLUMNS if rows and name not in rows[0]]
    if missing or not rows:
        what = f"lacks the columns {', '.join(missing)}" if missing else "has no rows"
        raise UnreadableInput(f"{path} {what}", f"the columns are {', '.join(COLUMNS)}")
    return rows


def _case(row: Mapping[str, str], kernels: Path | None) -> tuple[Case, str]:
    """The row as a case, and why it cannot be predicted ("" when it can)."""
    key = (row["source_repo"], row["kernel_file"], row["variant"])
    known = KNOWN.get(key)
    launches, missing = _launches(row, key, kernels)
    case = Case(
        id=row["id"],
        family=known.family if known else row["kernel"],
        name=f"{row['kernel']} {row['variant']}",
        problem=f"{row['params']} {row['dtype']}",
        method=row["method"],
        role="fitted" if known and known.was_fitted(row["params"]) else "validation",
        source=f"{row['source_repo']} {row['kernel_file']}",
        target=row["hw"][:4],
        lnc=known.lnc if known else 1,
        measured_ns=1e3 * _number(row, "latency_us"),
        launches=launches,
        active={name: _number(row, column) for name, column in ACTIVE.items() if row.get(column)},
        hbm_bytes={name: _number(row, column) for name, column in HBM.items() if row.get(column)},
        packets=known.packets_of(row["params"], row["method"]) if known else {},
    )
    return case, missing


def _launches(row: Mapping[str, str], key: Key, kernels: Path | None) -> tuple[tuple[Launch, ...], str]:
    known = KNOWN.get(key)
    if row["source_repo"] == AGENTIC_REPO:
        return (), "the same measurement is a row of the matmul ladder"
    if key in UNPUBLISHED:
        return (), UNPUBLISHED[key]
    if known is None:
        return (), f"no kernel and argument shapes are known for {row['kernel_file']} ({row['variant']})"
    name = row["source_repo"].partition("/")[2]
    if kernels is None:
        return (), f"its source is not part of this project: --kernels-from a folder with a clone of {name}"
    file = kernels / name / (known.file or row["kernel_file"])
    if not file.is_file():
        return (), f"there is no {file}" + (f": check out {known.commit} there" if known.commit else "")
    params = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", row["params"])}
    return tuple(
        Launch(
            KernelRef(function, file=str(file)),
            _shapes(shapes, params),
            row["dtype"],
            known.dtypes,
            known.steering,
        )
        for function, shapes in known.launches
    ), ""


def _shapes(shapes: Shapes, params: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(params[size] if isinstance(size, str) else size for size in shape)
        for name, shape in shapes.items()
    }


def _number(row: Mapping[str, str], column: str) -> float:
    try:
        return float(row[column])
    except ValueError:
        raise UnreadableInput(
            f"row {row['id']}: {column} is {row[column]!r}, not a number", "correct the row"
        ) from None
