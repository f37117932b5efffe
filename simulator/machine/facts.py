"""The machine tables as typed values: `machine("trn2")`, `machine("trn3")`.

Every constant is written in `<target>.toml` with its value, unit, source and kind. `documented` is printed by
AWS, `derived` is computed from printed figures, `fitted` was fitted to public profiles (the source names
them), `assumed` is judgement. The targets differ in their tables only; no code asks which target it runs
for.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args, get_type_hints

from simulator.errors import SimulatorError

Kind = Literal["documented", "derived", "fitted", "assumed"]
KINDS: tuple[str, ...] = get_args(Kind)
TARGETS = ("trn2", "trn3")


class MachineTableError(SimulatorError):
    """A machine table that lacks a constant, or has one nobody reads."""


@dataclass(frozen=True, slots=True)
class Constant:
    """One figure of a machine table with where it comes from."""

    value: float
    unit: str
    source: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class TensorEngine:
    """The systolic array. Times of a matmul are in its own cycles, per row of the moving tile."""

    clock_ghz: float
    rows: float
    columns: float
    row_cycles: float
    double_row_cycles: float
    fp32_passes: float
    fp32_pass_cycles: float
    transpose_fp32_passes: float
    min_interval_cycles: float
    load_cycles: float
    load_fp32_cycles: float
    issue_ns: float
    pipeline_ns: float
    mx_rows: float
    fp8_rows: float
    throttled_rate: float
    throttle_window_ns: float
    throttle_release_share: float


@dataclass(frozen=True, slots=True)
class ElementEngine:
    """An engine that streams the free dimension over 128 lanes.

    `wide_elements`, `fp8_elements` and `narrow_elements` are elements a lane takes per cycle in the fast
    mode, for BF16 and FP16, with FP8 among them, and for other operands in SBUF; `psum_share` is what remains
    of them when an operand is in PSUM. `issue_ns` is added to every instruction's stream before the next may
    start, `drain_ns` after that until its result is complete, `pointer_ns` when an operand is one value per
    partition read from memory.
    """

    clock_ghz: float
    wide_elements: float
    narrow_elements: float
    fp8_elements: float
    psum_share: float
    two_input_share: float
    min_interval_cycles: float
    start_cycles: float
    issue_ns: float
    drain_ns: float
    pointer_ns: float
    reciprocal_cycles: float
    exponential_elements: float
    quantize_elements: float
    table_load_ns: float


@dataclass(frozen=True, slots=True)
class Sequencer:
    """What an instruction sequencer does itself."""

    register_op_ns: float
    register_load_ns: float
    branch_ns: float


@dataclass(frozen=True, slots=True)
class Semaphores:
    """From a completed result to the start of an instruction that waited for it."""

    engine_ns: float
    tensor_ns: float
    transfer_ns: float
    transfer_to_trigger_ns: float


@dataclass(frozen=True, slots=True)
class Dma:
    """DMA engines, queues and descriptor generation. Rates are bytes per ns of one engine (equal to GB/s)."""

    engines: float
    bytes_per_ns: float
    descriptor_ns: float
    shortest_descriptor_ns: float
    completion_ns: float
    packet_bytes: float
    ring_descriptors: float
    max_descriptor_bytes: float
    small_write_bytes: float
    small_write_ns: float
    partitions_per_engine: float
    hwdge_issue_ns: float
    hwdge_descriptor_ns: float
    hwdge_gap_ns: float
    hwdge_latency_ns: float
    swdge_prepare_ns: float
    swdge_prepare_descriptor_ns: float
    swdge_issue_ns: float
    swdge_static_ns: float
    swdge_dynamic_ns: float
    swdge_latency_ns: float
    static_issue_ns: float
    static_latency_ns: float
    mixed_share: float
    hbm_read_ns: float
    read_spread_ns: float
    read_tail_share: float
    read_tail_ns: float
    write_tail_ns: float
    transpose_from_hbm: float
    transpose_from_sbuf: float


@dataclass(frozen=True, slots=True)
class Hbm:
    """One HBM stack, shared by `cores` cores."""

    bytes_per_ns: float
    cores: float


@dataclass(frozen=True, slots=True)
class OnChip:
    """SBUF and PSUM of one core."""

    partitions: float
    sbuf_partition_bytes: float
    psum_banks: float
    psum_bank_bytes: float


@dataclass(frozen=True, slots=True)
class Pair:
    """The two cores of a logical NeuronCore, and cores beyond it."""

    barrier_ns: float
    gpsimd_dma_bytes_per_ns: float
    collective_ns: float
    collective_bytes_per_ns: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What a measurement contains beside the kernel: a profile's total time, `nki.benchmark`'s time, and a
    profile's active time by engine.
    """

    envelope_ns: float
    benchmark_ns: float
    tensor_active_ns: float
    vector_active_ns: float
    scalar_active_ns: float
    gpsimd_active_ns: float
    sync_active_ns: float
    dma_active_ns: float


@dataclass(frozen=True, slots=True)
class Interval:
    """Half-widths, as shares of a simulated duration, by what bounds the kernel."""

    tensor: float
    vector: float
    scalar: float
    gpsimd: float
    dma: float
    latency: float


@dataclass(frozen=True, slots=True)
class Machine:
    """One NeuronCore generation. `constants` maps "section.name" to the figure and its source.

    `digest` is the SHA-256 of the table's text.
    """

    target: str
    digest: str
    tensor: TensorEngine
    vector: ElementEngine
    scalar: ElementEngine
    gpsimd: ElementEngine
    sequencer: Sequencer
    semaphores: Semaphores
    dma: Dma
    hbm: Hbm
    onchip: OnChip
    pair: Pair
    profile: Profile
    interval: Interval
    constants: dict[str, Constant]


def targets() -> tuple[str, ...]:
    """The targets that have a table."""
    return TARGETS


def machine(target: str) -> Machine:
    """The table of `target`; raises `MachineTableError` for a target without one."""
    return _INSTEAD.get(target) or _read(target)


_INSTEAD: dict[str, Machine] = {}


@contextmanager
def instead(table: Machine) -> Iterator[None]:
    """Within it, `machine` answers with `table` for its target: how times would be by other constants."""
    before = _INSTEAD.get(table.target)
    _INSTEAD[table.target] = table
    try:
        yield
    finally:
        del _INSTEAD[table.target]
        if before is not None:
            _INSTEAD[table.target] = before


def with_values(table: Machine, values: Mapping[str, float]) -> Machine:
    """The table with other values of some constants ("section.name"); its digest tells it apart."""
    constants = dict(table.constants)
    sections: dict[str, Any] = {}
    for name, value in values.items():
        section, key = name.split(".")
        constants[name] = replace(constants[name], value=value)
        sections[section] = replace(sections.get(section, getattr(table, section)), **{key: value})
    digest = hashlib.sha256(f"{table.digest} {sorted(values.items())}".encode()).hexdigest()
    return replace(table, digest=digest, constants=constants, **sections)


@cache
def _read(target: str) -> Machine:
    if target not in TARGETS:
        raise MachineTableError(
            f"No machine table for target {target!r}.", f"Use one of {', '.join(TARGETS)}."
        )
    text = resources.files(__package__).joinpath(f"{target}.toml").read_text(encoding="utf-8")
    return parse(target, text)


def parse(target: str, text: str) -> Machine:
    """A machine from its table's text; raises `MachineTableError` when a constant is missing or unread."""
    table = tomllib.loads(text)
    types = get_type_hints(Machine)
    sections: dict[str, Any] = {}
    constants: dict[str, Constant] = {}
    for name in (f.name for f in fields(Machine) if f.name not in {"target", "digest", "constants"}):
        rows = _constants(target, name, table.pop(name, {}), types[name])
        constants |= {f"{name}.{key}": row for key, row in rows.items()}
        sections[name] = types[name](**{key: row.value for key, row in rows.items()})
    if table:
        raise MachineTableError(
            f"{target}.toml has sections nobody reads: {', '.join(table)}.", "Remove them."
        )
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Machine(target=target, digest=digest, constants=constants, **sections)


def _constants(target: str, section: str, rows: dict[str, Any], kind: type) -> dict[str, Constant]:
    wanted = {f.name for f in fields(kind)}
    wrong = wanted.symmetric_difference(rows)
    if wrong:
        names = ", ".join(sorted(wrong))
        raise MachineTableError(
            f"{target}.toml [{section}] and {kind.__name__} disagree about: {names}.",
            "Give every constant a row with value, unit, kind and source.",
        )
    return {name: _constant(f"{target}.toml {section}.{name}", row) for name, row in rows.items()}


def _constant(where: str, row: dict[str, Any]) -> Constant:
    if (
        set(row) != {"value", "unit", "kind", "source"}
        or row["kind"] not in KINDS
        or not row["source"].strip()
    ):
        raise MachineTableError(
            f"{where} is not a constant with value, unit, kind and source.",
            f"kind is one of {', '.join(KINDS)}.",
        )
    return Constant(float(row["value"]), row["unit"], row["source"], row["kind"])
