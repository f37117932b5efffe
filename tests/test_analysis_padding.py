from __future__ import annotations

import pytest

from analysis.padding import padding
from collectors.records import Run
from tests.analysis_builders import launch, profile, run


def padded_run(**rest: object) -> Run:
    experts = launch("experts_decode", "decode", 1000, 48, covers=("experts_decode",), profile_id="p")
    other = launch("qkv", "decode", 1000, 48, profile_id="q")
    profiles = {"p": profile("p", macs=400), "q": profile("q", macs=7)}
    return run(experts, other, **({"profiles": profiles} | rest))


def test_padding_is_what_experts_executed_and_no_token_needed() -> None:
    (found,) = padding(padded_run(configuration={"needed_macs": {"decode": 48 * 100}}))
    assert found.phase == "decode"
    assert found.share == pytest.approx(0.75)


def test_a_run_that_does_not_say_what_it_needed_has_no_padding() -> None:
    assert padding(padded_run(configuration={})) == ()


def test_padding_is_not_known_where_a_launch_was_not_counted() -> None:
    needed = {"needed_macs": {"decode": 4800}}
    assert padding(padded_run(configuration=needed, profiles={})) == ()
