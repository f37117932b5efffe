from __future__ import annotations

import pytest
from analysis_builders import MACHINE, profile

from analysis.roofline import bounds, roofline_point


def test_two_cores_are_limited_by_their_hbm_stack_and_one_by_its_dma_engines() -> None:
    assert MACHINE.hbm_ceiling(1) == 100
    assert MACHINE.hbm_ceiling(2) == 150


def test_the_floor_is_necessary_bytes_or_macs_whichever_takes_longer() -> None:
    memory = profile(
        "m", 1000, hbm_read_bytes=60_000, hbm_write_bytes=0, macs=100_000, raw={"necessary_hbm_bytes": 30_000}
    )
    found = bounds(memory, MACHINE)
    assert (found.moved_ns, found.necessary_ns, found.tensor_ns) == (400, 200, 50)
    assert (found.floor_ns, found.bound, found.attained) == (200, "memory", 0.2)
    assert "30,000 bytes of distinct inputs and outputs" in found.basis
    tensor = bounds(profile("t", 1000, hbm_read_bytes=1500, hbm_write_bytes=0, macs=1_600_000), MACHINE)
    assert (tensor.floor_ns, tensor.bound) == (800, "tensor")


def test_without_necessary_bytes_the_floor_is_the_traffic_and_says_so() -> None:
    found = bounds(profile("m", 1000, hbm_read_bytes=60_000, hbm_write_bytes=15_000), MACHINE)
    assert found.necessary_ns is None
    assert found.floor_ns == 500
    assert "necessary unknown" in found.basis


def test_a_floor_is_never_over_the_time_itself() -> None:
    assert bounds(profile("m", 100, hbm_read_bytes=60_000, hbm_write_bytes=0), MACHINE).floor_ns == 100


def test_perfect_overlap_is_the_busiest_engines_time() -> None:
    assert bounds(profile("m", 1000, engines={"vector": 0.3, "dma": 0.7}), MACHINE).overlap_ns == 700


def test_a_profile_that_says_nothing_has_no_floor() -> None:
    found = bounds(profile("m"), MACHINE)
    assert found.floor_ns is None
    assert found.attained is None
    assert found.bound == ""


def test_a_roofline_point_has_its_intensity_and_ceilings() -> None:
    point = roofline_point(
        profile("m", 1000, hbm_read_bytes=8000, hbm_write_bytes=2000, macs=100_000), MACHINE
    )
    assert point is not None
    assert point.intensity == 10
    assert point.macs_per_ns == 100
    assert point.ridge == pytest.approx(2000 / 150)
    assert roofline_point(profile("m"), MACHINE) is None
