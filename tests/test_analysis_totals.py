from __future__ import annotations

import math

import pytest
from analysis_builders import launch, run

from analysis.totals import totals
from collectors.records import Run, Sample


def small_run() -> Run:
    """Prefill 100 + 60, ten decode steps of 2 × 30 + 40, host 5 once and 10 per token (11 tokens)."""
    return run(
        launch("attention_prefill", "prefill", 50, 2),
        launch("final_norm", "prefill", 60, 1),
        launch("experts_decode", "decode", 30, 20),
        launch("final_norm", "decode", 40, 10),
        launch("host", "host", 5, 1, provenance="estimated", nki=False),
        launch("sampling", "host", 10, 11, provenance="estimated", nki=False),
    )


def test_device_phases_are_sums_of_count_times_time() -> None:
    result = totals(small_run())
    assert result.prefill_ns is not None
    assert result.prefill_ns.value == 160
    assert result.decode_ns_per_token is not None
    assert result.decode_ns_per_token.value == 100
    assert result.host_ns is not None
    assert result.host_ns.value == 115


def test_end_to_end_is_prefill_and_decode_steps_and_host() -> None:
    result = totals(small_run())
    assert result.e2e_ns is not None
    assert result.e2e_ns.value == 160 + 10 * 100 + 115
    assert sum(part.total_ns for part in result.waterfall) == result.e2e_ns.value
    assert sum(part.share for part in result.waterfall) == pytest.approx(1)


def test_the_first_token_waits_for_one_of_each_host_row() -> None:
    result = totals(small_run())
    assert result.ttft_ns is not None
    assert result.ttft_ns.value == 160 + 5 + 10


def test_bounds_add_and_rates_turn_them_round() -> None:
    result = totals(run(launch("x", "decode", 100, 10, low_ns=80, high_ns=125), new_tokens=11, seq_len=640))
    assert result.e2e_ns is not None
    assert (result.e2e_ns.low, result.e2e_ns.high) == (800, 1250)
    assert result.tokens_per_s is not None
    assert result.tokens_per_s.value == pytest.approx(640 / 1000e-9)
    assert result.tokens_per_s.low == pytest.approx(640 / 1250e-9)
    assert result.tokens_per_s.high == pytest.approx(640 / 800e-9)


def test_one_launch_without_bounds_leaves_the_sum_without_bounds() -> None:
    result = totals(run(launch("x", "decode", 100), launch("y", "decode", 1, low_ns=None, high_ns=None)))
    assert result.e2e_ns is not None
    assert result.e2e_ns.low is None
    assert result.e2e_ns.high is None


def test_provenance_is_by_time() -> None:
    result = totals(run(launch("x", "decode", 75), launch("h", "host", 25, provenance="estimated")))
    assert result.e2e_ns is not None
    assert result.e2e_ns.provenance.label == "simulated 75 %, estimated 25 %"


def test_the_challenge_reads_macs_of_the_smallest_bucket_and_counts_each_graph_once() -> None:
    result = totals(
        run(
            launch("experts_prefill", "prefill", 1, 48, macs=10, nki=True),
            launch("lm_head", "prefill", 1, 1, macs=20, nki=False),
            launch("experts_decode", "decode", 1, 48 * 100, macs=1, nki=True),
            launch("lm_head", "decode", 1, 100, macs=52, nki=False),
            launch("experts_decode", "decode", 1, 48 * 500, bucket=256, macs=1000, nki=True),
            launch("lm_head", "decode", 1, 500, bucket=256, macs=52, nki=False),
        )
    )
    assert result.nki_flops_share is not None
    assert result.nki_flops_share.value == pytest.approx((480 + 48) / (480 + 20 + 48 + 52))
    assert result.nki_flops_share_executed is not None
    executed = 480 + 48 * 100 + 48 * 500 * 1000
    assert result.nki_flops_share_executed.value == pytest.approx(executed / (executed + 20 + 600 * 52))


def test_simulated_kernels_the_plug_in_does_not_run_are_not_nkis_and_are_named() -> None:
    result = totals(
        run(
            launch("attention_decode", "decode", 1, 48, macs=3, nki=False),
            launch("lm_head", "decode", 1, 1, macs=48, nki=True),
        )
    )
    assert result.nki_flops_share is not None
    assert result.nki_flops_share.value == pytest.approx(48 / (3 * 48 + 48))
    assert "without attention_decode=" in result.nki_flops_share.basis


def test_decode_rows_without_a_bucket_belong_to_every_graph() -> None:
    result = totals(
        run(
            launch("attention_decode", "decode", 1, 48 * 2, macs=1, nki=True),
            launch("attention_decode", "decode", 1, 48 * 8, bucket=640, macs=5, nki=True),
            launch("lm_head", "decode", 1, 10, bucket=None, macs=48, nki=False),
        )
    )
    assert result.nki_flops_share is not None
    assert result.nki_flops_share.value == pytest.approx(0.5)
    assert "no prefill launches" in result.nki_flops_share.basis


def test_a_run_without_bucket_128_says_so() -> None:
    result = totals(
        run(launch("x", "prefill", 1, bucket=640, macs=1), launch("x", "decode", 1, bucket=640, macs=1))
    )
    assert result.nki_flops_share is not None
    assert "this run only has 640" in result.nki_flops_share.basis


def test_a_share_read_from_the_compiled_graphs_is_believed() -> None:
    result = totals(run(launch("x", "decode", 1, macs=1), configuration={"nki_flops_share": 0.25}))
    assert result.nki_flops_share is not None
    assert result.nki_flops_share.value == 0.25


def test_no_macs_means_no_share() -> None:
    assert totals(small_run()).nki_flops_share is None


def test_a_single_kernel_run_has_a_kernel_time_and_no_end_to_end() -> None:
    result = totals(run(launch("k", "kernel", 700), prompt=None, new_tokens=None, seq_len=None))
    assert result.kernel_ns is not None
    assert result.kernel_ns.value == 700
    assert result.e2e_ns is None
    assert result.ttft_ns is None
    assert result.tokens_per_s is None
    assert [part.share for part in result.waterfall] == [1]


def test_one_new_token_needs_no_decode() -> None:
    one = run(launch("x", "prefill", 100), new_tokens=1)
    assert totals(one).e2e_ns is not None
    assert totals(one).decode_ns_per_token is None
    assert totals(run(launch("x", "prefill", 100), new_tokens=5)).e2e_ns is None


def test_measured_repetitions_win_and_the_rest_of_their_time_is_the_hosts() -> None:
    samples = tuple(Sample("e2e_ns", i, value) for i, value in enumerate((1900.0, 2000.0, 2100.0)))
    measured = run(
        launch("x", "decode", 100, 10, provenance="measured"), provenance="measured", samples=samples
    )
    result = totals(measured)
    assert result.e2e_ns is not None
    assert result.e2e_ns.value == 2000
    assert result.e2e_p99_ns is not None
    assert result.e2e_p99_ns.value == pytest.approx(2098)
    assert result.host_ns is not None
    assert result.host_ns.value == 1000
    assert result.waterfall[-1].slot == "unaccounted"
    assert math.fsum(part.total_ns for part in result.waterfall) == 2000


def test_a_simulators_repetitions_are_not_samples() -> None:
    samples = tuple(Sample("e2e_ns", i, 5.0) for i in range(3))
    result = totals(run(launch("x", "decode", 100, 10), samples=samples))
    assert result.e2e_ns is not None
    assert result.e2e_ns.value == 1000
