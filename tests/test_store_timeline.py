"""The timeline's SQL on rows small enough to add up by hand."""

from __future__ import annotations

from dataclasses import replace

import factory
import pyarrow as pa
import pytest

from collectors.store.door import Store

PROFILE = "p"


def instructions(*rows: tuple[int, str, int, int, str, str]) -> pa.Table:
    core, engine, start, end, opcode, source = zip(*rows, strict=True)
    return pa.table(
        {
            "pcore_idx": pa.array(core, pa.int32()),
            "idx": list(range(len(rows))),
            "start_ts": start,
            "end_ts": end,
            "duration_ns": [b - a for a, b in zip(start, end, strict=True)],
            "ready_ts": [max(a - 5, 0) for a in start],
            "engine": engine,
            "opcode": opcode,
            "nki_source_location": source,
        }
    )


def transfers(*rows: tuple[str, int, int, int]) -> pa.Table:
    queue, start, end, size = zip(*rows, strict=True)
    return pa.table(
        {
            "pcore_idx": pa.array([0] * len(rows), pa.int32()),
            "start_ts": start,
            "end_ts": end,
            "duration_ns": [b - a for a, b in zip(start, end, strict=True)],
            "queue_name": queue,
            "variable": ["w"] * len(rows),
            "transfer_bytes": size,
            "nki_source_location": ["k.py:9"] * len(rows),
        }
    )


@pytest.fixture
def timeline(store: Store) -> Store:
    tables = {
        "Instruction": instructions(
            (0, "tensor", 0, 100, "MATMUL", "k.py:3"),
            (0, "tensor", 110, 120, "MATMUL", "k.py:4"),
            (0, "tensor", 120, 180, "TRANSPOSE", "k.py:5"),
            (1, "vector", 150, 250, "COPY", "k.py:6"),
        ),
        "DmaPacketAggregated": transfers(("q0", 0, 60, 600), ("q0", 20, 80, 600), ("q0", 150, 200, 50)),
    }
    one = replace(factory.profile(), profile_id=PROFILE, tables=tables)
    run = replace(factory.kernel_run(), profiles={PROFILE: one})
    store.save(run)
    return store


def lane(store: Store, name: str, start: int, end: int, buckets: int) -> list[dict[str, object]]:
    found = store.lanes(PROFILE, start, end, buckets).to_pylist()
    return [row for row in found if row["lane"] == name]


def test_busy_is_the_share_of_a_pixel_an_engine_runs(timeline: Store) -> None:
    rows = lane(timeline, "tensor", 0, 200, 2)
    assert [(row["start_ns"], row["end_ns"], row["busy"]) for row in rows] == [(0, 100, 1.0), (100, 200, 0.7)]


def test_a_pixel_names_what_took_most_of_it_and_where_it_was_written(timeline: Store) -> None:
    second = lane(timeline, "tensor", 0, 200, 2)[1]
    assert (second["top"], second["top_source"], second["count"]) == ("TRANSPOSE", "k.py:5", 2)


def test_an_instruction_longer_than_a_pixel_is_in_each_it_crosses(timeline: Store) -> None:
    rows = lane(timeline, "vector", 100, 300, 4)
    assert [row["start_ns"] for row in rows] == [150, 200]
    assert [row["busy"] for row in rows] == [1.0, 1.0]


def test_overlapping_transfers_of_a_queue_are_not_counted_twice(timeline: Store) -> None:
    [first, second] = lane(timeline, "q0", 0, 200, 2)
    assert first["busy"] == pytest.approx(0.8)
    assert first["count"] == 2
    assert first["bytes"] == pytest.approx(1200)
    assert second["busy"] == pytest.approx(0.5)


def test_zooming_cuts_what_sticks_out_of_the_window(timeline: Store) -> None:
    [only] = lane(timeline, "tensor", 90, 110, 1)
    assert only["busy"] == pytest.approx(0.5)


def test_a_window_with_nothing_in_it_has_no_rows(timeline: Store) -> None:
    assert timeline.lanes(PROFILE, 1000, 2000, 10).num_rows == 0
    assert timeline.lanes("nobody", 0, 100, 10).num_rows == 0


def test_rows_never_exceed_lanes_times_pixels(filled: Store) -> None:
    run = filled.runs()[0]
    profile_id, profile = next(iter(run.profiles.items()))
    found = filled.lanes(profile_id, 0, profile.duration_ns, 7).to_pylist()
    lanes = {(row["kind"], row["pcore_idx"], row["lane"]) for row in found}
    assert len(found) <= 7 * len(lanes)
    assert all(0 < row["busy"] <= 1 for row in found)


def test_the_extent_spans_instructions_and_transfers(timeline: Store) -> None:
    assert timeline.extent(PROFILE) == (0, 250)
    assert timeline.extent("nobody") is None


def test_lines_sum_instructions_and_transfers_of_a_source_line(timeline: Store) -> None:
    lines = {row["source"]: row for row in timeline.lines(PROFILE).to_pylist()}
    assert lines["k.py:3"]["busy_ns"] == 100
    assert lines["k.py:5"]["engine_wait_ns"] == 5
    assert (lines["k.py:9"]["transfers"], lines["k.py:9"]["dma_bytes"]) == (3, 1250)
    assert lines["k.py:9"]["busy_ns"] is None


def test_instructions_of_a_window_come_in_order_and_stop_at_the_limit(timeline: Store) -> None:
    found = timeline.instructions(PROFILE, 100, 200)
    assert found["start_ts"].to_pylist() == [110, 120, 150]
    assert timeline.instructions(PROFILE, 0, 300, limit=2).num_rows == 2


def test_packets_are_drawn_only_where_no_transfers_are_known(store: Store) -> None:
    packets = transfers(("Q1", 10, 30, 64), ("Q1", 300, 310, 64)).drop_columns(["nki_source_location"])
    alone = {"Instruction": instructions((0, "tensor", 0, 100, "MATMUL", "")), "DmaPacket": packets}
    both = alone | {"DmaPacketAggregated": transfers(("q0", 0, 60, 128))}
    for name, tables in (("alone", alone), ("both", both)):
        run = factory.run(name, 3)
        store.save(replace(run, profiles={name: replace(factory.profile(), profile_id=name, tables=tables)}))
    lanes = {
        name: {row["lane"] for row in store.lanes(name, 0, 400, 4).to_pylist() if row["kind"] == "queue"}
        for name in ("alone", "both")
    }
    assert lanes == {"alone": {"Q1"}, "both": {"q0"}}
    assert store.extent("alone") == (0, 310)
