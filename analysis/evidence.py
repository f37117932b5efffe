"""What the rules may look at: one launch, its profile, what its tables add up to, its place in the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.causes import transfers_of
from analysis.columns import Array, Tables, integers, known, table, texts, union
from analysis.machine_facts import MachineFacts
from analysis.stalls import ISSUING, WAITING, EngineTime, stalls
from analysis.totals import totals
from collectors.records import Launch, Profile, Run

_FP32 = ("float32", "fp32")


@dataclass(frozen=True, slots=True)
class Signals:
    """What a profile's tables add up to. None where the table or the column is not there.

    Packets stand for transfers where the profiler could not put them together.

    `*_ns` sum durations. `queue_ns` is busy time by DMA queue, `core_busy_ns` the time any engine of a core
    computed.
    """

    matmuls: int | None = None
    matmul_ns: int | None = None
    fp32_matmul_ns: int | None = None
    weight_loads: int | None = None
    table_loads: int | None = None
    table_load_ns: int | None = None
    software_transfers: int | None = None
    transfers: int | None = None
    queue_ns: Mapping[str, int] | None = None
    core_busy_ns: Mapping[int, int] | None = None
    engine_times: tuple[EngineTime, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One launch before the rules; an estimated one has no profile.

    `following` is the next launch of its graph, None at the end. `share` is the launch's part of the
    end-to-end time. `useful_macs` is what its MACs would be without padding, where the run says.
    """

    launch: Launch
    profile: Profile | None
    machine: MachineFacts | None
    signals: Signals
    following: Launch | None = None
    share: float | None = None
    useful_macs: float | None = None


def evidence(
    run: Run,
    launch: Launch,
    machine: MachineFacts | None = None,
    tables: Tables | None = None,
    e2e_ns: float | None = None,
) -> Evidence:
    """Gather what the run, the launch's profile and its tables (where given) say about a launch.

    `e2e_ns` is the run's end-to-end time where the caller has it already.
    """
    profile = run.profiles.get(launch.profile_id or "")
    whole = e2e_ns if e2e_ns is not None else _end_to_end(run)
    graph = [each for each in run.launches if each.phase == launch.phase and _same_graph(each, launch)]
    place = next(i for i, each in enumerate(graph) if each is launch)
    following = graph[place + 1] if place + 1 < len(graph) else None
    return Evidence(
        launch=launch,
        profile=profile,
        machine=machine,
        signals=signals(profile, tables) if profile and tables else Signals(),
        following=following,
        share=launch.count * launch.time_ns / whole if whole else None,
        useful_macs=_useful_macs(run, launch),
    )


def _end_to_end(run: Run) -> float | None:
    whole = totals(run)
    known = whole.e2e_ns or whole.kernel_ns
    return known.value if known else None


def signals(profile: Profile, tables: Tables) -> Signals:
    """Sums over a profile's tables."""
    rows, dma = table(tables, "Instruction"), transfers_of(tables)
    values: dict[str, object] = {}
    if rows is not None:
        values |= _from_instructions(rows) | {"engine_times": stalls(profile.duration_ns, tables)}
    if dma is not None:
        values |= _from_transfers(dma)
    return Signals(**values)  # type: ignore[arg-type]


def _from_instructions(rows: pa.Table) -> dict[str, object]:
    opcodes, lengths, fp32 = texts(rows, "opcode"), _lengths(rows), _is_fp32(rows)
    matmul, loads = opcodes.among("MATMUL"), opcodes.among("ACT_TABLE_LOAD")
    return {
        "matmuls": int(matmul.sum()),
        "matmul_ns": int(lengths[matmul].sum()),
        "fp32_matmul_ns": None if fp32 is None else int(lengths[matmul & fp32].sum()),
        "weight_loads": int(opcodes.among("LDWEIGHTS").sum()),
        "table_loads": int(loads.sum()),
        "table_load_ns": int(lengths[loads].sum()),
        "core_busy_ns": _core_busy(rows),
    }


def _from_transfers(dma: pa.Table) -> dict[str, object]:
    kinds = texts(dma, "queue_type")
    data = ~kinds.among("instruction")
    return {
        "transfers": int(data.sum()),
        "software_transfers": int(kinds.among("software_dynamic").sum()) if kinds.any() else None,
        "queue_ns": _queue_busy(dma, data),
    }


def _queue_busy(dma: pa.Table, data: Array) -> dict[str, int] | None:
    queues = texts(dma, "queue_name")
    if not queues.any():
        return None
    start, end = integers(dma, "start_ts"), integers(dma, "end_ts")
    chosen = {name: data & queues.among(name) for name in queues.values}
    return {name: union(start[mine], end[mine]) for name, mine in chosen.items() if mine.any()}


def _is_fp32(rows: pa.Table) -> Array | None:
    """Which instructions multiply fp32: by fourfold adjusted FLOPs, or by their operands' dtypes."""
    raw, adjusted = integers(rows, "raw_flops"), integers(rows, "adjusted_flops")
    if known(rows, "adjusted_flops").any():
        return np.asarray((raw > 0) & (adjusted >= 4 * raw))
    operands = texts(rows, "operands")
    return operands.where(lambda text: any(word in text for word in _FP32)) if operands.any() else None


def _core_busy(rows: pa.Table) -> dict[int, int]:
    cores, start, end = (integers(rows, name) for name in ("pcore_idx", "start_ts", "end_ts"))
    work = ~texts(rows, "opcode").among(*ISSUING, *WAITING)
    mine = {int(core): (cores == core) & work for core in np.unique(cores)}
    return {core: union(start[rows_], end[rows_]) if rows_.any() else 0 for core, rows_ in mine.items()}


def _lengths(rows: pa.Table) -> Array:
    return np.asarray(integers(rows, "end_ts") - integers(rows, "start_ts"))


def _same_graph(a: Launch, b: Launch) -> bool:
    return a.bucket is None or b.bucket is None or a.bucket == b.bucket


def _useful_macs(run: Run, launch: Launch) -> float | None:
    """Prefill experts: the prompt's tokens at what one decode step's experts cost, if the run has both."""
    if "experts_prefill" not in launch.covers or run.prompt_tokens is None:
        return None
    step = next((each for each in run.launches if "experts_decode" in each.covers), None)
    return run.prompt_tokens * step.macs if step and step.macs else None
