from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.fidelity.replay import replay
from simulator.fidelity.residuals import as_profiled, duration_residuals, packet_residuals, total
from simulator.machine.facts import machine

PROFILES = Path(__file__).resolve().parents[2] / "shared" / "profiles" / "trn2-attention"
TRN2 = machine("trn2")


def row(timestamp, duration, label, opcode, operands, kind="REGULAR"):
    return {
        "timestamp": timestamp,
        "duration": duration,
        "label": label,
        "opcode": opcode,
        "operands": operands,
        "instruction_type": kind,
        "subgraph": "sg00",
    }


STREAM = {
    "instruction": [
        row(
            1000,
            540,
            "Sync",
            "DMA_DIRECT2D",
            "src_elem_size=512 dst_elem_size=512 src_pattern=[512,1][128,1] dst_pattern=[262144,1][128,1] "
            "src_addr_imm=0x8005c03b0000 dst_addr_imm=0x802000033000",
        ),
        row(3900, 150, "Tensor", "LDWEIGHTS", "fp32_mode=LOW src=fp32@0x331fc[-1,0,0][128,1,1] 128*128"),
        row(
            4000,
            275,
            "TensorMatrix",
            "MATMUL",
            "src=fp32@0x33000[1,0,0][128,1,1] dst=0x2000800[1,0,0][128,1,1]",
        ),
        row(4110, 150, "Tensor", "LDWEIGHTS", "fp32_mode=HIGH src=fp32@0x331fc[-1,0,0][128,1,1] 128*128"),
        row(
            4110,
            275,
            "TensorMatrix",
            "MATMUL",
            "src=fp32@0x33000[1,0,0][128,1,1] dst=0x2000800[1,0,0][128,1,1]",
        ),
        row(
            4500,
            350,
            "Vector",
            "TENSOR_SCALAR",
            "ops=MULTIPLY,BYPASS imm=0x6840,0 imm_src=PTR,INSTRUCTION src=fp32@0x2000800[1,1,1][128,1,1] "
            "dst=fp32@0x8850[1,1,1][128,1,1] channels=128",
        ),
        row(5000, 20, "Vector", "DRAIN", ""),
    ]
}


def test_rows_become_instructions_with_regions_and_cores_of_their_own():
    found = replay(STREAM, target="trn2")
    load, matmul, scale = found.trace.cores[0]
    assert load.transfer.bytes == 128 * 512
    assert load.writes[0][1:] == (0, 128, 0x33000, 0x33200)
    assert matmul.reads[0][3:] == (0x33000, 0x33200)
    assert matmul.writes == scale.reads[:1]
    assert scale.memories[:2] == ("sbuf", "psum")
    assert scale.attributes["pointers"] == 1


def test_the_two_passes_of_an_fp32_matmul_are_one_instruction():
    found = replay(STREAM, target="trn2")
    assert found.duration_ns[1] == 4110 + 275 - 4000


def test_residuals_compare_what_the_costs_say_with_what_was_measured():
    found = {r.kind.split()[1]: r for r in duration_residuals([replay(STREAM, target="trn2")], TRN2)}
    assert abs(found["tensor_scalar"].error) < 0.03
    assert found["nc_matmul"].measured_ns == 385


def test_packets_that_carry_no_data_are_left_out():
    sample = {"queue_type": "hardware_dynamic", "count": "9", "p50_ns": "83", "transfer_bytes": "2048"}
    rows = [sample, sample | {"transfer_bytes": "4"}, sample | {"queue_type": "instruction"}]
    (only,) = packet_residuals(rows, TRN2)
    assert only.predicted_ns == pytest.approx(TRN2.dma.descriptor_ns + 2048 / TRN2.dma.bytes_per_ns)


@pytest.mark.parametrize(
    "name", ["baseline-bf16-s512", "baseline-bf16-s1024", "fused-bf16-s512", "fused-bf16-s1024"]
)
def test_a_real_stream_replayed_takes_its_measured_time_within_seven_percent(name):
    path = PROFILES / f"{name}.json"
    if not path.exists():
        pytest.skip("the public trn2 attention profiles are not beside the repository")
    content = json.loads(path.read_text())
    ends = [r["timestamp"] + r["duration"] for r in content["dma"] if r["dma_queue"] in {"0", "1", "2"}]
    whole = total(replay(content, target="trn2"), max(ends))
    assert abs(whole.error) < 0.07
    shares = as_profiled(TRN2, whole.predicted_ns, whole.active_ns)
    for name in ("tensor", "vector", "scalar", "gpsimd"):
        measured = content["summary"][0][f"{name}_engine_active_time_percent"]
        assert abs(shares[name] - measured) < 0.03, name


def test_a_profile_of_a_kernel_alone_shows_the_runtime_around_it():
    shares = as_profiled(TRN2, 0.0, {"tensor": 0.0})
    assert shares["tensor"] == TRN2.profile.tensor_active_ns / TRN2.profile.envelope_ns
