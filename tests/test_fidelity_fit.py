from __future__ import annotations

import json
from pathlib import Path

import pytest

from collectors.errors import UnreadableInput
from collectors.simulated.calibration import ladder
from collectors.simulated.refit import evidence as folder_evidence
from simulator.fidelity.fit import around, computing, moving, waiting
from simulator.fidelity.fit.constants import DERIVATIONS
from simulator.fidelity.fit.evidence import Evidence, Printed, stream_of
from simulator.fidelity.fit.refit import SUMS, refit, refitted, without
from simulator.machine.facts import instead, machine, with_values

TRN2 = machine("trn2")
PROFILES = Path(__file__).resolve().parents[2] / "shared" / "profiles" / "trn2-attention"
NAMES = ("baseline-bf16-s512", "baseline-bf16-s1024", "fused-bf16-s512", "fused-bf16-s1024")


def row(start, duration, label, opcode, operands):
    return {
        "timestamp": start,
        "duration": duration,
        "label": label,
        "opcode": opcode,
        "operands": operands,
        "instruction_type": "REGULAR",
        "subgraph": "sg00",
    }


def reduce(start, duration, source, target):
    operands = f"op=MAX src=fp32@{source:#x}[1,1][512,1] dst=fp32@{target:#x}[1,1][1,1]"
    return row(start, duration, "Vector", "TENSOR_REDUCE", operands)


def packet(start, duration, size, engine="64"):
    return {
        "timestamp": start,
        "duration": duration,
        "transfer_size": size,
        "dma_queue": "1",
        "dma_engine": engine,
        "subgraph": "sg00",
    }


LOAD = (
    "src_elem_size=2048 dst_elem_size=2048 src_pattern=[2048,1][128,1] dst_pattern=[262144,1][128,1] "
    "src_addr_imm=0x8005c03b0000 dst_addr_imm=0x802000004000"
)


def profile(instructions, packets=(), total=20e-6):
    return {
        "instruction": list(instructions),
        "dma": list(packets),
        "dma_queues_info": [{"q_name": "qSyncDynamicHW", "q_idx": 1, "subgraph": "sg00"}],
        "ham": [],
        "summary": [{"total_time": total, "vector_engine_active_time": 5e-6}],
        "metadata": [{}],
    }


def evidence(*profiles, printed=()):
    streams = tuple(stream_of(str(n), each, target="trn2") for n, each in enumerate(profiles))
    return Evidence(TRN2, streams, printed)


def test_an_interval_is_taken_only_where_the_next_instruction_waited_for_nothing_else():
    free = [reduce(1000, 680, 0x4000, 0x100), reduce(1600, 680, 0x4800, 0x104)]
    # The third reads what the second writes: it waits for its result, not for the engine.
    waits = row(2316, 150, "Vector", "RECIPROCAL", "src=fp32@0x104[1,1][1,1] dst=fp32@0x108[1,1][1,1]")
    found = evidence(profile([*free, waits]))
    assert computing.vector_issue(found) == [pytest.approx(600 - 512 / TRN2.vector.clock_ghz)]
    assert computing.vector_drain(found) == [80]
    assert waiting.engine_semaphore(found) == []


def test_waiting_is_measured_on_an_engine_that_was_idle():
    first = reduce(1000, 680, 0x4000, 0x100)
    later = row(1716, 150, "Scalar", "COPY", "src=fp32@0x100[1,1][1,1] dst=fp32@0x108[1,1][1,1]")
    assert waiting.engine_semaphore(evidence(profile([first, later]))) == [36]


def test_a_transfers_packets_end_with_a_completion_on_every_engine():
    load = row(1000, 530, "Sync", "DMA_DIRECT2D", LOAD)
    mine = [packet(2200, 80, 2048), packet(2281, 80, 2048), packet(2361, 8, 4)]
    other = [packet(2250, 80, 2048, "65"), packet(2330, 10, 4, "65")]
    user = reduce(2700, 680, 0x4000, 0x100)
    found = evidence(profile([load, user], [*mine, *other]))
    [movement] = found.movements()
    assert (movement.first_ns, movement.done_ns) == (2200, 2369)
    assert movement.packets.keys() == {"64", "65"}
    assert moving.descriptor(found) == [pytest.approx(81 - 2048 / TRN2.dma.bytes_per_ns)]
    assert sorted(moving.completion(found)) == [8, 10]
    assert waiting.transfer_semaphore(found) == [2700 - 2369]
    assert moving.packet_bytes(found) == []


def test_the_envelope_is_what_a_profile_has_beside_its_kernel():
    found = evidence(profile([reduce(1000, 680, 0x4000, 0x100)], total=20e-6))
    assert around.envelope(found) == [pytest.approx(20_000 - 680)]
    assert around.ACTIVE["vector"](found) == [pytest.approx(5_000 - 680)]


def test_a_benchmark_is_compared_with_the_profile_of_the_same_kernel():
    both = [
        Printed("attention", "fused", "s512", around.BENCHMARK, 28_000),
        Printed("attention", "fused", "s512", around.PROFILE, 36_000),
        Printed("attention", "fused", "s2048", around.BENCHMARK, 188_000),
    ]
    [found] = around.benchmark(evidence(printed=both))
    assert found == pytest.approx(28_000 - (36_000 - TRN2.profile.envelope_ns))


def test_every_fitted_constant_has_a_derivation_and_the_other_way_round():
    fitted = {n for n, c in TRN2.constants.items() if c.kind == "fitted" and not n.startswith("interval.")}
    assert {d.constant for d in DERIVATIONS} == fitted


def test_sums_of_fitted_constants_are_what_the_table_says():
    for name, parts in SUMS.items():
        assert TRN2.constants[name].kind == "derived"
        assert TRN2.constants[name].value == pytest.approx(sum(TRN2.constants[p].value for p in parts))


def test_without_a_familys_measurements_what_is_documented_stands():
    bare = without(evidence(profile([reduce(1000, 680, 0x4000, 0x100)])), "attention")
    assert bare.vector.reciprocal_cycles == 8
    assert bare.dma.hwdge_issue_ns == 600
    assert bare.dma.swdge_dynamic_ns == bare.dma.swdge_static_ns + bare.sequencer.register_load_ns
    assert bare.dma.bytes_per_ns == TRN2.dma.bytes_per_ns
    assert bare.dma.shortest_descriptor_ns == TRN2.dma.shortest_descriptor_ns
    assert bare.digest != TRN2.digest


def test_derived_constants_replace_the_tables():
    free = [reduce(1000, 700, 0x4000, 0x100), reduce(1640, 700, 0x4800, 0x104)]
    found = evidence(profile(free))
    derived = {d.constant: d for d in refit(found)}
    assert derived["vector.drain_ns"].value == 60
    assert not derived["vector.drain_ns"].agrees
    again = refitted(TRN2, {name: each.value for name, each in derived.items()})
    assert again.vector.drain_ns == 60
    assert again.scalar.drain_ns == TRN2.scalar.drain_ns


def test_another_table_stands_in_only_within_its_block():
    other = with_values(TRN2, {"vector.issue_ns": 1.0})
    with instead(other):
        assert machine("trn2").vector.issue_ns == 1.0
        assert machine("trn3").vector.issue_ns != 1.0
    assert machine("trn2") is TRN2


def test_a_folder_of_profiles_and_measured_rows_is_what_constants_are_derived_from(tmp_path):
    with pytest.raises(UnreadableInput, match="no JSON profiles"):
        folder_evidence(tmp_path, [])
    (tmp_path / "a.json").write_text(json.dumps(profile([reduce(1000, 680, 0x4000, 0x100)])))
    found = folder_evidence(tmp_path, ladder())
    assert [stream.name for stream in found.streams] == ["a"]
    assert {each.family for each in found.printed} == {"matmul ladder"}
    assert "profile.envelope_ns" in {d.constant for d in refit(found)}
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(UnreadableInput, match=r"b\.json is not a whole JSON profile"):
        folder_evidence(tmp_path, [])


def test_the_tables_constants_are_what_the_public_streams_give():
    if not PROFILES.is_dir():
        pytest.skip("the public trn2 attention profiles are not beside the repository")
    found = evidence(*(json.loads((PROFILES / f"{name}.json").read_text()) for name in NAMES))
    derived = refit(found)
    assert len(derived) > 40
    assert [d.constant for d in derived if not d.agrees] == []
