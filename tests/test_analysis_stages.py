"""End to end as context encoding, decode steps and host."""

from __future__ import annotations

from dataclasses import replace

import factory
import pytest

from analysis.stages import stages
from analysis.totals import totals


def test_stages_sum_to_the_end_to_end_time_of_a_simulated_run() -> None:
    run = factory.run("baseline")
    found = stages(totals(run), run.new_tokens)
    whole = totals(run).e2e_ns
    assert whole is not None
    assert [(each.name, each.count) for each in found[:2]] == [
        ("context encoding", 1),
        ("decode", (run.new_tokens or 0) - 1),
    ]
    assert sum(each.total_ns for each in found) == pytest.approx(whole.value)
    assert sum(each.share for each in found) == pytest.approx(1.0)


def test_a_single_kernel_has_no_stages() -> None:
    run = factory.kernel_run()
    assert stages(totals(run), run.new_tokens) == ()


def test_a_run_without_host_rows_leaves_the_host_out() -> None:
    run = factory.run("baseline")
    device = replace(run, launches=tuple(each for each in run.launches if each.phase != "host"))
    assert [each.phase for each in stages(totals(device), device.new_tokens)] == ["prefill", "decode"]
