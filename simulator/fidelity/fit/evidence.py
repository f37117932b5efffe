"""What the constants of the machine are derived from: whole instruction and packet streams, printed figures.

A stream is one core of a profile in the JSON of `neuron-profile view --output-format json` (2.27, 2.28).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from simulator.fidelity.replay import Replay, Row, replay
from simulator.machine.facts import Machine
from simulator.timeline.dependencies import with_memory_for_all
from simulator.trace import Instruction, Transfer

CORE = "sg00"
COMPLETION_BYTES = 4
"""Size of the packet by which an engine says that its part of a transfer is done."""
_QUEUES = {"gpsimd": "qGpSimdDynamic", "scalar": "qScalarDynamicHW", "sync": "qSyncDynamicHW"}
_SLACK_NS = 5.0


class Event(NamedTuple):
    """An instruction as it ran, ns. `ready_ns`: when the last thing it needed was complete, -1 for nothing.

    `producer` is the index of that thing, `producers` are those of everything it needed.
    """

    instruction: Instruction
    start_ns: float
    end_ns: float
    ready_ns: float
    producer: int
    producers: tuple[int, ...]

    @property
    def duration_ns(self) -> float:
        """From its start to its complete result."""
        return self.end_ns - self.start_ns


class Packet(NamedTuple):
    """One DMA packet, ns and bytes."""

    start_ns: float
    end_ns: float
    size: int


@dataclass(frozen=True, slots=True)
class Movement:
    """A transfer as its packets show it: by engine the ones that carry data, and the completion's end."""

    event: Event
    transfer: Transfer
    packets: Mapping[str, tuple[Packet, ...]]
    completed: Mapping[str, float]

    @property
    def first_ns(self) -> float:
        """Start of its first packet."""
        return min(packets[0].start_ns for packets in self.packets.values())

    @property
    def done_ns(self) -> float:
        """End of its last completion."""
        return max(self.completed.values())

    @property
    def loads(self) -> bool:
        """Whether it reads HBM."""
        return self.transfer.source_memory == "hbm"


@dataclass(frozen=True, slots=True)
class Stream:
    """One core of a profile. `rows` are all its instructions as printed, `rates` the tensor engine's limit
    as (start, end, share of full rate).
    """

    name: str
    rows: tuple[Row, ...]
    events: tuple[Event, ...]
    movements: tuple[Movement, ...]
    rates: tuple[tuple[float, float, float], ...]
    summary: Mapping[str, Any]
    packets: tuple[Row, ...]
    clock: Mapping[str, Any]

    def full_rate(self, event: Event) -> bool:
        """Whether the tensor engine ran at its full rate from the event's start to its end."""
        return any(s <= event.start_ns and event.end_ns <= e and rate == 1.0 for s, e, rate in self.rates)


@dataclass(frozen=True, slots=True)
class Printed:
    """A measured row whose figures were printed, not its stream. Fractions, ns; `copies` is how many
    dynamically addressed transfers its kernel issues, where that is known.
    """

    family: str
    name: str
    problem: str
    method: str
    measured_ns: float
    active: Mapping[str, float] = field(default_factory=dict)
    packets: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a derivation may look at. `machine` gives documented constants alone."""

    machine: Machine
    streams: tuple[Stream, ...] = ()
    printed: tuple[Printed, ...] = ()

    def events(self, engine: str) -> Iterator[tuple[Stream, Event]]:
        """Every instruction of an engine, transfers left out."""
        for stream in self.streams:
            for event in stream.events:
                if event.instruction.engine == engine and event.instruction.transfer is None:
                    yield stream, event

    def movements(self) -> Iterator[Movement]:
        """Every transfer."""
        for stream in self.streams:
            yield from stream.movements


def neighbours(stream: Stream, engine: str) -> Iterator[tuple[Event, Event]]:
    """Instructions of an engine of which the second waited for nothing but the first to be taken."""
    before: Event | None = None
    for event in stream.events:
        if event.instruction.engine != engine:
            continue
        if event.instruction.transfer is not None:
            before = None
            continue
        if (
            before is not None
            and event.ready_ns < before.start_ns
            and event.start_ns <= before.end_ns + _SLACK_NS
        ):
            yield before, event
        before = event


def stream_of(name: str, profile: Mapping[str, list[Row]], *, target: str) -> Stream:
    """The stream of a profile's first core. Raises `KeyError` where the profile lacks a table."""
    replayed = replay(profile, target=target, subgraph=CORE)
    packets = tuple(r for r in profile["dma"] if r["subgraph"] == CORE)
    events = _events(replayed)
    return Stream(
        name,
        tuple(r for r in profile["instruction"] if r["subgraph"] == CORE),
        events,
        _movements(events, packets, profile["dma_queues_info"]),
        tuple(
            (r["timestamp"], r["timestamp"] + r["duration"], r["k"] / r["n"])
            for r in profile["ham"]
            if r["subgraph"] == CORE
        ),
        profile["summary"][0],
        packets,
        profile["metadata"][0],
    )


def _events(replayed: Replay) -> tuple[Event, ...]:
    core = replayed.trace.cores[0]
    needed = with_memory_for_all(core, replayed.trace.tensors).waits.sets()
    ends = [a + d for a, d in zip(replayed.start_ns, replayed.duration_ns, strict=True)]
    made = []
    for i, instruction in enumerate(core):
        producer = max(needed[i], key=ends.__getitem__, default=-1)
        ready = ends[producer] if producer >= 0 else -1.0
        waits = tuple(sorted(needed[i]))
        made.append(Event(instruction, replayed.start_ns[i], ends[i], ready, producer, waits))
    return tuple(made)


def _movements(
    events: Iterable[Event], packets: Iterable[Row], queues: Iterable[Row]
) -> tuple[Movement, ...]:
    """Transfers with their packets: the k-th of a queue ends, on each engine, with its k-th completion."""
    numbers = {q["q_name"]: str(q["q_idx"]) for q in queues if q["subgraph"] == CORE}
    parts = _parts(packets)
    taken = dict.fromkeys(numbers.values(), 0)
    found = []
    for event in events:
        transfer = event.instruction.transfer
        if transfer is None:
            continue
        queue = numbers[_QUEUES[event.instruction.engine]]
        at = taken[queue]
        taken[queue] = at + 1
        mine = {e: part[at] for (q, e), part in parts.items() if q == queue and at < len(part)}
        found.append(
            Movement(
                event,
                transfer,
                {e: part[:-1] for e, part in mine.items() if len(part) > 1},
                {e: part[-1].end_ns for e, part in mine.items()},
            )
        )
    return tuple(m for m in found if m.packets)


def _parts(packets: Iterable[Row]) -> dict[tuple[str, str], list[tuple[Packet, ...]]]:
    """Packets by queue and engine, cut behind every completion."""
    parts: dict[tuple[str, str], list[tuple[Packet, ...]]] = {}
    growing: dict[tuple[str, str], list[Packet]] = {}
    for row in sorted(packets, key=lambda r: r["timestamp"]):
        key = (row["dma_queue"], row["dma_engine"])
        packet = Packet(row["timestamp"], row["timestamp"] + row["duration"], row["transfer_size"])
        mine = growing.setdefault(key, [])
        mine.append(packet)
        if packet.size == COMPLETION_BYTES:
            parts.setdefault(key, []).append(tuple(mine))
            growing[key] = []
    return parts
