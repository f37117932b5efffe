from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from analysis_builders import MACHINE, launch, profile, run

from analysis.evidence import Evidence, Signals, evidence
from analysis.rulebook import RULES, check_all
from analysis.rules.finding import CannotTell, Finding, Gain, engine_gain, resource_gain
from analysis.stalls import EngineTime
from collectors.records import Launch


def case(of: Launch | None = None, signals: Signals | None = None, **rest: Any) -> Evidence:
    """Evidence of a 100 us launch; `rest` goes into its profile."""
    known = profile("p", 100_000, **rest)
    return Evidence(of or launch("experts_decode", "decode", 100_000), known, MACHINE, signals or Signals())


def fired(rule: str, given: Evidence) -> Finding:
    outcome = RULES[rule](given)
    assert isinstance(outcome, Finding), outcome
    assert outcome.rule == rule
    assert 0 <= outcome.gain.low <= outcome.gain.expected <= outcome.gain.high <= 1
    return outcome


def all_engines(**active: float) -> dict[str, float]:
    return dict.fromkeys(("tensor", "vector", "scalar", "gpsimd", "sync", "dma"), 0.0) | active


def test_the_gain_of_an_engine_is_bounded_by_what_others_can_hide() -> None:
    assert engine_gain({"dma": 0.8, "vector": 0.3, "sync": None}, "dma", 0.5) == Gain(0.25, 0.8 * 0.4, 0.4)
    assert engine_gain({"dma": 0.4, "vector": 0.9}, "dma", 0.5).low == 0


def test_small_transfers_quote_the_mean_descriptor() -> None:
    given = case(engines=all_engines(dma=0.8), dma_bytes=300_000, dma_descriptors=1000)
    finding = fired("small_transfers", given)
    assert "1,000 descriptors of 300 B" in finding.evidence
    now, then = 300 / 362.5, 4096 / 4158.5
    assert finding.gain.high == pytest.approx(0.8 * (1 - now / then))
    assert (
        RULES["small_transfers"](case(engines=all_engines(dma=0.8), dma_bytes=2048, dma_descriptors=1))
        is None
    )
    assert (
        RULES["small_transfers"](case(engines=all_engines(dma=0.1), dma_bytes=300, dma_descriptors=1)) is None
    )


def test_software_descriptors_cost_gpsimd_its_time() -> None:
    finding = fired(
        "software_descriptors",
        case(engines=all_engines(gpsimd=0.9), lnc=1, signals=Signals(software_transfers=100)),
    )
    assert "100 software-generated transfers" in finding.evidence
    assert finding.gain.high == pytest.approx(0.604)
    few = case(engines=all_engines(gpsimd=0.9), signals=Signals(software_transfers=3))
    assert RULES["software_descriptors"](few) is None


def test_reloads_quote_moved_and_necessary_bytes() -> None:
    moved = {"hbm_read_bytes": 3000, "hbm_write_bytes": 1000}
    finding = fired("reloads", case(engines=all_engines(dma=1.0), raw={"necessary_hbm_bytes": 1000}, **moved))
    assert "4,000 bytes over HBM where 1,000 would do (4.0 times)" in finding.evidence
    assert finding.gain == Gain(0.75, 0.75, 0.75)
    assert (
        RULES["reloads"](case(engines=all_engines(dma=1.0), raw={"necessary_hbm_bytes": 3900}, **moved))
        is None
    )
    assert isinstance(RULES["reloads"](case(engines=all_engines(dma=1.0), **moved)), CannotTell)


def test_a_norm_before_its_projection_is_unfused() -> None:
    norm = launch("post_norm", "decode", 4000, profile_id="p")
    router = launch("router", "decode", 9000, profile_id="q")
    norm_profile = profile("p", 4000, engines=all_engines(vector=0.2), hbm_write_bytes=4096)
    both = run(norm, router, with_profiles=(norm_profile, profile("q")))
    finding = fired("unfused", evidence(both, norm))
    assert "writes 4,096 bytes to HBM for router" in finding.evidence
    assert finding.gain == Gain(0.0, 0.4, 0.8)
    assert RULES["unfused"](evidence(both, router)) is None


def test_a_fused_norm_is_not_unfused() -> None:
    fused = launch("router", "decode", 9000, covers=("post_norm", "router"), profile_id="q")
    o_proj = launch("o_proj", "decode", 4000, profile_id="p")
    assert (
        RULES["unfused"](evidence(run(o_proj, fused, with_profiles=(profile("p"), profile("q"))), o_proj))
        is None
    )


def test_tiny_matmuls_underfeed_the_tensor_engine() -> None:
    signals = Signals(matmuls=1000, weight_loads=1000)
    finding = fired(
        "tensor_underfed", case(engines=all_engines(tensor=0.5), macs=16_384_000, signals=signals)
    )
    assert "1,000 matmuls and 1,000 weight loads fill 0.2%" in finding.evidence
    assert finding.gain.high == pytest.approx(0.5 * (1 - 8192 / 50_000))
    full = case(engines=all_engines(tensor=0.5), macs=1000 * 128 * 128 * 512, signals=signals)
    assert RULES["tensor_underfed"](full) is None


def test_fp32_matmuls_would_be_four_times_as_fast() -> None:
    signals = Signals(matmul_ns=1000, fp32_matmul_ns=500)
    finding = fired("fp32_matmul", case(engines=all_engines(tensor=0.8), signals=signals))
    assert "50% of the matmul time is fp32" in finding.evidence
    assert finding.gain.high == pytest.approx(0.8 * 0.5 * 0.75)
    assert RULES["fp32_matmul"](case(signals=Signals(matmul_ns=1000, fp32_matmul_ns=0))) is None


def test_padding_compares_block_macs_with_the_prompts_tokens() -> None:
    experts = launch("experts_prefill", "prefill", 100, macs=10_000)
    step = launch("experts_decode", "decode", 10, macs=100)
    finding = fired("padding", evidence(run(experts, step, prompt_tokens=14), experts))
    assert "86% is padding" in finding.evidence
    assert finding.gain == Gain(0.0, pytest.approx(0.43), pytest.approx(0.86))  # type: ignore[arg-type]
    assert RULES["padding"](evidence(run(experts, step, prompt_tokens=90), experts)) is None


def test_one_busy_engine_beside_an_idle_one_serialises() -> None:
    finding = fired("one_engine", case(engines=all_engines(vector=0.8, scalar=0.5, gpsimd=0.0)))
    assert "vector is active 80%, gpsimd 0%" in finding.evidence
    assert finding.gain.high == pytest.approx(0.4)
    assert RULES["one_engine"](case(engines=all_engines(vector=0.8, scalar=0.5, gpsimd=0.4))) is None


def waiting(data: int, engine: int, busy: int) -> Signals:
    idle = 100_000 - data - engine - busy
    return Signals(engine_times=(EngineTime(0, "vector", busy, data, engine, 0, idle, 10),))


def test_waiting_with_no_engine_busy_is_exposed_latency() -> None:
    finding = fired(
        "exposed_latency", case(engines=all_engines(vector=0.3), signals=waiting(50_000, 10_000, 30_000))
    )
    assert "waits 60% of the time, mostly for data" in finding.evidence
    assert finding.gain == Gain(0.0, 0.35, 0.7)
    busy = case(engines=all_engines(vector=0.3, dma=0.9), signals=waiting(50_000, 10_000, 30_000))
    assert RULES["exposed_latency"](busy) is None


def test_an_idle_core_of_a_pair_is_an_imbalance() -> None:
    finding = fired("core_imbalance", case(signals=Signals(core_busy_ns={0: 80_000})))
    assert finding.title == "one core idles"
    assert finding.gain.high == pytest.approx(0.4)
    assert RULES["core_imbalance"](case(signals=Signals(core_busy_ns={0: 80_000, 1: 79_000}))) is None
    assert RULES["core_imbalance"](case(lnc=1, signals=Signals(core_busy_ns={0: 80_000}))) is None


def test_one_loaded_queue_is_an_imbalance() -> None:
    queues = {"a": 80_000, "b": 4_000, "c": 6_000}
    finding = fired("queue_imbalance", case(engines=all_engines(dma=0.8), signals=Signals(queue_ns=queues)))
    assert "queue a is busy 80 us, the mean of 3 queues 30 us" in finding.evidence
    even = case(engines=all_engines(dma=0.8), signals=Signals(queue_ns={"a": 80_000, "b": 70_000}))
    assert RULES["queue_imbalance"](even) is None


def test_table_reloads_beyond_the_first_count() -> None:
    signals = Signals(table_loads=22, table_load_ns=22_000)
    finding = fired("table_loads", case(engines=all_engines(scalar=0.5), signals=signals))
    assert finding.gain.high == pytest.approx(0.1)
    assert RULES["table_loads"](case(signals=Signals(table_loads=2, table_load_ns=50_000))) is None


def test_host_and_collective_rows_are_judged_by_their_share() -> None:
    host = launch(
        "host",
        "host",
        6_000_000,
        11,
        provenance="estimated",
        low_ns=5_000_000,
        high_ns=7_000_000,
        least_ns=1_500_000,
    )
    reduce = launch(
        "all_reduce", "decode", 400_000, 40, provenance="estimated", low_ns=200_000, high_ns=500_000
    )
    both = run(host, reduce)
    finding = fired("host_time", evidence(both, host))
    assert "6 ms a token, 80% of end to end (estimated)" in finding.evidence
    assert finding.gain == Gain(0.0, 0.375, 0.75)
    assert "20% of end to end" in fired("collectives", evidence(both, reduce)).evidence
    assert RULES["collectives"](evidence(both, host)) is None


def test_throttling_is_measured_or_unknown() -> None:
    finding = fired(
        "throttled", case(engines=all_engines(tensor=0.8), raw={"throttle_active_nc0_time_ns": 50_000})
    )
    assert "50% of the launch" in finding.evidence
    assert isinstance(RULES["throttled"](case()), CannotTell)


def test_a_missing_signal_never_becomes_a_finding() -> None:
    for rule, check in RULES.items():
        outcome = check(case())
        assert not isinstance(outcome, Finding), rule
        if isinstance(outcome, CannotTell):
            assert outcome.rule == rule
            assert outcome.reason


def test_findings_come_by_expected_gain() -> None:
    engines = all_engines(dma=0.9, vector=0.1)
    checked = check_all(
        case(
            engines=engines,
            dma_bytes=256_000,
            dma_descriptors=1000,
            hbm_read_bytes=400,
            hbm_write_bytes=0,
            raw={"necessary_hbm_bytes": 100},
        )
    )
    assert [each.rule for each in checked.findings] == ["reloads", "small_transfers"]
    assert "fp32_matmul" in {each.rule for each in checked.cannot_tell}


def tables() -> Mapping[str, pa.Table]:
    return {
        "Instruction": pa.table(
            {
                "pcore_idx": [0, 0, 0, 1],
                "engine": ["tensor", "tensor", "scalar", "tensor"],
                "opcode": ["LDWEIGHTS", "MATMUL", "ACT_TABLE_LOAD", "MATMUL"],
                "start_ts": [0, 50, 0, 0],
                "end_ts": [50, 150, 1300, 300],
                "operands": ["", "src=float32", "", "src=bfloat16"],
            }
        ),
        "DmaPacketAggregated": pa.table(
            {
                "queue_type": ["software_dynamic", "hardware_dynamic", "instruction"],
                "queue_name": ["q1", "q2", "qi"],
                "start_ts": [0, 0, 0],
                "end_ts": [100, 30, 5000],
                "transfer_bytes": [1, 1, 1],
                "descriptors": [1, 1, 1],
            }
        ),
    }


def test_signals_add_up_the_tables() -> None:
    sample = launch("k", "kernel", 2000, profile_id="p")
    found = evidence(run(sample, with_profiles=(profile("p", 2000),)), sample, MACHINE, tables()).signals
    assert (found.matmuls, found.matmul_ns, found.fp32_matmul_ns, found.weight_loads) == (2, 400, 100, 1)
    assert (found.table_loads, found.table_load_ns) == (1, 1300)
    assert (found.transfers, found.software_transfers) == (2, 1)
    assert found.queue_ns == {"q1": 100, "q2": 30}
    assert found.core_busy_ns == {0: 150, 1: 300}
    assert {(each.core, each.engine) for each in found.engine_times} == {
        (0, "tensor"),
        (0, "scalar"),
        (1, "tensor"),
    }


def test_every_rule_is_documented() -> None:
    text = (Path(__file__).parents[1] / "docs" / "analysis.md").read_text(encoding="utf-8")
    assert [rule for rule in RULES if f"| `{rule}` |" not in text] == []


def test_a_part_of_a_resource_is_worth_its_part_of_the_cost_at_most_all_and_never_more_than_is_saved() -> (
    None
):
    known = profile("p", 100_000, engines=all_engines(tensor=0.6), ideal_ns={"tensor": 80_000})
    assert astuple(resource_gain(known, "tensor", "tensor", 0.5)) == pytest.approx((0.0, 0.1, 0.2))
    assert resource_gain(known, "tensor", "tensor", 0.25).high == pytest.approx(0.15)
    unknown = profile("p", 100_000, engines=all_engines(tensor=0.6))
    assert resource_gain(unknown, "tensor", "tensor", 0.5) == engine_gain(unknown.engines, "tensor", 0.5)


def test_the_costliest_resource_is_named_with_what_it_costs_and_the_next() -> None:
    ideal = {"dma_latency": 70_000, "tensor": 95_000, "vector": 99_900}
    finding = fired("costly_resource", case(ideal_ns=ideal))
    assert "the fixed latency of a transfer to take no time" in finding.evidence
    assert "save 30 of 100 us (30%, the tensor engine's own work 5%)" in finding.evidence
    assert astuple(finding.gain) == pytest.approx((0.0, 0.15, 0.3))
    assert RULES["costly_resource"](case(ideal_ns={"tensor": 95_000})) is None
    assert isinstance(RULES["costly_resource"](case()), CannotTell)
