"""What a summary's fields and rows must be of one another: a field that breaks its formula is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collectors.readers import read
from collectors.readers.identities import IDENTITIES, disagreements
from collectors.readers.machines import FAMILIES
from collectors.readers.row_sums import RowSum

TRN2 = FAMILIES["trn2"]
RECORD: dict[str, float] = {
    # 100 us on two cores; 2 x 128 x 128 x 2.4 GHz = 78.6432 TFLOP/s a core, HBM 716 GB/s
    "total_time": 1e-4,
    "total_active_time": 5e-5,
    "total_active_time_percent": 0.5,
    "dma_active_time": 4e-5,
    "dma_active_time_percent": 0.4,
    "dma_active_cycles": 48_000,
    "neuroncore_cycle_count": 120_000,
    "tensor_engine_active_time": 2e-5,
    "tensor_engine_active_time_percent": 0.2,
    "hbm_read_bytes": 6e6,
    "hbm_write_bytes": 1.16e6,
    "mbu_estimated_percent": 0.1,
    "inputs_and_weights_size_bytes": 3.58e6,
    "mbu_min_read_util_percent": 0.05,
    "hardware_flops": 786_432_000,
    "transpose_flops": 78_643_200,
    "model_flops": 0,
    "hfu_estimated_percent": 0.05,
    "mfu_inst_estimated_percent": 0.045,
    "mfu_estimated_percent": 0.045,
    "mfu_hlo_estimated_percent": 0,
    "mm_arithmetic_intensity": 707_788_800 / 7.16e6,
    "peak_flops_bandwidth_ratio": 109.836872,
    "mfu_max_achievable_estimated_percent": 0.45,
    "mfu_inst_max_achievable_estimated_percent": 0.45,
    "static_dma_packet_count": 100,
    "software_dynamic_dma_packet_count": 300,
    "static_dma_packet_percent": 0.25,
    "software_dynamic_dma_packet_percent": 0.75,
    "static_dma_size": 1000,
    "software_dynamic_dma_size": 1000,
    "static_dma_size_percent": 0.5,
    "dma_transfer_count": 4,
    "dma_transfer_total_bytes": 2000,
    "dma_transfer_average_bytes": 500,
    "throttle_activity_0_active_time_nc4_percent": 0.5,
    "throttle_activity_0_avg_util_limit_nc4_percent": 1,
    "throttle_gpio_1_active_time_nc4_percent": 0.2,
    "throttle_gpio_1_avg_util_limit_nc4_percent": 0.5,
    "throttle_avg_util_limit_nc4_percent": 0.6,
}
CHECKED = sorted({each.field for each in IDENTITIES} & RECORD.keys())
SHARED = Path(__file__).parents[2] / "shared" / "profiles"


def test_a_record_that_keeps_every_formula_is_not_warned_of() -> None:
    assert disagreements(RECORD, TRN2, 2) == []


@pytest.mark.parametrize("field", [name for name in CHECKED if RECORD[name]])
def test_a_field_that_breaks_its_formula_is_named_with_both_values(field: str) -> None:
    said = RECORD[field] * 1.1
    found = [each for each in disagreements(RECORD | {field: said}, TRN2, 2) if each.field == field]
    assert [each.said for each in found] == [pytest.approx(said)]
    assert found[0].expected == pytest.approx(RECORD[field], rel=1e-3)


def test_fractions_written_as_percentages_are_recognised() -> None:
    (found,) = disagreements(RECORD | {"hfu_estimated_percent": 5.0}, TRN2, 2)
    assert "printed as a percentage" in found.sentence


def test_a_field_marked_as_not_available_is_not_checked() -> None:
    assert disagreements(RECORD | {"hfu_estimated_percent": -1}, TRN2, 2) == []


@pytest.mark.parametrize(("slack", "named"), [(1.0, []), (0.0, ["static_dma_packet_count"])])
def test_rows_may_differ_by_their_rounding_only(slack: float, named: list[str]) -> None:
    rows = {"static_dma_packet_count": RowSum(99.0, slack)}
    assert [each.field for each in disagreements(RECORD, TRN2, 2, rows)] == named


def test_time_under_throttling_is_told_by_core_in_the_order_of_the_summarys_cores(tmp_path: Path) -> None:
    row = {"timestamp": 0, "duration": 30, "k": 4, "n": 8, "type": 1}
    ham = [row | {"subgraph": "sg00"}, row | {"subgraph": "sg01", "duration": 50}]
    ham += [row | {"subgraph": "sg01", "k": 8, "duration": 7}]
    told = {"throttle_active_nc4_time_ns": 30, "throttle_active_nc5_time_ns": 57}
    work = {"opcode": "MATMUL", "timestamp": 0, "duration": 300, "subgroup": "Tensor", "id": 1}
    path = tmp_path / "throttled.json"
    path.write_text(json.dumps({"instruction": [work], "ham": ham, "summary": [{"total_time": 1e-6} | told]}))
    (run,) = read([path])
    said = [each for each in run.warnings if "throttle" in each]
    assert len(said) == 1
    assert said[0].startswith("throttle_active_nc5_time_ns is 57 but the rest says 50")


def test_rows_that_are_half_of_the_summary_are_said_to_be() -> None:
    (found,) = disagreements(RECORD, TRN2, 2, {"static_dma_packet_count": RowSum(50.0)})
    assert "half of the rows" in found.sentence


@pytest.mark.skipif(not SHARED.exists(), reason="no real profiles beside the repository")
def test_rows_taken_from_a_real_profile_are_missed(tmp_path: Path) -> None:
    content = json.loads((SHARED / "inf2" / "matmul-128x128x512.json").read_text())
    content["dma"] = content["dma"][: len(content["dma"]) // 2]
    content["instruction"] = [row for row in content["instruction"] if row["opcode"] != "MATMUL"]
    path = tmp_path / "cut.json"
    path.write_text(json.dumps(content))
    said = " ".join(read([path])[0].warnings)
    for field in ("matmul_instruction_count", "dma_packet_time", "dma_active_time"):
        assert f"{field} is" in said
