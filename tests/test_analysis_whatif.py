from __future__ import annotations

from dataclasses import replace

import factory
import pytest

from analysis.score import points
from analysis.totals import totals
from analysis.whatif import prompts_of, scenarios
from collectors.records import Launch, Run, Sample


def host_of(run: Run) -> Launch:
    return next(launch for launch in run.launches if launch.phase == "host")


def test_the_first_scenario_is_the_run_as_it_is() -> None:
    run = factory.run("tuned", 3)
    first = scenarios(run)[0]
    assert first.points["final"] == points(totals(run), run)
    assert host_of(run).formula in first.basis


def test_without_the_host_the_time_is_the_devices_and_points_follow_its_square() -> None:
    run = factory.run("tuned", 3)
    as_run, *_, none = scenarios(run)
    host = host_of(run)
    assert as_run.e2e_ns is not None
    assert none.e2e_ns is not None
    assert none.e2e_ns.value == as_run.e2e_ns.value - host.count * host.time_ns
    assert none.host_ns is None
    ratio = as_run.e2e_ns.value / none.e2e_ns.value
    for formula in ("final", "first"):
        a, b = as_run.points[formula].value, none.points[formula].value  # type: ignore[index]
        assert a is not None
        assert b == pytest.approx(a * ratio**2)


def test_the_least_host_is_what_other_settings_leave_not_its_lower_bound() -> None:
    run = factory.run("tuned", 3)
    host = host_of(run)
    bounded = replace(host, low_ns=host.time_ns // 2, high_ns=2 * host.time_ns, least_ns=host.time_ns // 10)
    run = replace(run, launches=tuple(bounded if each is host else each for each in run.launches))
    least = scenarios(run)[1]
    assert least.host_ns is not None
    assert least.host_ns.value == host.count * (host.time_ns // 10)


def test_measured_repetitions_do_not_hide_that_the_host_is_gone() -> None:
    run = factory.run("tuned", 3)
    whole = totals(run).e2e_ns
    assert whole is not None
    samples = tuple(Sample("e2e_ns", at, whole.value * 1.1) for at in range(5))
    measured = replace(run, provenance="measured", samples=samples)
    as_run, *_, none = scenarios(measured)
    assert as_run.e2e_ns is not None
    assert none.e2e_ns is not None
    assert none.e2e_ns.value < whole.value < as_run.e2e_ns.value


def test_a_run_without_a_host_has_nothing_to_vary() -> None:
    run = factory.run("tuned", 3)
    alone = replace(run, launches=tuple(each for each in run.launches if each.phase != "host"))
    assert [one.name for one in scenarios(alone)] == ["as run"]


def test_prompts_of_one_command_come_by_prompt() -> None:
    runs = [replace(factory.run("tuned", prompt), session="one") for prompt in (4, 0, 2)]
    other = replace(factory.run("tuned", 1), session="other")
    assert [each.prompt for each in prompts_of([*runs, other], runs[0])] == [0, 2, 4]
