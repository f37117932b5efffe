from __future__ import annotations

import json
from dataclasses import replace

import pytest
from analysis_builders import MACHINE, launch, profile, run

from analysis.asjson import as_json
from analysis.known import Known
from analysis.rank import Opportunity, Ranking, combined, rank
from analysis.roofline import bounds
from analysis.rules.finding import Finding, Gain
from collectors.records import Run


def slow_run() -> Run:
    """Ten steps: experts 60 ms of 1.5e6 bytes that need 10 us, head 30 ms, and 10 ms of host a token."""
    experts = profile(
        "p-experts",
        60_000_000,
        hbm_read_bytes=1_500_000,
        hbm_write_bytes=0,
        engines={"dma": 0.5, "vector": 0.2},
    )
    head = profile("p-head", 30_000_000, macs=54_000_000_000, engines={"tensor": 0.95})
    return run(
        launch("experts_decode", "decode", 60_000_000, 10, profile_id="p-experts", macs=1),
        launch("lm_head", "decode", 30_000_000, 10, profile_id="p-head", macs=1),
        launch(
            "host",
            "host",
            10_000_000,
            10,
            provenance="estimated",
            low_ns=8_000_000,
            high_ns=20_000_000,
            least_ns=1_000_000,
            nki=False,
        ),
        run_id="slow",
        with_profiles=(experts, head),
    )


def by_slot(ranking: Ranking) -> dict[str, Opportunity]:
    return {each.slot: each for each in ranking.opportunities}


def finding(low: float, expected: float, high: float) -> Finding:
    return Finding("r", "t", "e", "b", Gain(low, expected, high), "a")


def test_opportunities_come_by_what_they_save_of_the_whole() -> None:
    ranking = rank(slow_run(), machine=MACHINE)
    assert [each.slot for each in ranking.opportunities] == ["experts_decode", "host", "lm_head"]
    experts = by_slot(ranking)["experts_decode"]
    assert experts.total_ns == 600_000_000
    assert experts.share == pytest.approx(0.6)
    assert experts.floor_ns == pytest.approx(10 * 10_000)
    assert experts.bound.startswith("memory: 1,500,000 bytes moved")


def test_without_a_rule_the_floor_is_the_ceiling_and_half_the_way_to_overlap_expected() -> None:
    experts = by_slot(rank(slow_run(), machine=MACHINE))["experts_decode"]
    assert experts.findings == ()
    assert experts.gain.low == 0
    assert experts.gain.expected == pytest.approx(0.25)
    assert experts.gain.high == pytest.approx(1 - 10_000 / 60_000_000)
    assert experts.gain_ns.expected == pytest.approx(150e6)
    assert experts.gain_ns_per_token is not None
    assert experts.gain_ns_per_token.expected == pytest.approx(15e6)


def test_points_are_scored_again_with_the_time_reduced() -> None:
    ranking = rank(slow_run(), machine=MACHINE)
    experts = by_slot(ranking)["experts_decode"]
    now = ranking.points.value
    assert now == pytest.approx(1.0 * 1.0 * 2)
    assert experts.gain_points is not None
    assert experts.gain_points.expected == pytest.approx(2 / 0.85**2 - 2)
    assert experts.gain_points.low == pytest.approx(0)


def test_an_estimated_row_is_ranked_but_is_not_a_kernel() -> None:
    host = by_slot(rank(slow_run(), machine=MACHINE))["host"]
    assert not host.is_kernel
    assert host.provenance == "estimated"
    assert host.gain == Gain(0.0, pytest.approx(0.45), pytest.approx(0.9))  # type: ignore[arg-type]


def test_failed_accuracy_ranks_nothing_and_says_why() -> None:
    ranking = rank(replace(slow_run(), accuracy=0), machine=MACHINE)
    assert ranking.opportunities == ()
    assert "accuracy failed" in ranking.reason


def test_unchecked_accuracy_ranks_time_but_no_points() -> None:
    ranking = rank(replace(slow_run(), accuracy=None), machine=MACHINE)
    assert ranking.opportunities
    assert {each.gain_points for each in ranking.opportunities} == {None}
    assert ranking.reason == "accuracy was not checked"


def test_the_roofline_caps_what_rules_promise() -> None:
    limits = bounds(profile("p", 1000, hbm_read_bytes=105_000, hbm_write_bytes=0), MACHINE)
    assert limits.attained == 0.7
    assert combined([finding(0.1, 0.5, 0.9)], limits) == Gain(0.1, pytest.approx(0.3), pytest.approx(0.3))  # type: ignore[arg-type]


def test_rules_work_together_only_at_the_high_end() -> None:
    assert combined([finding(0.1, 0.2, 0.5), finding(0.0, 0.3, 0.5)], None) == Gain(0.1, 0.3, 0.75)


def test_nothing_known_promises_nothing() -> None:
    assert combined([], None) == Gain(0.0, 0.0, 0.0)
    assert combined([], bounds(profile("p"), MACHINE)) == Gain(0.0, 0.0, 0.0)


def test_a_faster_variant_is_not_an_estimate() -> None:
    known = Known("r", "tuned", ("fast",), ("x",), Gain(0.4, 0.5, 0.6))
    assert combined([finding(0.0, 0.1, 0.2)], None, known) == Gain(0.4, 0.5, 0.6)


def test_a_fused_variant_of_another_run_counts_for_all_it_covers() -> None:
    base = run(
        launch("post_norm", "decode", 10_000, 10, profile_id="a"),
        launch("router", "decode", 30_000, 10, profile_id="b"),
        run_id="base",
        with_profiles=(profile("a"), profile("b")),
    )
    fused = run(
        launch(
            "router", "decode", 20_000, 10, covers=("post_norm", "router"), variant="fused", profile_id="c"
        ),
        run_id="other",
        label="tuned",
        with_profiles=(profile("c"),),
    )
    for each in rank(base, alternatives=(base, fused)).opportunities:
        assert each.known is not None
        assert each.known.run_id == "other"
        assert each.gain.expected == pytest.approx(0.5)
        assert 0 < each.gain.low < 0.5 < each.gain.high
        assert each.why == "fused in tuned does post_norm + router in 50% less time"
        assert each.bound == "variant fused of tuned"
    assert len(rank(base, alternatives=(fused,)).opportunities) == 2


def test_a_variant_on_another_machine_or_with_wrong_results_is_no_alternative() -> None:
    faster = replace(slow_run(), run_id="other", launches=(launch("experts_decode", "decode", 1000, 10),))
    for other in (replace(faster, target="trn2"), replace(faster, accuracy=0)):
        assert {
            each.known for each in rank(slow_run(), machine=MACHINE, alternatives=(other,)).opportunities
        } == {None}


def test_small_change_is_dropped_and_counted() -> None:
    small = replace(slow_run(), launches=(*slow_run().launches[:2], launch("final_norm", "decode", 100, 10)))
    ranking = rank(small, machine=MACHINE)
    assert "final_norm" not in by_slot(ranking)
    assert ranking.dropped == 1


def test_buckets_of_a_slot_are_one_opportunity() -> None:
    attention = [
        launch("attention_decode", "decode", 1_000_000, 5, bucket=bucket, profile_id="p")
        for bucket in (128, 256)
    ]
    both = run(
        *attention,
        with_profiles=(profile("p", 1_000_000, engines={"dma": 0.5}, hbm_read_bytes=0, hbm_write_bytes=1),),
    )
    (found,) = rank(both, machine=MACHINE).opportunities
    assert found.total_ns == 10_000_000
    assert found.launches == 10


def test_a_ranking_is_plain_json() -> None:
    assert json.dumps(as_json(rank(slow_run(), machine=MACHINE)), allow_nan=False)
