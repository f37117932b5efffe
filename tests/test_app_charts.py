from __future__ import annotations

import factory
import numpy as np
import pyarrow as pa
import pytest

from analysis.compare import compare, waterfall
from analysis.machine_facts import MachineFacts, machine_facts
from analysis.roofline import roofline_point
from analysis.stalls import EngineTime, stalls
from app import style, words
from app.charts.engines import KINDS, utilization, where_time_goes
from app.charts.roofline import Bubble, roofline
from app.charts.sizes import transfer_sizes
from app.charts.staircase import Trial, best, staircase
from app.charts.timeline import lanes_in, timeline
from app.charts.waterfall import waterfall as drawn_waterfall
from collectors.store.door import Store
from simulator.machine.facts import machine


def trial(value: float | None, *, counts: bool = True) -> Trial:
    return Trial(f"run-{value}", f"label-{value}", "1 Mar", value, None, None, counts=counts, note="")


def trn3() -> MachineFacts:
    found = machine("trn3")
    return machine_facts(found.target, found.constants)


def test_the_staircase_rises_only_with_runs_that_count() -> None:
    drawn = staircase(
        [trial(1.0), trial(3.0, counts=False), trial(0.5), trial(2.0), trial(None)],
        title="points",
        higher_is_better=True,
    )
    steps, points = drawn.data
    assert list(steps.y) == [1.0, 1.0, 2.0, 2.0]
    assert list(steps.x) == [0, 2, 3, 4.5]
    assert list(points.y) == [1.0, 3.0, 0.5, 2.0]
    assert points.marker.symbol[1] == "x-thin"


def test_for_times_the_staircase_descends() -> None:
    drawn = staircase([trial(5.0), trial(7.0), trial(4.0)], title="µs", higher_is_better=False)
    assert list(drawn.data[0].y) == [5.0, 5.0, 4.0, 4.0]


def test_the_best_run_is_one_whose_accuracy_passed() -> None:
    won = best([trial(1.0), trial(9.0, counts=False), trial(2.0), trial(None)], higher_is_better=True)
    assert won is not None
    assert won.value == 2.0
    assert best([trial(9.0, counts=False)], higher_is_better=True) is None


def test_the_waterfall_leads_from_one_total_to_the_other() -> None:
    comparison = compare(factory.run("baseline"), factory.run("tuned"))
    steps = waterfall(comparison, "decode")
    [drawn] = drawn_waterfall(steps, "ms", ("baseline", "tuned"), "per token").data
    totals = {each.key: each for each in comparison.headlines}["decode"]
    assert drawn.measure[0] == "absolute"
    assert drawn.measure[-1] == "total"
    assert drawn.y[0] == pytest.approx(totals.base)
    assert sum(drawn.y[:-1]) == pytest.approx(totals.candidate)
    assert drawn.y[-1] == pytest.approx(totals.candidate)


def test_a_cut_axis_says_where_it_starts() -> None:
    steps = waterfall(compare(factory.run("baseline"), factory.run("other", speed=1.01)), "decode")
    drawn = drawn_waterfall(steps, "ms", ("a", "b"), "per token")
    assert drawn.layout.yaxis.range[0] > 0
    assert "axis starts at" in drawn.layout.yaxis.title.text


def test_an_engines_time_fills_its_bar() -> None:
    profile = factory.profile()
    times = stalls(profile.duration_ns, profile.tables)
    drawn = where_time_goes(times, profile.duration_ns)
    assert [trace.name for trace in drawn.data] == [kind.name for kind in KINDS]
    assert np.sum([trace.x for trace in drawn.data], axis=0) == pytest.approx(np.ones(len(times)))


def test_working_time_has_the_engines_colour() -> None:
    times = (EngineTime(0, "vector", 60, 0, 0, 0, 40, 1),)
    working = where_time_goes(times, 100).data[0]
    assert working.marker.color == (style.faded(style.ENGINE_COLOURS["vector"], 1.0),)
    assert list(working.x) == [0.6]


def test_an_engine_nobody_measured_has_no_bar() -> None:
    drawn = utilization({"tensor": 0.25, "vector": None}, None)
    b, a = drawn.data
    assert a.x[:2] == (0.25, None)
    assert set(b.x) == {None}
    assert a.text[1] == f"A {words.MISSING}"


def test_bubbles_lie_under_the_ceilings_of_their_machine() -> None:
    profile, facts = factory.profile(), trn3()
    point = roofline_point(profile, facts)
    assert point is not None
    drawn = roofline(
        [Bubble("router", "decode", 0.4, point, 0.5), Bubble("qkv", "prefill", 0.1, point, None)]
    )
    ceiling, *bubbles = drawn.data
    assert max(ceiling.y) == facts.tensor_ceiling(profile.lnc)
    assert [trace.name for trace in bubbles] == ["decode", "prefill"]
    assert bubbles[0].x[0] == point.intensity
    assert bubbles[0].y[0] == point.macs_per_ns
    assert bubbles[0].marker.size[0] / bubbles[1].marker.size[0] == pytest.approx(4)


def test_transfer_sizes_show_bytes_and_what_the_hardware_reaches() -> None:
    sizes = pa.table({"power": [9, 12], "transfers": [4, 1], "bytes": [2048, 4096], "descriptors": [4, 1]})
    bars, curve = transfer_sizes(sizes, trn3()).data
    assert list(bars.y) == [2048, 4096]
    assert bars.customdata[0][0] == "512 B"
    assert list(curve.y) == sorted(curve.y)
    assert len(transfer_sizes(sizes, None).data) == 1


def test_the_timeline_has_a_row_a_lane_and_is_as_busy_as_the_rows_say(filled: Store) -> None:
    profile_id = next(iter(filled.runs()[0].profiles))
    extent = filled.extent(profile_id)
    assert extent is not None
    rows = filled.lanes(profile_id, *extent, 100)
    lanes = lanes_in(rows)
    heat, handle = timeline(rows, lanes, *extent, 100).data
    assert heat.z.shape == (len(lanes), 100)
    assert np.count_nonzero(~np.isnan(heat.z)) == rows.num_rows
    assert [lane[2] for lane in lanes[:3]] == ["tensor", "vector", "scalar"]
    busy = dict(
        zip(
            zip(*(rows[name].to_pylist() for name in ("kind", "pcore_idx", "lane")), strict=True),
            rows["busy"].to_pylist(),
            strict=True,
        )
    )
    assert all(0 < value <= 1 for value in busy.values())
    within = heat.z - np.arange(len(lanes))[:, None]
    assert np.nanmin(within) >= 0.15
    assert np.nanmax(within) < 1.0
    assert len(handle.x) > 0


def test_a_zoom_shows_only_its_window(filled: Store) -> None:
    profile_id = next(iter(filled.runs()[0].profiles))
    first, last = filled.extent(profile_id) or (0, 0)
    lanes = lanes_in(filled.lanes(profile_id, first, last, 50))
    start, end = first + (last - first) / 4, first + (last - first) / 2
    drawn = timeline(filled.lanes(profile_id, start, end, 50), lanes, start, end, 50)
    unit = words.NS_PER[words.time_unit(end)]
    assert drawn.layout.xaxis.range == pytest.approx((start / unit, end / unit))
    assert len(drawn.data[0].y) == len(lanes)
