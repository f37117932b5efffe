from __future__ import annotations

import pytest

from analysis.machine_facts import machine_facts
from simulator.machine.facts import machine, targets


@pytest.mark.parametrize("target", targets())
def test_a_machine_table_gives_the_facts_bounds_need(target: str) -> None:
    facts = machine_facts(target, machine(target).constants)
    assert facts.tensor_ceiling(1) * 2 / 1000 == pytest.approx(
        78.6, abs=0.1
    )  # TFLOP/s of bf16, both generations
    assert facts.tensor_ceiling(2, "float32") == facts.tensor_ceiling(2) / 4
    assert all(facts.sources.values())


@pytest.mark.parametrize("target", targets())
def test_a_core_is_limited_by_its_dma_engines_and_a_pair_by_the_hbm_stack_it_shares(target: str) -> None:
    facts = machine_facts(target, machine(target).constants)
    assert facts.hbm_ceiling(1) == facts.dma_bytes_per_ns < facts.hbm_bytes_per_ns
    assert facts.hbm_ceiling(2) == facts.hbm_bytes_per_ns < 2 * facts.dma_bytes_per_ns


def test_larger_descriptors_use_more_of_an_engines_rate() -> None:
    facts = machine_facts("trn3", machine("trn3").constants)
    sizes = [facts.descriptor_efficiency(size) for size in (256, 512, 2048, 4096)]
    assert sizes == sorted(sizes)
    assert sizes[-1] < 1
