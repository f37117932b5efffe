"""What the streams say of waiting: from a complete result to the start of what needed it."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.fidelity.fit.evidence import Event, Evidence, Stream

_IDLE_NS = 50.0
"""How long the waiter's engine must have been idle before the result was there."""


def engine_semaphore(evidence: Evidence) -> list[float]:
    """From a result to the start of an instruction on VectorE or ScalarE that waited for it."""
    return [
        event.start_ns - event.ready_ns
        for stream in evidence.streams
        for event, producer in _waits(stream)
        if producer.instruction.transfer is None and event.instruction.engine in {"vector", "scalar"}
    ]


def tensor_semaphore(evidence: Evidence) -> list[float]:
    """From a result to the start of a matmul that waited for it."""
    return [
        event.start_ns - event.ready_ns
        for stream in evidence.streams
        for event, producer in _waits(stream)
        if producer.instruction.transfer is None and event.instruction.engine == "tensor"
    ]


def transfer_semaphore(evidence: Evidence) -> list[float]:
    """From the last completion of a transfer to an instruction that waited for it."""
    return _after_transfers(evidence, triggers=False)


def transfer_to_trigger(evidence: Evidence) -> list[float]:
    """From the last completion of a transfer to the start of another transfer that waited for it."""
    return _after_transfers(evidence, triggers=True)


def _waits(stream: Stream) -> Iterator[tuple[Event, Event]]:
    """(waiter, producer) where the waiter's engine had been idle, and no transfer came in between."""
    free: dict[str, float] = {}
    done = _done(stream)
    for event in stream.events:
        engine = event.instruction.engine
        if event.producer >= 0 and event.instruction.transfer is None:
            producer = stream.events[event.producer]
            loads = [done[p] for p in _loaders(stream, event) if p in done]
            if free.get(engine, 0.0) < event.ready_ns - _IDLE_NS and max(loads, default=0.0) < event.ready_ns:
                yield event, producer
        free[engine] = max(free.get(engine, 0.0), event.end_ns)


def _loaders(stream: Stream, event: Event) -> list[int]:
    return [p for p in event.producers if stream.events[p].instruction.transfer is not None]


def _done(stream: Stream) -> dict[int, float]:
    by_event = {id(m.event): m.done_ns for m in stream.movements}
    return {n: by_event[id(e)] for n, e in enumerate(stream.events) if id(e) in by_event}


def _after_transfers(evidence: Evidence, *, triggers: bool) -> list[float]:
    found = []
    for stream in evidence.streams:
        done = _done(stream)
        free: dict[str, float] = {}
        for event in stream.events:
            engine = event.instruction.engine
            moves = event.instruction.transfer is not None
            loads = [done[p] for p in _loaders(stream, event) if p in done]
            last = max(loads, default=0.0)
            others = [stream.events[p].end_ns for p in event.producers]
            waited = last > free.get(engine, 0.0) + _IDLE_NS and last > max(others, default=0.0)
            if loads and moves == triggers and waited:
                found.append(event.start_ns - last)
            free[engine] = max(free.get(engine, 0.0), event.end_ns)
    return found
