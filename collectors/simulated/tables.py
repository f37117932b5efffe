"""A simulation as a `Profile`: rows in Neuron Explorer's vocabulary (schema 7.4.0) and the figures of a
summary.

Rows show the list-scheduled timeline, `other_*` the as-written one.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

import numpy as np
import pyarrow as pa

from collectors.records import Profile
from collectors.simulated.flow_rows import flow_table
from collectors.simulated.instruction_rows import instruction_table
from collectors.simulated.intervals import Spans, active_shares, engine_spans, union_table
from collectors.simulated.traffic import necessary_bytes, packet_counts, spilled_bytes
from collectors.simulated.transfer_rows import packet_table, queue_table, transfer_table
from simulator.api import Simulation
from simulator.machine.facts import Machine, machine
from simulator.timelines import Timeline
from simulator.trace import Instruction

BOUND_SHARE = 0.5
"""A kernel is bound by the engine or the movement that is busy for at least this share of it (judgement)."""


def profile_of(simulation: Simulation, profile_id: str) -> Profile:
    """The profile of a simulated launch. Fractions are of the list-scheduled duration, over both cores."""
    trace, timeline = simulation.trace, simulation.list_scheduled
    facts = machine(trace.target)
    spans = engine_spans(trace, timeline)
    engines = active_shares(spans, timeline.duration_ns)
    bound = bound_of(simulation, facts, engines)
    low, high, basis = interval(simulation, facts, bound)
    moves = [i for core in trace.cores for i in core if i.transfer is not None]
    return Profile(
        profile_id=profile_id,
        provenance="simulated",
        kernel=trace.kernel,
        target=trace.target,
        lnc=trace.lnc,
        duration_ns=round(timeline.duration_ns),
        low_ns=low,
        high_ns=high,
        interval_basis=basis,
        as_written_ns=round(simulation.as_written.duration_ns),
        list_scheduled_ns=round(timeline.duration_ns),
        engines=engines,
        hbm_read_bytes=_bytes(moves, source="hbm"),
        hbm_write_bytes=_bytes(moves, target="hbm"),
        dma_bytes=_bytes(moves),
        dma_transfers=len(moves),
        dma_descriptors=sum(i.transfer.descriptors for i in moves if i.transfer),
        macs=sum(i.macs for core in trace.cores for i in core),
        instructions=sum(map(len, trace.cores)),
        sbuf_peak_bytes=timeline.sbuf_peak_bytes,
        psum_peak_banks=timeline.psum_peak_banks,
        bound=bound,
        tool="simulator",
        tool_version=f"{_version()}+{facts.digest[:12]}",
        data_dependent=", ".join(trace.data_dependent),
        raw=_raw(simulation, facts),
        tables=_tables(simulation, profile_id, spans),
    )


@cache
def _version() -> str:
    return version("nki-dashboard")


def bound_of(simulation: Simulation, facts: Machine, engines: dict[str, float | None]) -> str:
    """What the launch spends its time on: an engine, "dma", or "latency" when nothing is busy half the time.

    An engine counts by its active share, data movement by the work of the DMA engines and of the HBM stack,
    which unlike the time a transfer is under way contains no latency.
    """
    shares = {name: value or 0.0 for name, value in engines.items() if name not in {"dma", "sync"}}
    shares["dma"] = movement_share(simulation, facts)
    name = max(shares, key=lambda n: shares[n])
    return name if shares[name] >= BOUND_SHARE else "latency"


def movement_share(simulation: Simulation, facts: Machine) -> float:
    """Busy share of the busiest DMA engine or of the HBM stack, whichever is larger."""
    duration = simulation.list_scheduled.duration_ns
    if not duration:
        return 0.0
    moved, engines = simulation.plan.transfers, int(facts.dma.engines)
    transfer, engine = np.nonzero(moved["mask"][:, None] >> np.arange(engines) & 1)
    each = moved["core"][transfer] * engines + engine
    busiest = np.bincount(each, moved["work_ns"][transfer]).max(initial=0.0)
    crossing = int(moved["hbm_bytes"].sum())
    return float(max(busiest / duration, crossing / facts.hbm.bytes_per_ns / duration))


def interval(simulation: Simulation, facts: Machine, bound: str) -> tuple[int, int, str]:
    """Low and high: the list-scheduled duration, give or take what this kind of kernel has earned."""
    constant = facts.constants[f"interval.{bound}"]
    time = simulation.list_scheduled.duration_ns
    basis = (
        f"estimated: ±{constant.value:.0%} for a {bound}-bound kernel ({constant.kind}: {constant.source})"
    )
    return round(time * (1 - constant.value)), round(time * (1 + constant.value)), basis


def _bytes(moves: list[Instruction], *, source: str | None = None, target: str | None = None) -> int:
    return sum(
        i.transfer.bytes
        for i in moves
        if i.transfer
        and source in (None, i.transfer.source_memory)
        and target in (None, i.transfer.target_memory)
    )


def _raw(simulation: Simulation, facts: Machine) -> dict[str, object]:
    timeline: Timeline = simulation.list_scheduled
    throttled = {f"throttle_active_nc{c}_time_ns": round(t) for c, t in enumerate(timeline.throttled_ns)}
    return {
        "necessary_hbm_bytes": necessary_bytes(simulation.trace),
        "profile_envelope_ns": facts.profile.envelope_ns,
        "machine_table": facts.digest,
        **packet_counts(simulation.trace, facts),
        **spilled_bytes(simulation.trace),
        **throttled,
    }


def _tables(simulation: Simulation, profile_id: str, spans: Spans) -> dict[str, pa.Table]:
    trace, timeline = simulation.trace, simulation.list_scheduled
    tables = {
        "Instruction": instruction_table(simulation),
        "ActiveTime": union_table(spans),
        "DmaPacketAggregated": transfer_table(trace, timeline),
        "DmaPacket": packet_table(trace, timeline),
        "DmaQueuesInfo": queue_table(trace, timeline),
        "Flow": flow_table(trace, timeline),
        "Warning": pa.table(
            {
                "message": pa.array(trace.warnings, pa.string()),
                "category": pa.array(["simulator"] * len(trace.warnings), pa.string()),
            }
        ),
    }
    return {name: _owned(table, profile_id) for name, table in tables.items()}


def _owned(table: pa.Table, profile_id: str) -> pa.Table:
    return table.append_column("profile_id", pa.repeat(profile_id, table.num_rows))
