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
    assert facts.dma_bytes_per_ns < facts.dma_peak_bytes_per_ns
    assert all(facts.sources.values())


def test_trn2_pairs_are_limited_by_their_hbm_stack_and_trn3_pairs_by_their_dma_engines() -> None:
    trn2, trn3 = (machine_facts(target, machine(target).constants) for target in ("trn2", "trn3"))
    assert trn2.hbm_ceiling(2) == trn2.hbm_bytes_per_ns
    assert trn3.hbm_ceiling(2) == 2 * 528


def test_larger_descriptors_use_more_of_an_engines_rate() -> None:
    facts = machine_facts("trn3", machine("trn3").constants)
    sizes = [facts.descriptor_efficiency(size) for size in (256, 512, 2048, 4096)]
    assert sizes == sorted(sizes)
    assert sizes[-1] < 1
