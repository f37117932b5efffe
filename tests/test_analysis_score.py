from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from analysis_builders import launch, run

from analysis.score import NO_TTFT, Scale, points
from analysis.totals import totals
from collectors.records import Check, Run, Sample

RECORDS = Path(__file__).parents[2] / "shared" / "profiles" / "contest"


def scored_run() -> Run:
    """End to end 500 ms against 1000 ms; 1280 tokens/s against 640; half of the MACs are NKI's."""
    prefill = launch("a", "prefill", 100_000_000, macs=1, low_ns=80_000_000, high_ns=125_000_000)
    decode = launch("b", "decode", 40_000_000, 10, macs=1, nki=False, low_ns=32_000_000, high_ns=50_000_000)
    return run(prefill, decode)


def test_points_are_the_product_of_the_ratios_and_the_share() -> None:
    result = points(totals(scored_run()), scored_run(), "final")
    assert result.latency_ratio == pytest.approx(2)
    assert result.throughput_ratio == pytest.approx(2)
    assert result.value == pytest.approx(2 * 2 * 1.5)
    assert result.low == pytest.approx((2 / 1.25) ** 2 * 1.5)
    assert result.high == pytest.approx((2 / 0.8) ** 2 * 1.5)


def test_the_first_formula_says_the_baseline_has_no_ttft() -> None:
    result = points(totals(scored_run()), scored_run(), "first")
    assert NO_TTFT in result.basis
    assert result.value == pytest.approx(6)
    assert "TTFT" in result.text


def test_the_final_formula_takes_the_99th_percentile_of_measured_runs() -> None:
    samples = tuple(Sample("e2e_ns", i, 500e6 + i * 1e6) for i in range(5))
    measured = replace(scored_run(), provenance="measured", samples=samples)
    result = points(totals(measured), measured, "final")
    assert result.latency_ratio == pytest.approx(1000 / 503.96)
    assert result.throughput_ratio == pytest.approx(640 / 0.502 / 640)


def test_failed_accuracy_scores_zero_and_names_the_check() -> None:
    failed = replace(scored_run(), accuracy=0, checks=(Check("router", "router", "x", False, 1.0, 0.1),))
    result = points(totals(failed), failed)
    assert result.value == 0
    assert result.reason == "accuracy failed: router"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"accuracy": None}, "accuracy was not checked"),
        ({"base_latency_ms": None}, "no official baseline"),
        ({"launches": ()}, "MACs"),
    ],
)
def test_points_that_cannot_be_given_say_why(change: dict[str, object], reason: str) -> None:
    unscored = replace(scored_run(), **change)  # type: ignore[arg-type]
    result = points(totals(unscored), unscored)
    assert result.value is None
    assert reason in result.reason


def test_a_published_record_is_scored_as_it_was() -> None:
    """Prompt 0 on trn3 of the public entry thustorage/NKI-MoE: 4078.66 ms, 160.43 tokens/s, share 0.9929."""
    scale = Scale(base_latency_ns=17138.28e6, base_tokens_per_s=37.87, tokens=640, share=0.9928958259432833)
    assert scale.points_at(4078.6593294143677e6, 640e9 / 160.43040877196498) == pytest.approx(35.4752760909)


@pytest.mark.skipif(not RECORDS.exists(), reason="published score records are not here")
def test_every_published_record_is_scored_as_it_was() -> None:
    rows = [
        row
        for path in RECORDS.glob("*_score_records.csv")
        for row in csv.DictReader(path.read_text().splitlines())
    ]
    assert rows
    for row in rows:
        number = {
            key: float(row[key]) for key in row if key.endswith(("latency", "throughput", "ratio", "score"))
        }
        scale = Scale(number["base_latency"] * 1e6, number["base_throughput"], 640, number["nki_flop_ratio"])
        latency, e2e = number["latency"] * 1e6, 640e9 / number["throughput"]
        assert scale.latency_ratio(latency) == pytest.approx(number["reduced_latency"])
        assert scale.throughput_ratio(e2e) == pytest.approx(number["increased_throughput"])
        # main.py multiplied by the share alone until 2026-04-20; forks took the change when they merged it.
        product = (row["accuracy"] in ("1", "True")) * scale.points_at(latency, e2e)
        versions = (product, product * scale.share / (1 + scale.share))
        assert any(number["final_score"] == pytest.approx(score) for score in versions)
