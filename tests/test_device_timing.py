"""The waterfall, the NKI share, percentiles, diagnoses and environments: pure parts, worked out by hand."""

import base64
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from collectors.device.bench import percentiles
from collectors.device.environment import base_environment, kernel_environment, profiling_environment
from collectors.device.failures import diagnose, phase_failed
from collectors.device.generation import bucket_of
from collectors.device.log_phases import logged_phases
from collectors.device.model import model_class, plugged_kernels
from collectors.device.nki_share import Macs, count_macs, hlo_file
from collectors.device.settings import settings_from
from collectors.device.waterfall import Graph, Timing, launches, timing
from collectors.errors import DeviceError, UsageError
from collectors.records import Launch
from kernels.registry import kernel_choice

SHARED_LOG = Path(__file__).resolve().parents[2] / "shared/profiles/contest/hwang-compile_and_benchmark.log"

PREFILL, DECODE = Graph("prefill", 128), Graph("decode", 128)
MEASURED = Timing(
    e2e_ns=(1000.0, 1200.0),
    calls={PREFILL: ((100.0,), (100.0,)), DECODE: ((50.0, 70.0), (60.0, 60.0))},
)


def row(time_ns: int, count: int = 1) -> Launch:
    return Launch("router", ("router",), "measured", "kernel", None, count, "measured", time_ns, None, None)


def test_host_time_is_what_the_graphs_leave() -> None:
    assert MEASURED.host_ns == (780.0, 980.0)


def test_events_of_two_repetitions_become_one_timing() -> None:
    events = [
        {"metric": "e2e_ns", "repetition": 0, "values": [1000.0]},
        {"metric": "prefill_ns", "repetition": 0, "bucket": 128, "values": [100.0]},
        {"metric": "decode_ns", "repetition": 0, "bucket": 128, "values": [50.0, 70.0]},
        {"metric": "e2e_ns", "repetition": 1, "values": [1200.0]},
        {"metric": "prefill_ns", "repetition": 1, "bucket": 128, "values": [100.0]},
        {"metric": "decode_ns", "repetition": 1, "bucket": 128, "values": [60.0, 60.0]},
    ]
    assert timing(events) == MEASURED


def test_a_profiled_graph_gets_a_dispatch_row_for_what_the_host_saw_beyond_it() -> None:
    rows, warnings = launches(MEASURED, {DECODE: [row(10, count=4)]}, new_tokens=3)
    listed = [(r.slot, r.phase, r.bucket, r.count, r.time_ns) for r in rows]
    assert listed == [
        ("unattributed", "prefill", 128, 1, 100),
        ("router", "decode", 128, 8, 10),
        ("dispatch", "decode", 128, 2, 20),
        ("host", "host", None, 3, 293),
    ]
    assert warnings == ()


def test_a_profile_slower_than_the_call_is_a_warning_not_negative_time() -> None:
    rows, warnings = launches(MEASURED, {DECODE: [row(90)]}, new_tokens=3)
    assert all(r.time_ns >= 0 for r in rows)
    assert "not a typical one" in warnings[0]


def dot(left: tuple[int, ...], right: tuple[int, ...], contract: int, batch: bool) -> SimpleNamespace:
    shape = lambda id_, dims: SimpleNamespace(  # noqa: E731
        id=id_, opcode="parameter", shape=SimpleNamespace(dimensions=dims)
    )
    numbers = SimpleNamespace(
        lhs_contracting_dimensions=[contract],
        rhs_contracting_dimensions=[1 if batch else 0],
        lhs_batch_dimensions=[0] if batch else [],
        rhs_batch_dimensions=[0] if batch else [],
    )
    product = SimpleNamespace(
        id=3,
        opcode="dot",
        shape=SimpleNamespace(dimensions=()),
        operand_ids=[1, 2],
        dot_dimension_numbers=numbers,
    )
    return SimpleNamespace(instructions=[shape(1, left), shape(2, right), product])


def call(config: object) -> SimpleNamespace:
    text = base64.b64encode(json.dumps(config).encode())
    instruction = SimpleNamespace(
        id=1,
        opcode="custom-call",
        custom_call_target="AwsNeuronCustomNativeKernel",
        backend_config=text,
        shape=SimpleNamespace(dimensions=()),
    )
    return SimpleNamespace(instructions=[instruction])


def test_macs_are_counted_as_the_challenge_counts_them() -> None:
    plain = dot((4, 8), (8, 16), contract=1, batch=False)
    batched = dot((2, 4, 8), (2, 8, 16), contract=2, batch=True)
    module = SimpleNamespace(computations=[plain, batched, call({"mac_count": 100}), call({"other": 1})])
    assert count_macs(module) == Macs(total=4 * 8 * 16 + 2 * 4 * 8 * 16 + 100, nki=100)


def test_a_graph_without_multiplications_has_share_zero() -> None:
    assert Macs().share == 0.0


def test_a_bucket_without_exactly_one_hlo_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="exactly one HLO module"):
        hlo_file(tmp_path)


@pytest.mark.parametrize(("length", "bucket"), [(20, 128), (127, 128), (128, 256), (639, 640), (640, 640)])
def test_a_call_runs_in_the_first_bucket_longer_than_its_mask(length: int, bucket: int) -> None:
    module = SimpleNamespace(neuron_config=SimpleNamespace(buckets=[128, 256, 640]))
    assert bucket_of(module, (None, np.zeros((1, length)))) == bucket


def test_percentiles_carry_intervals_where_the_samples_can_bound_them() -> None:
    values = list(np.random.default_rng(1).normal(1000.0, 10.0, 200))
    middle, ninety, last = percentiles(values)
    assert middle.value_ns == pytest.approx(np.median(values))
    for each in (middle, ninety, last):
        assert each.low_ns is not None
        assert each.high_ns is not None
        assert each.low_ns <= each.value_ns <= each.high_ns


def test_p99_of_twenty_samples_has_no_interval() -> None:
    assert percentiles([1.0] * 20, (0.99,))[0].high_ns is None
    assert percentiles([5.0], (0.5,))[0].low_ns is None


def test_the_last_known_cause_wins_and_harmless_lines_are_skipped() -> None:
    log = ["no space left on device", "ERRO[0012] Unable to process node with uid 7 for exec 6"]
    found = diagnose(log)
    assert found is not None
    assert found.cause == "The disk is full."
    assert diagnose(["all is well"]) is None


def test_a_cause_quotes_what_the_log_said() -> None:
    found = diagnose(["WARN 1234 trace events were dropped"])
    assert found is not None
    assert "1234 events were lost" in found.cause


def test_an_unexplained_failure_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("\n".join(f"line {n}" for n in range(50)))
    error = phase_failed("trace", log)
    assert error.message == "The trace phase failed: line 49"
    assert error.log_tail[0] == "line 38"
    assert str(log) in error.hint


def test_a_pass_without_profiling_carries_none_of_the_shells_inspect_variables(tmp_path: Path) -> None:
    shell = {"NEURON_RT_INSPECT_ENABLE": "1", "NKI_SIMULATOR": "1", "PYTHONPATH": "/mine", "HOME": "/h"}
    made = base_environment(shell, target="trn3", work=tmp_path, source=Path("/project"))
    assert not [name for name in made if name.startswith("NEURON_RT_INSPECT_")]
    assert "NKI_SIMULATOR" not in made
    assert made["NEURON_PLATFORM_TARGET_OVERRIDE"] == "trn3"
    assert made["PYTHONPATH"] == "/project:/mine"
    assert made["NKI_DEBUG_INFO"] == "True"


def test_a_profiling_pass_has_everything_set_before_it_is_born(tmp_path: Path) -> None:
    made = profiling_environment({}, tmp_path / "out", device_profile="session", dge_notifications=True)
    assert made["NEURON_RT_INSPECT_ENABLE"] == "1"
    assert made["NEURON_RT_INSPECT_DEVICE_PROFILE"] == "session"
    assert made["NEURON_RT_ENABLE_DGE_NOTIFICATIONS"] == "1"
    assert Path(made["NEURON_RT_INSPECT_OUTPUT_DIR"]).is_absolute()


def test_a_kernels_environment_names_its_logical_core_and_artifacts(tmp_path: Path) -> None:
    made = kernel_environment({}, tmp_path, 2)
    assert (made["NEURON_LOGICAL_NC_CONFIG"], made["NKI_ARTIFACTS_DIR"]) == ("2", str(tmp_path))
    with pytest.raises(DeviceError, match="3 physical cores"):
        kernel_environment({}, tmp_path, 3)


def test_only_slots_plugged_into_nxd_inference_are_credited_to_a_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plug_in = SimpleNamespace(CHOICE={}, NeuronQwen3MoeForCausalLM="class")
    monkeypatch.setitem(sys.modules, "kernels.neuron_model", plug_in)
    chosen = kernel_choice("tuned,input_norm=baseline")
    spec = {"contest_dir": None, "kernels": chosen}
    assert model_class(spec) == "class"
    assert vars(plug_in)["CHOICE"] == chosen
    ran = plugged_kernels(spec)
    assert (ran["router"], ran["attention_decode"], ran["lm_head"]) == (
        "fused",
        "block",
        "tiles",
    )
    assert set(ran) == set(chosen), "all of them run kernels"
    assert plugged_kernels({**spec, "contest_dir": "/clone"}) == {}


def test_settings_come_from_the_environment_and_refuse_nonsense(tmp_path: Path) -> None:
    chosen = settings_from({"NKI_DASHBOARD_WORK_DIR": str(tmp_path), "NKI_DASHBOARD_DGE": "1"}, tmp_path)
    assert (chosen.work, chosen.dge_notifications, chosen.contest_dir) == (tmp_path, True, tmp_path)
    with pytest.raises(UsageError, match="'always'"):
        settings_from({"NKI_DASHBOARD_DEVICE_PROFILE": "always"})


def test_a_real_log_gives_its_phases() -> None:
    if not SHARED_LOG.exists():
        pytest.skip("the public compile log is not on this machine")
    seconds = logged_phases(SHARED_LOG.read_text(errors="replace"))
    assert {"trace", "neuronx-cc", "load weights", "warm up graphs"} <= set(seconds)
    assert all(value > 0 for value in seconds.values())
