from __future__ import annotations

from importlib import resources

import pytest

from simulator.errors import SimulatorError
from simulator.machine.facts import KINDS, machine, parse, targets


@pytest.mark.parametrize("target", targets())
def test_every_constant_has_unit_kind_and_source(target):
    constants = machine(target).constants
    assert len(constants) > 90
    for name, constant in constants.items():
        assert constant.unit, name
        assert constant.kind in KINDS, name
        assert len(constant.source) > 10, name


@pytest.mark.parametrize("target", targets())
def test_fitted_constants_name_the_public_profiles_they_were_fitted_to(target):
    fitted = [c for c in machine(target).constants.values() if c.kind == "fitted"]
    assert all("public" in c.source or "published" in c.source or "notes" in c.source for c in fitted)


def test_nothing_of_trn3_is_fitted_because_no_trn3_profile_was_used():
    assert not [name for name, c in machine("trn3").constants.items() if c.kind == "fitted"]


def test_both_targets_have_the_same_constants():
    assert set(machine("trn2").constants) == set(machine("trn3").constants)


def test_an_unknown_target_says_which_there_are():
    with pytest.raises(SimulatorError) as caught:
        machine("trn9")
    assert "trn2" in caught.value.hint


def test_a_table_without_a_constant_names_it():
    text = resources.files("simulator.machine").joinpath("trn2.toml").read_text()
    without = "\n".join(line for line in text.splitlines() if not line.startswith("pipeline_ns"))
    with pytest.raises(SimulatorError, match="pipeline_ns"):
        parse("trn2", without)


def test_a_constant_without_a_source_is_refused():
    text = resources.files("simulator.machine").joinpath("trn2.toml").read_text()
    line = next(line for line in text.splitlines() if line.startswith("pipeline_ns"))
    bare = line[: line.index("source")] + 'source = "" }'
    with pytest.raises(SimulatorError, match=r"tensor\.pipeline_ns"):
        parse("trn2", text.replace(line, bare))


def test_trn3_moves_data_faster_than_trn2():
    old, new = machine("trn2"), machine("trn3")
    assert new.dma.bytes_per_ns > old.dma.bytes_per_ns
    assert new.hbm.bytes_per_ns > old.hbm.bytes_per_ns
    assert new.vector.clock_ghz > old.vector.clock_ghz
    assert new.digest != old.digest


@pytest.mark.parametrize("target", targets())
def test_a_kind_with_too_few_measured_kernels_says_so_in_its_interval(target):
    constants = machine(target).constants
    for kind in ("vector", "scalar", "gpsimd", "latency"):
        assert "too few" in constants[f"interval.{kind}"].source
        assert constants[f"interval.{kind}"].value >= constants["interval.tensor"].value
