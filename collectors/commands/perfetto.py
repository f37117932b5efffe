"""A run as a Perfetto trace: a process a launch, a thread an engine or DMA queue of a core.

Format: Perfetto documentation, "Synthetic track events". Every launch starts at zero: launches are distinct
kernels, not one history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TrackEvent
from perfetto.trace_builder.proto_builder import TraceProtoBuilder

from collectors.records import Launch, Run
from collectors.store.door import Store

SEQUENCE = 1
ANNOTATED = (
    "operands",
    "nki_source_location",
    "dma_wait_time_ns",
    "evt_wait_time_ns",
    "transfer_bytes",
    "descriptors",
    "variable",
)


@dataclass
class _Writer:
    builder: TraceProtoBuilder = field(default_factory=TraceProtoBuilder)
    tracks: int = 0

    def track(self, name: str, parent: int | None = None, pid: int | None = None) -> int:
        """A new track: a process when it has a pid, else a child of `parent`."""
        self.tracks += 1
        packet = self.builder.add_packet()
        descriptor = packet.track_descriptor
        descriptor.uuid = self.tracks
        descriptor.name = name
        if parent is not None:
            descriptor.parent_uuid = parent
        if pid is not None:
            descriptor.process.pid = pid
            descriptor.process.process_name = name
        return self.tracks

    def slice(self, track: int, start: int, end: int, name: str, details: dict[str, Any]) -> None:
        """One closed interval on a track."""
        self._event(track, start, TrackEvent.TYPE_SLICE_BEGIN, name, details)
        self._event(track, end, TrackEvent.TYPE_SLICE_END)

    def _event(
        self, track: int, at: int, kind: int, name: str = "", details: dict[str, Any] | None = None
    ) -> None:
        packet = self.builder.add_packet()
        packet.timestamp = at
        packet.trusted_packet_sequence_id = SEQUENCE
        packet.track_event.type = kind
        packet.track_event.track_uuid = track
        if name:
            packet.track_event.name = name
        for key, value in (details or {}).items():
            annotation = packet.track_event.debug_annotations.add()
            annotation.name = key
            if isinstance(value, int):
                annotation.int_value = value
            else:
                annotation.string_value = str(value)


def trace(store: Store, run: Run) -> bytes:
    """The serialized trace of every distinct launch of a run."""
    writer = _Writer()
    for pid, (profile_id, launch) in enumerate(_distinct(run), 1):
        process = writer.track(_title(launch, run.profiles[profile_id].kernel), pid=pid)
        _lanes(writer, process, store.table(profile_id, "Instruction").to_pylist(), "engine", "opcode")
        _lanes(
            writer,
            process,
            store.table(profile_id, "DmaPacketAggregated").to_pylist(),
            "queue_name",
            "variable",
        )
    content: bytes = writer.builder.serialize()
    return content


def _distinct(run: Run) -> Iterator[tuple[str, Launch]]:
    seen: set[str] = set()
    for launch in run.launches:
        if launch.profile_id in run.profiles and launch.profile_id not in seen:
            assert launch.profile_id is not None
            seen.add(launch.profile_id)
            yield launch.profile_id, launch


def _title(launch: Launch, kernel: str) -> str:
    bucket = f" bucket {launch.bucket}" if launch.bucket else ""
    what = f"{launch.phase} {launch.slot} {launch.variant}{bucket} ×{launch.count}"
    return f"{what} ({kernel}, {launch.provenance})"


def _lanes(writer: _Writer, process: int, rows: list[dict[str, Any]], lane: str, name: str) -> None:
    """A thread per core and lane; rows that overlap on a lane go to further rows of it."""
    ends: dict[tuple[Any, Any, int], tuple[int, int]] = {}
    for row in sorted(rows, key=lambda each: (each["start_ts"], each["end_ts"])):
        place = 0
        while True:
            key = (row["pcore_idx"], row[lane], place)
            if key not in ends:
                ends[key] = (writer.track(f"core {row['pcore_idx'] or 0} {row[lane]}", process), 0)
            track, end = ends[key]
            if end <= row["start_ts"]:
                break
            place += 1
        ends[key] = (track, row["end_ts"])
        details = {each: row[each] for each in ANNOTATED if row.get(each) is not None}
        writer.slice(track, row["start_ts"], row["end_ts"], str(row[name] or "transfer"), details)
