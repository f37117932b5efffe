from __future__ import annotations

import json
from dataclasses import replace

import pytest
from analysis_builders import launch, profile, run
from hypothesis import given
from hypothesis import strategies as st

from analysis.align import align, components
from analysis.asjson import as_json
from analysis.compare import Comparison, Row, compare, waterfall
from analysis.headlines import Headline
from collectors.records import Check, Launch, Run, Sample


def base_run() -> Run:
    """Ten decode steps: norm 10 + projection 30 + experts 100, and host 20 a token."""
    return run(
        launch("lm_head", "prefill", 500, 1, profile_id="p-head"),
        launch("post_norm", "decode", 10, 10, profile_id="p-norm"),
        launch("router", "decode", 30, 10, profile_id="p-router"),
        launch("experts_decode", "decode", 100, 10, profile_id="p-experts", variant="plain"),
        launch("host", "host", 20, 11, provenance="estimated", formula="20 ns", nki=False),
        run_id="base",
        with_profiles=(
            profile("p-head"),
            profile("p-norm", engines={"vector": 0.5}, dma_bytes=100, kernel="kernels.rmsnorm.rmsnorm"),
            profile("p-router", engines={"vector": 0.1, "tensor": 0.9}, dma_bytes=300),
            profile("p-experts", dma_bytes=1000, kernel="kernels.experts_decode.plain"),
        ),
    )


def tuned_run() -> Run:
    """The norm fused into the router at 24, and experts at 60."""
    return run(
        launch("lm_head", "prefill", 500, 1, profile_id="p-head"),
        launch(
            "router", "decode", 24, 10, covers=("post_norm", "router"), profile_id="p-fused", variant="fused"
        ),
        launch("experts_decode", "decode", 60, 10, profile_id="p-fast", variant="streamed"),
        launch("host", "host", 20, 11, provenance="estimated", formula="20 ns", nki=False),
        run_id="tuned",
        with_profiles=(
            profile("p-head"),
            profile("p-fused", dma_bytes=320),
            profile("p-fast", dma_bytes=900, kernel="kernels.experts_decode.streamed"),
        ),
    )


def row(comparison: Comparison, label: str) -> Row:
    return next(each for each in comparison.rows if each.label == label)


def headline(comparison: Comparison, key: str) -> Headline:
    return next(each for each in comparison.headlines if each.key == key)


def test_rows_of_runs_with_unlike_numbers_of_steps_differ_per_token() -> None:
    longer = replace(
        base_run(),
        run_id="longer",
        new_tokens=21,
        launches=tuple(
            replace(each, count=20) if each.phase == "decode" else each for each in base_run().launches
        ),
    )
    experts = row(compare(tuned_run(), longer), "experts_decode")
    assert experts.base is not None
    assert experts.candidate is not None
    assert (experts.base.time_ns, experts.candidate.time_ns) == (60, 100)
    assert experts.difference.value == pytest.approx(40)


def test_slots_a_fused_kernel_covers_are_one_component() -> None:
    assert components([("a",), ("b",), ("c",), ("a", "b")]) == (("a", "b"), ("c",))
    assert components([("a", "b"), ("c", "d"), ("b", "c"), ("e",)]) == (("a", "b", "c", "d"), ("e",))


def test_every_launch_is_in_exactly_one_group() -> None:
    base, tuned = base_run(), tuned_run()
    groups = align(base, tuned)
    assert sum(len(g.base) for g in groups) == len(base.launches)
    assert sum(len(g.candidate) for g in groups) == len(tuned.launches)


def test_a_fused_launch_stands_against_the_sum_of_what_it_covers() -> None:
    fused = row(compare(base_run(), tuned_run()), "post_norm + router")
    assert fused.base is not None
    assert fused.candidate is not None
    assert fused.base.time_ns == 40
    assert fused.candidate.time_ns == 24
    assert fused.base.variants == ("plain",)
    assert fused.candidate.variants == ("fused",)
    assert fused.base.dma_bytes == 400
    assert fused.moved_ns == -160
    assert fused.judgement.verdict == "faster"


def test_engines_of_a_row_are_weighted_by_time() -> None:
    fused = row(compare(base_run(), tuned_run()), "post_norm + router")
    assert fused.base is not None
    assert fused.base.engines["vector"] == pytest.approx((10 * 0.5 + 30 * 0.1) / 40)
    assert fused.base.engines["tensor"] == pytest.approx(0.9)
    assert fused.base.engines["gpsimd"] is None


def test_rows_are_sorted_by_time_moved_and_unchanged_ones_say_so() -> None:
    comparison = compare(base_run(), tuned_run())
    assert [each.label for each in comparison.rows][:2] == ["experts_decode", "post_norm + router"]
    assert row(comparison, "lm_head").status == "unchanged"
    assert row(comparison, "lm_head").judgement.verdict == "no change"
    assert row(comparison, "host").status == "unchanged"


def test_moves_sum_exactly_to_the_difference_of_the_totals() -> None:
    comparison = compare(base_run(), tuned_run())
    e2e = headline(comparison, "e2e")
    assert e2e.difference is not None
    moved = sum(each.moved_ns for each in comparison.rows)
    assert moved == -560
    assert e2e.difference.value * 1e6 == pytest.approx(moved)
    steps = waterfall(comparison, "decode")
    assert steps[0].moved_ns == 140
    assert sum(step.moved_ns for step in steps) == 84
    assert steps[-1].start_ns + steps[-1].moved_ns == 84
    assert sum(step.moved_ns for step in waterfall(comparison)) == 500 + 840 + 220


def test_headlines_hold_both_values_and_verdicts() -> None:
    comparison = compare(base_run(), tuned_run())
    decode = headline(comparison, "decode")
    assert decode.base == pytest.approx(140e-6)
    assert decode.candidate == pytest.approx(84e-6)
    assert decode.judgement.verdict == "faster"
    assert headline(comparison, "ttft").judgement.verdict == "no change"
    assert comparison.verdict.verdict == "faster"


def test_rates_and_points_move_the_other_way_than_time() -> None:
    def with_macs(before: Run) -> Run:
        return replace(before, launches=tuple(replace(each, macs=10) for each in before.launches))

    comparison = compare(with_macs(base_run()), with_macs(tuned_run()))
    for key in ("tokens_per_s", "points_final", "points_first"):
        each = headline(comparison, key)
        assert each.difference is not None
        assert each.difference.low is not None
        assert 0 < each.difference.low < each.difference.value
        assert each.judgement.verdict == "faster"
    points = comparison.candidate_points["final"]
    assert points.value is not None


def test_a_run_compared_with_itself_does_not_change() -> None:
    comparison = compare(base_run(), base_run())
    assert {each.status for each in comparison.rows} == {"unchanged"}
    assert {each.judgement.verdict for each in comparison.headlines if not each.key.startswith("points")} == {
        "no change"
    }
    assert comparison.verdict.verdict == "no change"


def test_a_missing_row_is_neither_zero_nor_faster() -> None:
    base = base_run()
    without = replace(base, launches=tuple(each for each in base.launches if each.slot != "experts_decode"))
    removed = row(compare(base, without), "experts_decode")
    assert removed.status == "removed"
    assert removed.candidate is None
    assert removed.judgement.verdict == "cannot tell"
    assert removed.moved_ns == -1000
    assert row(compare(without, base), "experts_decode").status == "new"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"target": "trn2"}, "target"),
        ({"prompt": 4}, "prompt"),
        ({"batch": 2}, "batch"),
        ({"seq_len": 128}, "seq_len"),
        ({"accuracy": 0, "checks": (Check("router", None, None, False, 1.0, 0.1),)}, "accuracy"),
    ],
)
def test_unlike_workloads_are_compared_without_a_verdict(change: dict[str, object], name: str) -> None:
    comparison = compare(base_run(), replace(tuned_run(), **change))  # type: ignore[arg-type]
    assert comparison.differences[0].name == name
    assert comparison.differences[0].severity == "blocks"
    assert {each.judgement.verdict for each in comparison.headlines} == {"cannot tell"}
    assert comparison.differences[0].sentence in comparison.verdict.reason


def test_a_comparison_across_provenances_says_so_first() -> None:
    measured = replace(tuned_run(), provenance="measured")
    first = compare(base_run(), measured).differences[0]
    assert first.name == "provenance"
    assert "the base was simulated, the candidate measured" in first.sentence


def test_dirty_trees_and_other_machine_tables_are_warned_of_and_widen_the_interval() -> None:
    base = replace(base_run(), environment={"git": {"commit": "abc", "dirty": False}, "machine_tables": "1"})
    tuned = replace(tuned_run(), environment={"git": {"commit": "abc", "dirty": True}, "machine_tables": "2"})
    comparison = compare(base, tuned)
    warned = {each.name for each in comparison.differences if each.severity == "warns"}
    assert {"git.dirty", "tool_version"} <= warned
    alike, unlike = (
        row(each, "experts_decode").difference for each in (compare(base_run(), tuned_run()), comparison)
    )
    assert alike.high is not None
    assert unlike.high is not None
    assert unlike.high > alike.high


def test_changed_sources_are_listed_and_tied_to_their_rows() -> None:
    files = {"experts_decode.py": "sha256:1", "router.py": "sha256:9"}
    base = replace(base_run(), configuration={"source_files": files})
    tuned = replace(tuned_run(), configuration={"source_files": files | {"experts_decode.py": "sha256:2"}})
    comparison = compare(base, tuned)
    assert [each.file for each in comparison.sources] == ["experts_decode.py"]
    assert [each.file for each in row(comparison, "experts_decode").sources] == ["experts_decode.py"]
    assert row(comparison, "post_norm + router").sources == ()


def test_measured_runs_are_compared_by_their_repetitions() -> None:
    def measured(values: tuple[float, ...]) -> Run:
        samples = tuple(Sample("e2e_ns", i, value) for i, value in enumerate(values))
        return replace(base_run(), provenance="measured", samples=samples)

    comparison = compare(measured((5000.0, 5010.0, 4990.0)), measured((4000.0, 4010.0, 3990.0)))
    assert "Welch" in headline(comparison, "e2e").difference.basis  # type: ignore[union-attr]
    assert comparison.verdict.verdict == "faster"


def test_measured_points_are_compared_by_bootstrap() -> None:
    def measured(scale: float) -> Run:
        samples = tuple(Sample("e2e_ns", i, scale * (5000.0 + i)) for i in range(20))
        launches = tuple(replace(each, macs=1) for each in base_run().launches)
        return replace(base_run(), provenance="measured", samples=samples, launches=launches)

    points = headline(compare(measured(1.0), measured(0.5)), "points_final")
    assert points.difference is not None
    assert points.difference.value == pytest.approx(3 * points.difference.base)
    assert points.candidate == pytest.approx(points.difference.base + points.difference.value)
    assert "bootstrap" in points.difference.basis
    assert points.judgement.verdict == "faster"


def test_single_kernel_runs_compare_by_kernel_time() -> None:
    base = run(launch("k", "kernel", 1000), prompt=None, new_tokens=None)
    candidate = run(launch("k", "kernel", 500), prompt=None, new_tokens=None)
    comparison = compare(base, candidate)
    assert headline(comparison, "kernel").base == 1.0
    assert comparison.verdict.verdict == "faster"


def test_two_kernels_of_other_names_are_compared_with_each_other_on_the_same_arguments() -> None:
    base, candidate = (
        run(
            launch(name, "kernel", time_ns, profile_id=name),
            prompt=None,
            new_tokens=None,
            configuration={"kernel": f"k.py::{name}", "arguments": {"x": "bf16[128,2048]"}},
            with_profiles=(profile(name),),
        )
        for name, time_ns in (("router_v1", 1000), ("router_v2", 500))
    )
    comparison = compare(base, candidate)
    (only,) = comparison.rows
    assert only.slots == ("router_v1", "router_v2")
    assert only.moved_ns == -500
    assert comparison.verdict.verdict == "faster"
    other = replace(candidate, configuration={"arguments": {"x": "bf16[128,4096]"}})
    assert compare(base, other).verdict.verdict == "cannot tell"


def test_tool_versions_warn_and_unknown_keys_inform() -> None:
    base = replace(base_run(), environment={"packages": {"neuronx-cc": "2.23"}, "hostname": "a", "argv": "x"})
    tuned = replace(
        tuned_run(), environment={"packages": {"neuronx-cc": "2.24"}, "hostname": "b", "argv": "y"}
    )
    found = {each.name: each.severity for each in compare(base, tuned).differences}
    assert found == {"environment.packages.neuronx-cc": "warns", "environment.hostname": "info"}


@st.composite
def random_runs(draw: st.DrawFn) -> tuple[Run, Run]:
    """Two runs over the same five slots, each covered by launches of its own choosing."""

    def one(name: str) -> Run:
        launches: list[Launch] = []
        for phase in ("prefill", "decode"):
            left = list("abcde")
            while left:
                covers = tuple(left[: draw(st.integers(1, 3))])
                left = left[len(covers) :]
                if draw(st.booleans()) or phase == "decode":
                    time, count = draw(st.integers(1, 10**6)), draw(st.integers(1, 10**4))
                    launches.append(launch(covers[0], phase, time, count, covers=covers))
        return run(*launches, run_id=name)

    return one("base"), one("candidate")


@given(random_runs())
def test_rows_hold_every_launch_once_and_their_moves_close_the_sum(runs: tuple[Run, Run]) -> None:
    base, candidate = runs
    comparison = compare(base, candidate)
    groups = align(base, candidate)
    assert sum(len(group.base) for group in groups) == len(base.launches)
    assert sum(len(group.candidate) for group in groups) == len(candidate.launches)
    totals_ = [sum(each.count * each.time_ns for each in one.launches) for one in runs]
    assert sum(each.moved_ns for each in comparison.rows) == totals_[1] - totals_[0]
    last = waterfall(comparison)[-1]
    assert last.start_ns + last.moved_ns == totals_[1]
    e2e = headline(comparison, "e2e").difference
    assert e2e is not None
    assert e2e.low is not None
    assert e2e.high is not None
    assert e2e.low <= e2e.value <= e2e.high


def test_a_comparison_is_plain_json() -> None:
    text = json.dumps(as_json(compare(base_run(), tuned_run())), allow_nan=False)
    first = json.loads(text)["rows"][0]
    assert first["slots"] == ["experts_decode"]
    assert first["label"] == "experts_decode"
    assert first["difference"]["relative"] == pytest.approx(-0.4)


def test_a_phase_measured_as_a_whole_stands_against_all_of_the_others_rows() -> None:
    whole = run(
        launch("unattributed", "decode", 100, 10, provenance="measured", nki=False),
        launch("dispatch", "decode", 5, 10, provenance="measured", nki=False),
        run_id="measured",
    )
    [row] = [row for row in compare(base_run(), whole).rows if row.phase == "decode"]
    assert row.label == "all of decode"
    assert row.moved_ns == 10 * (100 + 5) - 10 * (10 + 30 + 100)


def test_what_no_slot_claims_is_a_row_of_its_own_beside_attributed_ones() -> None:
    part = run(
        launch("router", "decode", 30, 10, provenance="measured"),
        launch("unattributed", "decode", 100, 10, provenance="measured", nki=False),
        run_id="measured",
    )
    labels = [row.label for row in compare(base_run(), part).rows if row.phase == "decode"]
    assert {"router", "unattributed"} <= set(labels)


def test_a_score_is_no_difference_of_configuration() -> None:
    scored = replace(base_run(), run_id="scored", configuration={"score": {"latency": 1.0}})
    assert not [each for each in compare(base_run(), scored).differences if "score" in each.name]


def test_what_no_slot_claims_does_not_count_the_bytes_of_its_whole_graph() -> None:
    graph = profile("p-graph", 140, dma_bytes=4000, engines={"tensor": 0.5})
    part = run(
        launch("router", "decode", 30, 10, profile_id="p-router", provenance="measured"),
        launch("unattributed", "decode", 110, 10, profile_id="p-graph", provenance="measured", nki=False),
        run_id="measured",
        with_profiles=(graph, profile("p-router", 30, dma_bytes=300)),
    )
    rows = {row.label: row.candidate for row in compare(base_run(), part).rows}
    rest = rows["unattributed"]
    assert rest is not None
    assert (rest.dma_bytes, rest.engines["tensor"]) == (None, None)
    assert rest.profile_ids == ("p-graph",)
