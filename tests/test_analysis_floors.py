from __future__ import annotations

import pytest
from analysis_builders import MACHINE, launch, profile, run

from analysis.floors import Floor, PhaseFloor, by_phase, floors
from collectors.records import Run


def two_buckets() -> Run:
    """Ten steps: an experts kernel of 40 us that needs 30 us of memory, in two buckets, and an estimate."""
    experts = profile("p", 40_000, hbm_read_bytes=4_500_000, hbm_write_bytes=0)
    longer = profile("q", 60_000, hbm_read_bytes=4_500_000, hbm_write_bytes=0)
    rest = {"provenance": "estimated", "nki": False, "formula": "12 us each"}
    return run(
        launch("experts_decode", "decode", 40_000, 30, profile_id="p"),
        launch("experts_decode", "decode", 60_000, 10, bucket=256, profile_id="q"),
        launch("all_reduce", "decode", 12_000, 20, **rest),
        launch("host", "host", 1_000_000, 11, **rest),
        with_profiles=(experts, longer),
    )


def rows() -> dict[str, Floor]:
    return {each.slot: each for each in floors(two_buckets(), MACHINE)}


def phases() -> dict[str, PhaseFloor]:
    found = two_buckets()
    return {each.phase: each for each in by_phase(found, floors(found, MACHINE))}


def test_a_slots_buckets_are_one_row_of_one_step() -> None:
    experts = rows()["experts_decode"]
    assert experts.time.value == pytest.approx((30 * 40_000 + 10 * 60_000) / 10)
    assert experts.floor_ns == pytest.approx(40 * 30_000 / 10)
    assert experts.gap_ns == pytest.approx(180_000 - 120_000)
    assert (experts.bound, experts.time.provenance.label) == ("memory", "simulated")
    assert "4,500,000 bytes moved" in experts.basis


def test_an_estimated_row_has_its_formula_and_no_floor() -> None:
    reduce = rows()["all_reduce"]
    assert (reduce.floor_ns, reduce.gap_ns, reduce.bound) == (None, None, "")
    assert reduce.basis == "12 us each"


def test_a_phase_holds_every_row_and_its_gap_only_what_has_a_floor() -> None:
    decode = phases()["decode"]
    assert decode.time.value == pytest.approx(180_000 + 24_000)
    assert (decode.bounded_ns, decode.floor_ns, decode.gap_ns) == pytest.approx((180_000, 120_000, 60_000))
    host = phases()["host"]
    assert (host.time.value, host.floor_ns, host.gap_ns) == (pytest.approx(1_000_000), None, None)


def test_without_the_machines_constants_no_floor_is_made_up() -> None:
    assert all(each.floor_ns is None for each in floors(two_buckets(), None))
