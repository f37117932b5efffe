"""What a collector hands to the store and what the store hands back: one vocabulary for every backend.

Times are integer nanoseconds, sizes bytes, fractions 0 to 1. None means "not known", never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

from kernels.parameters import Parameter, Setting

Provenance = Literal["measured", "simulated", "estimated"]
Phase = Literal["prefill", "decode", "host", "kernel"]
TrialState = Literal["correct", "incorrect", "refused"]

ENGINE_NAMES = ("tensor", "vector", "scalar", "gpsimd", "sync", "dma")


@dataclass(frozen=True, slots=True)
class Scan:
    """Rows of a table still in parquet files: there may be too many to hold, so the store reads as it writes.

    `query` is SQL of DuckDB for the rows, in the store's names and types; it reads `files` and nothing else.
    """

    query: str
    columns: tuple[str, ...]
    rows: int
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """One distinct execution of one kernel (or NEFF), shared by every run whose content hash it matches.

    `profile_id` is the SHA-256 of what determines it. `low_ns`/`high_ns` bound `duration_ns`;
    `interval_basis` says what earned them. `engines` is active time over duration per name of
    `ENGINE_NAMES`. `tables` are rows in Neuron Explorer's vocabulary (schema 7.4.0): Instruction,
    ActiveTime, DmaPacketAggregated, DmaPacket, DmaQueuesInfo, Flow, Warning. `scans` are further tables whose
    files must stay until the profile is stored. `raw` keeps a profiler's own summary untranslated.
    `ideal_ns` is the duration were one resource to take no time, by resource
    (`simulator.timeline.ideal`); a device cannot say it.
    """

    profile_id: str
    provenance: Provenance
    kernel: str
    target: str
    lnc: int
    duration_ns: int
    low_ns: int | None
    high_ns: int | None
    interval_basis: str
    as_written_ns: int | None
    list_scheduled_ns: int | None
    engines: Mapping[str, float | None]
    hbm_read_bytes: int | None
    hbm_write_bytes: int | None
    dma_bytes: int | None
    dma_transfers: int | None
    dma_descriptors: int | None
    macs: int | None
    instructions: int | None
    sbuf_peak_bytes: int | None
    psum_peak_banks: int | None
    bound: str | None
    tool: str
    tool_version: str
    data_dependent: str = ""
    ideal_ns: Mapping[str, int] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    scans: Mapping[str, Scan] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Launch:
    """A variant executed on given shapes in a phase, `count` times in the run.

    `covers` lists every slot the variant fills (a fused kernel fills several); it always contains `slot`.
    `time_ns` is one execution. An estimated launch has a `formula` (a sentence with numbers) and no profile;
    its `least_ns`, where known, is what it takes under other settings than the run's.
    """

    slot: str
    covers: tuple[str, ...]
    variant: str
    phase: Phase
    bucket: int | None
    count: int
    provenance: Provenance
    time_ns: int
    low_ns: int | None
    high_ns: int | None
    macs: int | None = None
    nki: bool = True
    profile_id: str | None = None
    formula: str | None = None
    least_ns: int | None = None


def mean_launch_ns(launches: Iterable[Launch]) -> float:
    """Mean time of one execution over the executions the launches count."""
    listed = tuple(launches)
    return sum(each.count * each.time_ns for each in listed) / sum(each.count for each in listed)


@dataclass(frozen=True, slots=True)
class Check:
    """One accuracy check: a variant, or the small model, against its reference. Error is the largest seen."""

    name: str
    slot: str | None
    variant: str | None
    passed: bool
    error: float | None
    tolerance: float | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One repetition of one metric, kept as measured. `metric` e.g. "e2e_ns", "ttft_ns", "launch_ns"."""

    metric: str
    repetition: int
    value: float
    launch: int | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file a run was read from."""

    path: str
    sha256: str
    bytes: int
    kind: str


@dataclass(frozen=True, slots=True)
class Run:
    """One profiled execution of a prompt, or of one kernel, with its configuration and environment.

    `prompt` is the challenge's number, None for a single kernel or an import. `session` groups the runs of
    one command. `accuracy` is 1, 0, or None when nothing was checked. `base_latency_ms` and
    `base_tokens_per_s` are the official baseline the points are computed against.
    """

    run_id: str
    session: str
    label: str
    created_at: datetime
    provenance: Provenance
    backend: str
    target: str
    lnc: int
    prompt: int | None
    prompt_tokens: int | None
    new_tokens: int | None
    seq_len: int | None
    batch: int
    kernels: Mapping[str, str]
    accuracy: int | None
    base_latency_ms: float | None
    base_tokens_per_s: float | None
    configuration: Mapping[str, Any]
    environment: Mapping[str, Any]
    wall_s: float
    launches: tuple[Launch, ...] = ()
    checks: tuple[Check, ...] = ()
    samples: tuple[Sample, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    warnings: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    """Kernel source text by "sha256:<hex>"; `configuration["source_files"]` maps file name to hash."""
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    """By profile_id. When read back from the store the profiles have no `tables`; ask the store for those."""


@dataclass(frozen=True, slots=True)
class Study:
    """A search over the parameters of one variant on one workload.

    `fingerprint` is the SHA-256 of what its times follow from (kernel, arguments, machine, simulator); trials
    of another fingerprint belong to another study. `seed` is that of the data.
    """

    study: str
    created_at: datetime
    slot: str
    variant: str
    phase: str
    target: str
    lnc: int
    prompt: int
    seq_len: int
    seed: int
    parameters: tuple[Parameter, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate of a study: a value for each parameter, and what became of it.

    "refused" by the machine's rules (`reason` is the rule) leaves no run; "incorrect" (`reason` is the failed
    check) and "correct" do. `measured_run_id` is a run of the same candidate on a device.
    """

    study: str
    number: int
    settings: Mapping[str, Setting]
    state: TrialState
    reason: str = ""
    run_id: str | None = None
    measured_run_id: str | None = None
