"""What measurements contain beside the kernel, and what printed figures of whole kernels say."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from simulator.fidelity.fit.evidence import Evidence, Printed, Stream

Span = tuple[float, float]
_LABELS = {
    "Tensor": "tensor",
    "TensorMatrix": "tensor",
    "Vector": "vector",
    "Scalar": "scalar",
    "GpSimd": "gpsimd",
    "Sync": "sync",
}
_OF_THE_RUNTIME = frozenset(
    {
        "COMPARE_BRANCH",
        "DRAIN",
        "EVENT_SEMAPHORE",
        "EVENT_SEMAPHORE_RANGE_CLEAR",
        "NOP",
        "NOTIFY",
        "SET_ORDERING_MODE",
        "TENSOR_LOAD",
        "WRITE",
    }
)
_KERNEL_QUEUES = frozenset({"0", "1", "2"})
"""Queues that carry the kernel's data; the others fetch instructions."""
BENCHMARK, PROFILE = "nki.benchmark p50", "device profile total_time (exec 2)"


def _own(stream: Stream) -> dict[str, list[Span]]:
    """When each engine executed the kernel's own instructions, and "dma" moved its data."""
    spans: dict[str, list[Span]] = {name: [] for name in (*_LABELS.values(), "dma")}
    for row in stream.rows:
        if row["opcode"] not in _OF_THE_RUNTIME:
            spans[_LABELS[row["label"]]].append((row["timestamp"], row["timestamp"] + row["duration"]))
    for row in stream.packets:
        if row["dma_queue"] in _KERNEL_QUEUES:
            spans["dma"].append((row["timestamp"], row["timestamp"] + row["duration"]))
    return spans


def covered(spans: Iterable[Span]) -> float:
    """Length of the union of spans."""
    total = reach = 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reach))
        reach = max(reach, end)
    return total


def envelope(evidence: Evidence) -> list[float]:
    """total_time less the time from the kernel's first instruction to its last instruction or packet."""
    found = []
    for stream in evidence.streams:
        starts = [event.start_ns for event in stream.events]
        ends = [event.end_ns for event in stream.events] + [m.done_ns for m in stream.movements]
        found.append(1e9 * stream.summary["total_time"] - (max(ends) - min(starts)))
    return found


def _active(name: str, evidence: Evidence) -> list[float]:
    key = "dma_active_time" if name == "dma" else f"{name}_engine_active_time"
    return [1e9 * s.summary[key] - covered(_own(s)[name]) for s in evidence.streams if key in s.summary]


ACTIVE = {name: partial(_active, name) for name in ("tensor", "vector", "scalar", "gpsimd", "sync", "dma")}
"""Samples of the active time of an engine beyond the kernel's own instructions and data."""


def benchmark(evidence: Evidence) -> list[float]:
    """nki.benchmark's p50 less what a profile of the same kernel shows without its envelope."""
    profiled = {_key(p): p for p in evidence.printed if p.method == PROFILE}
    around = evidence.machine.profile.envelope_ns
    return [
        p.measured_ns - (profiled[_key(p)].measured_ns - around)
        for p in evidence.printed
        if p.method == BENCHMARK and _key(p) in profiled
    ]


def _key(of: Printed) -> tuple[str, str, str]:
    return of.family, of.name, of.problem


def shortest_descriptor(evidence: Evidence) -> list[float]:
    """Time an engine is active for each of a kernel's packets, where most of them carry a few bytes."""
    dma = evidence.machine.dma
    beside = evidence.machine.profile.dma_active_ns
    return [
        (p.active["dma"] * p.measured_ns - beside) * dma.engines / p.packets["hardware"]
        for p in evidence.printed
        if "dma" in p.active and p.packets.get("hardware", 0) > _MANY * p.packets.get("software", 0)
    ]


_MANY = 100
