"""Predicted against measured, instruction by instruction and packet by packet. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import median

from simulator.costs.dma import descriptor_time
from simulator.costs.table import CostTable
from simulator.fidelity.replay import Replay
from simulator.machine.facts import Machine
from simulator.timeline.schedule import schedule
from simulator.timelines import Timeline
from simulator.trace import ENGINES, Instruction, Trace


@dataclass(frozen=True, slots=True)
class Residual:
    """One kind of instruction or packet: medians in ns, and the relative error of the prediction."""

    kind: str
    count: int
    predicted_ns: float
    measured_ns: float

    @property
    def error(self) -> float:
        """(predicted - measured) / measured."""
        return self.predicted_ns / self.measured_ns - 1


@dataclass(frozen=True, slots=True)
class Total:
    """A whole replayed stream: from its first instruction to its last instruction or transfer, ns."""

    predicted_ns: float
    measured_ns: float
    start_error_ns: float
    active_ns: Mapping[str, float]

    @property
    def error(self) -> float:
        """(predicted - measured) / measured."""
        return self.predicted_ns / self.measured_ns - 1


def duration_residuals(replays: Iterable[Replay], machine: Machine) -> list[Residual]:
    """Durations of compute instructions at the tensor engine's full rate, by call, dtypes, memories and
    elements.

    A matmul's measured median contains throttled executions; its fastest execution is compared instead.
    """
    measured: dict[str, list[float]] = {}
    predicted: dict[str, float] = {}
    costs = CostTable(machine)
    for each in replays:
        for instruction, duration in zip(each.trace.cores[0], each.duration_ns, strict=True):
            if instruction.transfer is None:
                kind = _kind(instruction)
                measured.setdefault(kind, []).append(duration)
                predicted[kind] = costs(instruction).latency_ns
    return [
        Residual(
            kind, len(found), predicted[kind], min(found) if kind.startswith("tensor") else median(found)
        )
        for kind, found in sorted(measured.items())
    ]


def packet_residuals(samples: Iterable[Mapping[str, str]], machine: Machine) -> list[Residual]:
    """Single DMA packets that carry data, by queue class and size: predicted interval, measured duration.

    Small packets overlap their successors, so an interval is less than the duration a profiler prints.

    `samples` have the columns queue_type, transfer_bytes, count and p50_ns. Packets of a few bytes are
    semaphores, and the instruction queue fetches instructions: neither is data.
    """
    return [
        Residual(
            f"{sample['queue_type']} {sample['transfer_bytes']} B",
            int(sample["count"]),
            descriptor_time(machine.dma, float(sample["transfer_bytes"]), to_hbm=False),
            float(sample["p50_ns"]),
        )
        for sample in samples
        if int(sample["transfer_bytes"]) >= 64 and sample["queue_type"] != "instruction"
    ]


def total(replay: Replay, last_transfer_ns: float) -> Total:
    """The stream's duration in its own order, and the median distance of starts from the measured ones."""
    timeline = schedule(replay.trace, "as_written")
    first = min(replay.start_ns)
    ends = [a + d for a, d in zip(replay.start_ns, replay.duration_ns, strict=True)]
    distances = [
        abs(predicted - (measured - first))
        for predicted, measured in zip(timeline.start_ns[0].tolist(), replay.start_ns, strict=True)
    ]
    measured = max(*ends, last_transfer_ns) - first
    return Total(timeline.duration_ns, measured, median(distances), active_times(replay.trace, timeline))


def active_times(trace: Trace, timeline: Timeline) -> dict[str, float]:
    """Time in which an engine of the first core executes, and in which data moves under "dma", in ns."""
    spans: dict[str, list[tuple[float, float]]] = {name: [] for name in (*ENGINES, "dma")}
    for instruction, start, end in zip(trace.cores[0], timeline.start_ns[0], timeline.end_ns[0], strict=True):
        spans[instruction.engine].append((float(start), float(end)))
    spans["dma"] = [(t.start_ns, t.end_ns) for t in timeline.transfers]
    return {name: _union(found) for name, found in spans.items()}


def as_profiled(machine: Machine, duration_ns: float, active_ns: Mapping[str, float]) -> dict[str, float]:
    """Active fractions as a profile of the kernel alone shows them: with the runtime's own time around it."""
    around = asdict(machine.profile)
    total_ns = duration_ns + machine.profile.envelope_ns
    return {name: (active + around[f"{name}_active_ns"]) / total_ns for name, active in active_ns.items()}


def _union(spans: list[tuple[float, float]]) -> float:
    total = reach = 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reach))
        reach = max(reach, end)
    return total


def _kind(instruction: Instruction) -> str:
    places = ">".join(
        f"{d}@{m}" for d, m in zip(instruction.dtypes[1::-1], instruction.memories[1::-1], strict=False)
    )
    extra = " ".join(name for name, value in instruction.attributes.items() if value)
    return f"{instruction.engine} {instruction.call} {places} N={instruction.elements} {extra}".strip()
