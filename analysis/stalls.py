"""Where each engine's time goes: working, waiting for data, waiting for an engine, issuing, idle.

Built from starts and ends alone. Summed wait times of a profiler are of no use here: waits of queued
instructions overlap, and add up to many times the profile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.causes import DATA, UNKNOWN, arrivals, flow_causes, nearest_is_data, transfers_of
from analysis.columns import Array, Tables, engines, integers, known, table, texts
from analysis.rules.thresholds import ISSUE_GAP_NS
from collectors.records import ENGINE_NAMES

COMPUTE_ENGINES = tuple(name for name in ENGINE_NAMES if name != "dma")

# A semaphore instruction lasts as long as what it waits for.
WAITING = frozenset({"EVENT_SEMAPHORE", "SEMAPHORE_WAIT", "CORE_BARRIER"})

# Sequencing and DMA triggers: instructions nki-library's metrics do not count as execution
# (aws-neuron/nki-library, ActiveInferenceTime), those that start transfers, and register moves. Time an
# engine spends but computes nothing in.
ISSUING = frozenset(
    {
        *("NOP", "SET_ORDERING_MODE", "NOTIFY", "COMPARE_BRANCH", "DRAIN", "EVENT_SEMAPHORE_RANGE_CLEAR"),
        *("WRITE", "TENSOR_LOAD", "ALU_OP", "MOVE", "MODIFY_POOL_CONFIG", "ACT_TABLE_LOAD"),
        *("REGISTER_LOAD", "REGISTER_MOVE", "REGISTER_STORE"),
        *("DMA_DIRECT2D", "PSEUDO_DMA_DIRECT2D", "PSEUDO_DMA_TRIGGER", "DMA_TRIGGER", "DMA_INDIRECT"),
    }
)


@dataclass(frozen=True, slots=True)
class EngineTime:
    """One engine of one core over a profile, in ns. The five kinds sum exactly to the profile's duration.

    `waiting_data_ns` waits for a DMA transfer, `waiting_engine_ns` for another engine's result; `issuing_ns`
    is sequencing, DMA triggers and the fixed gap between instructions; `idle_ns` has nothing left (or yet) to
    do.
    """

    core: int
    engine: str
    working_ns: int
    waiting_data_ns: int
    waiting_engine_ns: int
    issuing_ns: int
    idle_ns: int
    instructions: int

    @property
    def busy_ns(self) -> int:
        """Working and issuing."""
        return self.working_ns + self.issuing_ns


@dataclass(frozen=True, slots=True)
class Attribution:
    """Per instruction of one engine (`rows` of the table): the ns it accounts for, by kind."""

    core: int
    engine: str
    rows: Array
    working: Array
    issuing: Array
    waiting_data: Array
    waiting_engine: Array
    idle_ns: int

    @property
    def busy(self) -> Array:
        """Working and issuing."""
        return self.working + self.issuing

    @property
    def waiting(self) -> Array:
        """Waiting for data or for an engine."""
        return self.waiting_data + self.waiting_engine


def stalls(duration_ns: int, tables: Tables) -> tuple[EngineTime, ...]:
    """Time of every engine and core that has an instruction; empty when there is no Instruction table."""
    return tuple(
        EngineTime(
            core=each.core,
            engine=each.engine,
            working_ns=int(each.working.sum()),
            waiting_data_ns=int(each.waiting_data.sum()),
            waiting_engine_ns=int(each.waiting_engine.sum()),
            issuing_ns=int(each.issuing.sum()),
            idle_ns=each.idle_ns,
            instructions=len(each.rows),
        )
        for each in attributions(duration_ns, tables)
    )


def attributions(duration_ns: int, tables: Tables) -> tuple[Attribution, ...]:
    """Every engine's time laid on its instructions; empty when there is no Instruction table."""
    rows = table(tables, "Instruction")
    if rows is None:
        return ()
    return tuple(_each_engine(duration_ns, rows, tables))


def _each_engine(duration_ns: int, rows: pa.Table, tables: Tables) -> Iterator[Attribution]:
    cores, names = integers(rows, "pcore_idx"), engines(rows)
    start, end = (np.clip(integers(rows, name), 0, duration_ns) for name in ("start_ts", "end_ts"))
    ready, has_ready = integers(rows, "ready_ts"), known(rows, "ready_ts")
    opcodes = texts(rows, "opcode")
    waits, issues = opcodes.among(*WAITING), opcodes.among(*ISSUING)
    flow, transfers = flow_causes(rows, tables), transfers_of(tables)
    for core in np.unique(cores):
        arrived = arrivals(transfers, int(core))
        for engine in COMPUTE_ENGINES:
            named = names.among(engine)
            mine = np.flatnonzero((cores == core) & named)
            if not len(mine):
                continue
            mine = mine[np.argsort(start[mine], kind="stable")]
            others = np.sort(end[(cores == core) & ~named & ~waits])
            yield _engine(
                (int(core), engine, mine),
                (start[mine], np.maximum(end[mine], start[mine])),
                np.where(has_ready[mine], ready[mine], -1),
                (waits[mine], issues[mine]),
                (flow[mine], arrived, others),
                duration_ns,
            )


def _engine(
    who: tuple[int, str, Array],
    times: tuple[Array, Array],
    ready: Array,
    kinds: tuple[Array, Array],
    causes: tuple[Array, Array, Array],
    duration_ns: int,
) -> Attribution:
    """Cut [0, duration) at the running maximum of ends: each instruction owns its gap and what it adds."""
    start, end = times
    waits, issues = kinds
    reached = np.maximum.accumulate(end)
    before = np.concatenate(([0], reached[:-1]))
    gap = np.maximum(start - before, 0)
    own = reached - np.maximum(before, start)
    waited = np.where(ready >= 0, np.clip(ready - before, 0, gap), np.maximum(gap - ISSUE_GAP_NS, 0))
    idle = int(duration_ns - reached[-1])
    issued = gap - waited
    if ready[0] < 0:
        # Without ready times nothing says that an engine's first instruction waited for anything.
        idle, waited[0], issued[0] = idle + int(gap[0]), 0, 0
    flow, arrived, others = causes
    nearest = nearest_is_data(np.where(ready >= 0, np.maximum(ready, before), start), arrived, others)
    for_data = np.where(flow == UNKNOWN, nearest, flow == DATA)
    wait = waited + np.where(waits, own, 0)
    return Attribution(
        core=who[0],
        engine=who[1],
        rows=who[2],
        working=np.where(waits | issues, 0, own),
        issuing=issued + np.where(issues & ~waits, own, 0),
        waiting_data=np.where(for_data, wait, 0),
        waiting_engine=np.where(for_data, 0, wait),
        idle_ns=idle,
    )
