"""A prompt and a kernel from capture to run, on stand-ins for the tools, NxD Inference, nki and nrtpy."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standin import tables
from standin.machine import behave, machine
from standin.tool import make_neff

from analysis.compare import compare
from collectors.device.bench import bench
from collectors.device.capture import collect, tidy
from collectors.device.failures import PhaseError
from collectors.device.graphs import shot_of
from collectors.device.host import Host
from collectors.device.kernel import collect_kernel
from collectors.device.model import WHOLE
from collectors.device.processing import row_counts
from collectors.device.settings import Settings
from collectors.device.waterfall import Graph
from collectors.errors import DeviceError, UsageError
from collectors.records import Launch, Phase, Run
from collectors.request import KernelRequest, ProfileRequest, Prompt
from collectors.store.door import Store

SITE = Path(__file__).resolve().parent / "standin" / "site"
DEVICE_NS = 1000
SEQ_LEN, PROMPT_TOKENS, REPEAT = 12, 3, 2
NEW_TOKENS = SEQ_LEN - PROMPT_TOKENS

CLONE = """
from neuronx_distributed_inference.models.qwen3_moe import modeling_qwen3_moe as stock

class NeuronQwen3MoeForCausalLM(stock.NeuronQwen3MoeForCausalLM):
    name = "clone"
    scale = {scale}
"""

KERNEL = """
import nki

@nki.jit
def double(x, factor):
    return x * factor
"""


def launch(slot: str, time_ns: int, phase: Phase = "kernel") -> Launch:
    return Launch(slot, (slot,), "measured", phase, None, 1, "measured", time_ns, None, None)


def read_tables(paths: Sequence[Path]) -> list[Run]:
    """A reader that trusts nothing: the tables must be whole before it makes a row of them."""
    assert row_counts(paths[0])["Instruction"] == tables.MATMULS + 2
    return [replace(EMPTY, launches=(launch("router", DEVICE_NS),))]


@dataclass(frozen=True)
class Bed:
    host: Host
    settings: Settings
    request: ProfileRequest


@pytest.fixture
def bed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bed:
    return make_bed(monkeypatch, tmp_path)


def make_bed(monkeypatch: pytest.MonkeyPatch, folder: Path, scale: float = 1.0, **environ: str) -> Bed:
    behave(monkeypatch, environ.pop("manners", ""))
    monkeypatch.setenv("PYTHONPATH", str(SITE))
    clone, model = folder / "clone", folder / "model"
    for place in (clone, model):
        place.mkdir()
    (clone / "qwen_with_nki.py").write_text(CLONE.format(scale=scale))
    (model / "config.json").write_text("{}")
    settings = Settings(folder / "work", model, contest_dir=clone)
    prompt = Prompt(3, PROMPT_TOKENS, 64, 12868.67, 50.89, "prompt_data_trn2.csv", "to be or")
    request = ProfileRequest(prompt, SEQ_LEN, {"router": "tuned"}, "tuned", "trn2", "s", "l", repeat=REPEAT)
    return Bed(machine(folder / "root", **environ), settings, request)


def profiled(bed: Bed, **changes: object) -> Run:
    return collect(replace(bed.request, **changes), settings=bed.settings, host=bed.host, read=read_tables)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bed, Run]:
    """A bed whose model is compiled, and the whole run that compiled it."""
    with pytest.MonkeyPatch.context() as patch:
        bed = make_bed(patch, tmp_path_factory.mktemp("bed"))
        return bed, profiled(bed)


@pytest.fixture(scope="module")
def run(shared: tuple[Bed, Run]) -> Run:
    return shared[1]


def test_every_generation_and_every_call_is_kept(run: Run) -> None:
    count = {metric: sum(sample.metric == metric for sample in run.samples) for metric in METRICS}
    assert count == {
        "e2e_ns": REPEAT,
        "host_ns": REPEAT,
        "ttft_ns": REPEAT,
        "decode_ns": REPEAT * (NEW_TOKENS - 1),
    }


def test_prefill_decode_and_host_sum_to_the_end_to_end_time(run: Run) -> None:
    whole = np.mean([sample.value for sample in run.samples if sample.metric == "e2e_ns"])
    assert sum(row.count * row.time_ns for row in run.launches) == pytest.approx(whole, rel=1e-3)
    assert {row.phase for row in run.launches} == {"prefill", "decode", "host"}


def test_rows_of_a_profile_are_multiplied_by_how_often_their_graph_ran(run: Run) -> None:
    router = {(row.phase, row.bucket): row.count for row in run.launches if row.slot == "router"}
    # masks of 3 prefill in bucket 4; decode sees masks of 4 to 11: 4-7 in bucket 8, 8-11 in bucket 12
    assert router == {("prefill", 4): 1, ("decode", 8): 4, ("decode", 12): 4}
    assert all(row.provenance == "measured" for row in run.launches)


def test_the_nki_share_is_read_from_the_smallest_buckets(run: Run) -> None:
    assert run.configuration["nki_flops_share"] == pytest.approx(0.75)


def test_accuracy_is_checked_against_nxd_inferences_own_model(run: Run) -> None:
    assert run.accuracy == 1
    assert run.checks[0].detail == "Passed."


def test_phases_are_timed_those_of_nxd_inference_too(run: Run) -> None:
    seconds = run.configuration["phase_seconds"]
    logged = {"trace": 90.19, "neuronx-cc": 140.3, "shard": 263.22, "load weights": 288.81}
    assert {name: seconds[name] for name in logged} == logged
    assert {"import", "compile", "load", "warm up", "generate"} <= set(seconds)


def test_artifacts_are_the_second_executions_with_their_hashes(run: Run) -> None:
    traces = [file for file in run.artifacts if file.kind == "ntff"]
    assert {Path(file.path).name for file in traces} == {
        "prefill_4_rank_0_exec_2.ntff",
        "decode_8_rank_0_exec_2.ntff",
        "decode_12_rank_0_exec_2.ntff",
    }
    assert all(len(file.sha256) == 64 and file.bytes > 0 for file in run.artifacts)
    assert any("zero-filled inputs" in warning for warning in run.warnings)


def test_intermediate_files_are_removed_once_stored_and_logs_kept(shared: tuple[Bed, Run]) -> None:
    bed, run = shared
    tidy(run, bed.settings)
    folder = next(Path(file.path).parent for file in run.artifacts if file.kind == "ntff")
    assert not (folder / "tables").exists()
    assert not list((folder / "inspect").rglob("*.ntff"))
    assert (folder / "model-time.log").exists()


def test_the_run_says_whose_code_ran(run: Run) -> None:
    assert run.kernels == {"router": "contest_clone"}
    assert list(run.configuration["source_files"]) == ["qwen_with_nki.py"]
    assert run.environment["packages"]["nki"] == "0.5.0"


def test_wrong_logits_are_accuracy_zero_and_say_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = profiled(make_bed(monkeypatch, tmp_path, scale=1.5))
    assert run.accuracy == 0
    assert "Top k = None error 0.5000 > 0.05" in run.checks[0].detail


def test_a_capture_without_memory_is_tried_again_with_one_buffer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    behave(monkeypatch, "fail=oom@capture")
    tool = machine(tmp_path / "root").tool()
    neff = make_neff(tmp_path / "graph.neff", "tkg")
    shot = shot_of(Graph("decode", 128), neff, None, tool, tmp_path, workers=4, dge=False)
    assert shot.ntff.name == "decode_128_rank_0_exec_2.ntff"
    assert any("--single-io" in warning for warning in shot.warnings)


def test_a_failed_capture_falls_back_to_what_the_run_recorded(
    monkeypatch: pytest.MonkeyPatch, shared: tuple[Bed, Run]
) -> None:
    behave(monkeypatch, "fail=busy@capture")
    run = profiled(shared[0], accuracy=False)
    assert "compile" not in run.configuration["phase_seconds"], "an unchanged model is not compiled twice"
    assert any("first execution is shown" in warning for warning in run.warnings)
    assert any(row.slot == "router" for row in run.launches)


def test_a_capture_read_by_the_real_readers_has_the_models_slots(
    monkeypatch: pytest.MonkeyPatch, shared: tuple[Bed, Run], store: Store
) -> None:
    bed = shared[0]
    behave(monkeypatch, "layers")
    run = collect(replace(bed.request, accuracy=False), settings=bed.settings, host=bed.host)
    store.save(run)
    tidy(run, bed.settings)
    kept = store.load(run.run_id)
    rows = {(row.slot, row.phase, row.bucket): row for row in kept.launches}
    matmul = tables.MATMUL_NS
    assert rows["qkv", "prefill", 4].time_ns == rows["qkv", "decode", 8].time_ns == matmul
    assert rows["router", "decode", 12].time_ns == 2 * matmul
    assert rows["unattributed", "decode", 8].time_ns == matmul
    assert (rows["router", "decode", 8].count, rows["qkv", "prefill", 4].count) == (4, 1)
    assert any("25.0% of the graph's time is unattributed" in said for said in kept.warnings)
    timeline = store.table(rows["unattributed", "decode", 8].profile_id or "", "Instruction")
    assert timeline.num_rows == tables.MATMULS + 2
    simulated = replace(EMPTY, launches=(launch("qkv", 500, "decode"), launch("router", 100, "decode")))
    compared = {row.label: row for row in compare(simulated, kept).rows if row.phase == "decode"}
    assert all(compared[slot].base and compared[slot].candidate for slot in ("qkv", "router"))


def test_a_failed_profile_keeps_the_timing_and_says_why(
    monkeypatch: pytest.MonkeyPatch, shared: tuple[Bed, Run]
) -> None:
    behave(monkeypatch, "fail=disk")
    run = profiled(shared[0], accuracy=False)
    assert {row.slot for row in run.launches} == {"unattributed", "host"}
    assert any("the disk is full" in warning for warning in run.warnings)
    assert run.accuracy is None


def stop_at(phase: str) -> Any:
    """A report that is interrupted, as Ctrl-C does it, when a phase begins."""

    def report(name: str, detail: str = "") -> None:
        if name == phase:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("phase", ["load", "capture"])
def test_an_interrupted_run_leaves_nothing_but_the_compiled_model(bed: Bed, phase: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        collect(bed.request, settings=bed.settings, host=bed.host, read=read_tables, report=stop_at(phase))
    assert list((bed.settings.work / "runs").iterdir()) == []
    heard: list[tuple[str, str]] = []
    collect(
        replace(bed.request, accuracy=False),
        settings=bed.settings,
        host=bed.host,
        read=read_tables,
        report=lambda name, detail="": heard.append((name, detail)),
    )
    assert ("compile", "cached") in heard, "what was compiled before is not compiled again"


def test_a_compilation_that_was_cut_off_is_done_again(bed: Bed) -> None:
    assert profiled(bed, accuracy=False).samples
    compiled = [folder / "compiled" for folder in (bed.settings.work / "models").iterdir()]
    for folder in compiled:
        (folder / WHOLE).unlink()
        (folder / "model.pt").write_text("half a mod")
    assert profiled(bed, accuracy=False).samples
    assert all((folder / WHOLE).is_file() for folder in compiled)
    assert all((folder / "model.pt").read_text() != "half a mod" for folder in compiled)


def test_of_a_failed_run_only_what_explains_it_stays(bed: Bed) -> None:
    collect(replace(bed.request, accuracy=False), settings=bed.settings, host=bed.host, read=read_tables)

    def broken(_: Sequence[Path]) -> list[Run]:
        raise UsageError("Nothing could be read.", "Read again.")

    before = set((bed.settings.work / "runs").iterdir())
    with pytest.raises(UsageError):
        collect(replace(bed.request, accuracy=False), settings=bed.settings, host=bed.host, read=broken)
    (left,) = set((bed.settings.work / "runs").iterdir()) - before
    assert {path.suffix for path in left.rglob("*") if path.is_file()} <= {".log", ".json"}


def test_a_failed_compilation_names_phase_cause_and_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bed = make_bed(monkeypatch, tmp_path, NXD_STANDIN_FAIL="compile")
    with pytest.raises(PhaseError, match="compile phase failed: the compiler refused the graph") as raised:
        profiled(bed)
    assert raised.value.phase == "compile"
    assert "neuronx-cc ended with an error" in raised.value.log_tail[-1]


def test_what_is_missing_is_said_before_anything_runs(bed: Bed, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="no Neuron device"):
        collect(bed.request, settings=bed.settings, host=Host(tmp_path / "bare"))
    with pytest.raises(UsageError, match="needs the prompt's text"):
        profiled(bed, prompt=replace(bed.request.prompt, text=None))
    with pytest.raises(UsageError, match="This machine is trn2, not trn3"):
        profiled(bed, target="trn3")
    with pytest.raises(DeviceError, match="No model in"):
        collect(bed.request, settings=replace(bed.settings, model_path=tmp_path), host=bed.host)


def kernel_request(folder: Path, **changes: object) -> KernelRequest:
    (folder / "mine.py").write_text(KERNEL)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    request = KernelRequest(str(folder / "mine.py"), "double", {"x": x, "factor": 2.0}, "trn2", "s", "l")
    return replace(request, **changes)


def test_a_kernel_is_compiled_captured_on_its_inputs_and_read(bed: Bed, tmp_path: Path) -> None:
    run = collect_kernel(kernel_request(tmp_path), settings=bed.settings, host=bed.host, read=read_tables)
    assert [(row.slot, row.phase, row.time_ns) for row in run.launches] == [("double", "kernel", DEVICE_NS)]
    assert run.configuration["outputs"][0] == {
        "shape": [2, 3],
        "dtype": "float32",
        "finite": True,
        "nonzero": True,
    }
    assert run.warnings == ()
    assert KERNEL in run.sources.values()


def test_a_kernel_that_computes_nothing_is_called_out(bed: Bed, tmp_path: Path) -> None:
    request = kernel_request(tmp_path, arguments={"x": np.ones(4, np.float32), "factor": 0.0})
    run = collect_kernel(request, settings=bed.settings, host=bed.host, read=read_tables)
    assert run.warnings == ("Output 0 is all zeros: the kernel may have computed nothing.",)


def test_bench_reads_every_profiled_execution(bed: Bed, tmp_path: Path) -> None:
    result = bench(kernel_request(tmp_path), warmup=1, repeat=2, settings=bed.settings, host=bed.host)
    assert (result.clock, len(result.samples_ns)) == ("profiler", 2)
    assert result.samples_ns[0] == pytest.approx(tables.WORK_NS)
    assert result.basis.startswith("total_exec_time")


def test_bench_prefers_nrtpy_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bed = make_bed(monkeypatch, tmp_path, NKI_DASHBOARD_NRTPY_PYTHON=sys.executable)
    result = bench(kernel_request(tmp_path), warmup=1, repeat=50, settings=bed.settings, host=bed.host)
    middle, _, last = result.percentiles
    assert result.clock == "nrtpy"
    assert middle.value_ns == pytest.approx(1245.0)
    assert middle.low_ns is not None
    assert middle.low_ns < middle.value_ns < (middle.high_ns or 0)
    assert last.high_ns is None


METRICS = ("e2e_ns", "host_ns", "ttft_ns", "decode_ns")


EMPTY = Run(
    run_id="r",
    session="s",
    label="l",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    provenance="measured",
    backend="neuron",
    target="trn2",
    lnc=2,
    prompt=None,
    prompt_tokens=None,
    new_tokens=None,
    seq_len=None,
    batch=1,
    kernels={},
    accuracy=None,
    base_latency_ms=None,
    base_tokens_per_s=None,
    configuration={},
    environment={},
    wall_s=0.0,
)
