"""What the streams say of the engines that compute, and of the sequencers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median

from simulator.costs.cost import itemsize
from simulator.fidelity.fit.evidence import Event, Evidence, Stream, neighbours

Choice = Callable[[Event], bool]
_GRID_NS = 20.0
"""How far a record of the rate may lie from the grid of windows."""
LONG = 256
"""Elements from which a stream is long against what an instruction costs beside it."""


def _is(event: Event, call: str, *, pointers: bool = False) -> bool:
    named = event.instruction.attributes
    return event.instruction.call == call and bool(named.get("pointers")) == pointers


def _moving_type(event: Event) -> int:
    return itemsize(event.instruction.dtypes[-1])


def _transposes(event: Event) -> bool:
    return bool(event.instruction.attributes.get("is_transpose"))


def _pairs(evidence: Evidence, engine: str) -> Iterator[tuple[Stream, Event, float]]:
    """Instructions with the time until the next one of their engine, which waited for nothing else."""
    for stream in evidence.streams:
        for first, second in neighbours(stream, engine):
            yield stream, first, second.start_ns - first.start_ns


# ---------------------------------------------------------------------- tensor engine


def _halves(event: Event) -> bool:
    return event.instruction.call == "nc_matmul" and _moving_type(event) == 2


def tensor_issue(evidence: Evidence) -> list[float]:
    """Interval of bf16 matmuls at full rate beyond their rows."""
    clock = evidence.machine.tensor.clock_ghz
    return [
        interval - event.instruction.elements / clock
        for stream, event, interval in _pairs(evidence, "tensor")
        if _halves(event) and event.instruction.elements >= LONG and stream.full_rate(event)
    ]


def tensor_pipeline(evidence: Evidence) -> list[float]:
    """Duration of bf16 matmuls at full rate beyond their rows."""
    clock = evidence.machine.tensor.clock_ghz
    return [
        event.duration_ns - event.instruction.elements / clock
        for stream, event in evidence.events("tensor")
        if _halves(event) and stream.full_rate(event)
    ]


def transpose_passes(evidence: Evidence) -> list[float]:
    """Interval of fp32 transposes at full rate in passes of `fp32_pass_cycles` a row."""
    engine = evidence.machine.tensor
    return [
        interval * engine.clock_ghz / (event.instruction.elements * engine.fp32_pass_cycles)
        for stream, event, interval in _pairs(evidence, "tensor")
        if _transposes(event) and _moving_type(event) == 4 and stream.full_rate(event)
    ]


def load_fp32(evidence: Evidence) -> list[float]:
    """Cycles of an fp32 LDWEIGHTS: the documented ones of bf16, and what its duration has more."""
    engine = evidence.machine.tensor
    halves, words = _weight_loads(evidence, "bfloat16"), _weight_loads(evidence, "fp32")
    if not halves:
        return []
    usual = median(halves)
    return [engine.load_cycles + (each - usual) * engine.clock_ghz for each in words]


def _weight_loads(evidence: Evidence, dtype: str) -> list[float]:
    """Durations of LDWEIGHTS of a type at full rate, transposes apart."""
    return [
        float(row["duration"])
        for stream in evidence.streams
        for row in stream.rows
        if row["opcode"] == "LDWEIGHTS"
        and row["instruction_type"] == "REGULAR"
        and f"src={dtype}@" in row["operands"]
        and any(
            start <= row["timestamp"] and row["timestamp"] + row["duration"] <= end and rate == 1.0
            for start, end, rate in stream.rates
        )
    ]


def throttle_window(evidence: Evidence) -> list[float]:
    """The step of the grid on which the engine's rate changes: lengths of whole records over their count.

    The first and the last record of a stream may be cut off.
    """
    lengths = [end - start for stream in evidence.streams for start, end, _ in stream.rates[:-1]]
    step = min(lengths, default=0.0)
    return [length / round(length / step) for length in lengths]


def release_share(evidence: Evidence) -> list[float]:
    """Busiest window before one at half rate, and idlest before one at full rate."""
    found = [each for stream in evidence.streams for each in _windows(stream, evidence)]
    slow = [share for share, rate in found if rate < 1.0]
    fast = [share for share, rate in found if rate == 1.0]
    return [max(slow), min(fast)] if slow and fast else []


def _windows(stream: Stream, evidence: Evidence) -> Iterator[tuple[float, float]]:
    """(share of full-rate work in a window, rate of the next one), over the engine's grid of windows."""
    length = evidence.machine.tensor.throttle_window_ns
    starts = [e.start_ns for e in stream.events if e.instruction.engine == "tensor"]
    if not stream.rates or not starts:
        return
    origin, last = stream.rates[0][0], stream.rates[-1][0]
    end = origin - length * int((origin - min(starts)) / length)
    while end <= last + _GRID_NS:
        yield _work(stream, end - length, end, evidence) / length, _rate(stream, end, evidence)
        end += length


def _rate(stream: Stream, time: float, evidence: Evidence) -> float:
    """The engine's rate from a time on; before the first record it is throttled."""
    known = [rate for start, _, rate in stream.rates if start <= time + _GRID_NS]
    return known[-1] if known else evidence.machine.tensor.throttled_rate


def _work(stream: Stream, start: float, end: float, evidence: Evidence) -> float:
    """Full-rate time of what the engine streamed between two times."""
    rate = _rate(stream, start, evidence)
    work = 0.0
    for event in stream.events:
        if event.instruction.engine == "tensor":
            full = _cycles(event, evidence) / evidence.machine.tensor.clock_ghz
            inside = min(end, event.start_ns + full / rate) - max(start, event.start_ns)
            work += max(0.0, inside) * rate
    return work


def _cycles(event: Event, evidence: Evidence) -> float:
    engine = evidence.machine.tensor
    if _moving_type(event) == 2:
        return event.instruction.elements * engine.row_cycles
    passes = 1 if _transposes(event) else engine.fp32_passes
    return event.instruction.elements * passes * engine.fp32_pass_cycles


# ---------------------------------------------------------------------- vector and scalar engines


def _plain(event: Event) -> bool:
    """One element a cycle, without an operand per partition: no fast mode applies."""
    instruction = event.instruction
    reads_psum = "psum" in instruction.memories
    return (instruction.call == "tensor_reduce" or (instruction.call == "tensor_copy" and reads_psum)) and (
        _moving_type(event) == 4
    )


def _plain_copy(event: Event) -> bool:
    return event.instruction.call == "tensor_copy"


def _long_copy(event: Event) -> bool:
    return _plain_copy(event) and event.instruction.elements >= LONG


def vector_issue(evidence: Evidence) -> list[float]:
    """Interval of independent instructions on VectorE beyond their stream."""
    clock = evidence.machine.vector.clock_ghz
    return [i - e.instruction.elements / clock for _, e, i in _pairs(evidence, "vector") if _plain(e)]


def scalar_issue(evidence: Evidence) -> list[float]:
    """Interval of independent copies and casts on ScalarE beyond their stream."""
    clock = evidence.machine.scalar.clock_ghz
    return [i - e.instruction.elements / clock for _, e, i in _pairs(evidence, "scalar") if _plain_copy(e)]


def vector_drain(evidence: Evidence) -> list[float]:
    """Duration of an instruction on VectorE beyond its interval."""
    return _drain(evidence, "vector", _plain)


def scalar_drain(evidence: Evidence) -> list[float]:
    """Duration of long copies on ScalarE beyond their interval; short ones wait for each other as well."""
    return _drain(evidence, "scalar", _long_copy)


def _drain(evidence: Evidence, engine: str, chosen: Choice) -> list[float]:
    return [event.duration_ns - i for _, event, i in _pairs(evidence, engine) if chosen(event)]


def vector_pointer(evidence: Evidence) -> list[float]:
    """Interval of TENSOR_SCALAR with an operand per partition beyond its stream and other instructions'."""
    engine = evidence.machine.vector
    plain = vector_issue(evidence)
    return [
        i - event.instruction.elements / _scalar_rate(event, evidence) / engine.clock_ghz - median(plain)
        for _, event, i in _pairs(evidence, "vector")
        if plain and _is(event, "tensor_scalar", pointers=True)
    ]


def _scalar_rate(event: Event, evidence: Evidence) -> float:
    engine = evidence.machine.vector
    return max(
        1.0, engine.narrow_elements * (engine.psum_share if "psum" in event.instruction.memories else 1)
    )


def scalar_pointer(evidence: Evidence) -> list[float]:
    """Duration of ACTIVATE with a bias per partition beyond that of a copy as long."""
    copies: dict[int, list[float]] = {}
    for _, event in evidence.events("scalar"):
        if _plain_copy(event):
            copies.setdefault(event.instruction.elements, []).append(event.duration_ns)
    return [
        event.duration_ns - median(copies[event.instruction.elements])
        for _, event in evidence.events("scalar")
        if _is(event, "activation", pointers=True) and event.instruction.elements in copies
    ]


def reciprocal(evidence: Evidence) -> list[float]:
    """Cycles an element of RECIPROCAL adds: the slope between its shortest and longest executions."""
    by_size: dict[int, list[float]] = {}
    for _, event in evidence.events("vector"):
        if event.instruction.call == "reciprocal":
            by_size.setdefault(event.instruction.elements, []).append(event.duration_ns)
    if len(by_size) < 2:
        return []
    low, high = min(by_size), max(by_size)
    clock = evidence.machine.vector.clock_ghz
    return [clock * (median(by_size[high]) - each) / (high - low) for each in by_size[low]]


# ---------------------------------------------------------------------- sequencers


def _durations(evidence: Evidence, opcode: str) -> list[float]:
    return [float(r["duration"]) for s in evidence.streams for r in s.rows if r["opcode"] == opcode]


def table_load(evidence: Evidence) -> list[float]:
    """Duration of ACT_TABLE_LOAD."""
    return _durations(evidence, "ACT_TABLE_LOAD")


def register_load(evidence: Evidence) -> list[float]:
    """Duration of TENSOR_LOAD of one register; the runtime's loads of two at once are left out."""
    return [
        float(row["duration"])
        for stream in evidence.streams
        for row in stream.rows
        if row["opcode"] == "TENSOR_LOAD" and "," not in row["operands"].partition("data=")[2]
    ]


def branch(evidence: Evidence) -> list[float]:
    """Duration of COMPARE_BRANCH."""
    return _durations(evidence, "COMPARE_BRANCH")
