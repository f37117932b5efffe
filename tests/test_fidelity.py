from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

import app
from analysis.asjson import as_json
from analysis.fidelity import fidelity, variants_kendall
from analysis.measured import Pair, Row
from analysis.reach import Reach
from collectors.cli import cli
from collectors.commands.fidelity_chart import html, svg
from collectors.errors import UnreadableInput, UsageError
from collectors.simulated.calibration import COLUMNS, Launch, ladder, read_calibration
from collectors.simulated.fidelity import collect_fidelity
from collectors.simulated.known_kernels import KNOWN
from collectors.simulated.published import GROUPS, REPOSITORY, published
from collectors.simulated.refit import intervals
from collectors.store.door import Store
from collectors.store.fidelity import latest_fidelity, save_fidelity
from simulator.errors import BadKernel

ENTRY = Path(app.__file__).with_name("streamlit_app.py")
CHEAPEST = "V2 row loads"
FUSED = (
    "7,allenkchau/trainium-kernel-fusion,kernels/fused/attention.py,attention,fused,"
    "seqlen=512 d_head=128,bf16,trn2.3xlarge,nki.benchmark p50,28.0"
)

EXPERTS = (
    "8,KevGomes1403/nki-moe-megakernel,kernels/moe_tkg/agents/v6a*.py,moe_tkg,v6a,Qwen3 shapes,bf16,trn2,"
    "device profile total_time,278.65"
)


LOADING = """
import nki
import nki.isa as nisa
import nki.language as nl

@nki.jit
def fused_attention(q_ref, k_ref, v_ref):
    out = nl.ndarray((128, 512), dtype=q_ref.dtype, buffer=nl.shared_hbm)
    for one in (q_ref, k_ref, v_ref):
        tile = nl.ndarray((128, 512), dtype=one.dtype, buffer=nl.sbuf)
        nisa.dma_copy(dst=tile, src=one)
    nisa.dma_copy(dst=out, src=tile)
    return out
"""


def row(name: str, measured: float, predicted: float, family: str = "f", **more: object) -> Row:
    made = Row(name, family, name, "p", "m", "source", "validation", measured, 2 * measured, predicted)
    return replace(made, **more)  # type: ignore[arg-type]


def calibration(folder: Path, *lines: str) -> Path:
    path = folder / "measured.csv"
    path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    return path


def test_errors_are_relative_to_the_measured_time() -> None:
    rows = [row("a", 100, 110), row("b", 200, 150, low_ns=190.0, high_ns=210.0)]
    found = fidelity(rows).overall["source"]
    assert found.mape == pytest.approx((0.1 + 0.25) / 2)
    assert found.worst == pytest.approx(0.25)
    assert found.as_written_mape == pytest.approx(1.0)
    assert found.inside == 1.0
    assert found.active_points is None


def test_active_fractions_differ_in_points() -> None:
    rows = [row("a", 100, 100, active={"tensor": Pair(0.5, 0.56), "dma": Pair(0.9, 0.88)})]
    assert fidelity(rows).families[0].scores.active_points == pytest.approx(4.0)


def test_variants_are_ranked_within_their_own_problem_alone() -> None:
    small = [row("a", 10, 12), row("b", 12, 10)]
    large = [row("c", 1000, 1100, problem="q"), row("d", 1200, 1300, problem="q")]
    assert variants_kendall([*small, *large]) == (pytest.approx(0.0), 2)
    [family] = fidelity([*small, *large]).families
    assert family.kendall == pytest.approx(4 / 6)


def test_a_held_out_family_is_scaled_by_what_the_others_missed() -> None:
    rows = [row("a", 100, 50), row("b", 100, 50, family="g"), row("c", 100, 200, family="g")]
    found = fidelity(rows)
    first, second = found.families
    # The others' geometric mean of measured / predicted is sqrt(2 * 0.5) = 1, and 2 for the other way.
    assert first.held_out_mape == pytest.approx(0.5)
    assert second.held_out_mape == pytest.approx((0.0 + 3.0) / 2)
    assert found.held_out_mape == pytest.approx((0.5 + 1.5 * 2) / 3)
    assert (first.others_worst, first.covered) == (pytest.approx(1.0), 1.0)
    assert (second.others_worst, second.covered) == (pytest.approx(0.5), 0.5)


def test_a_family_is_left_out_by_what_constants_derived_without_it_predict() -> None:
    rows = [row("a", 100, 90, left_out_ns=150), row("b", 100, 90, family="g", left_out_ns=90)]
    found = fidelity([*rows, row("c", 100, 90, family="g", left_out_ns=100)])
    assert [each.refitted_mape for each in found.families] == [pytest.approx(0.5), pytest.approx(0.05)]
    assert found.refitted_mape == pytest.approx((0.5 + 0.05 * 2) / 3)
    assert fidelity([*rows, row("c", 100, 90, family="g")]).families[1].refitted_mape is None


def test_constants_are_derived_again_from_profiles_alone(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["fidelity", "--refit", "--db", str(tmp_path / "runs.db")])
    assert isinstance(result.exception, UsageError)
    assert "--profiles" in result.exception.hint


def test_a_kind_of_kernel_earns_the_half_width_that_holds_a_further_one_nine_times_in_ten() -> None:
    rows = [row(f"t{k}", 100 + k, 100, bound="tensor", family="fg"[k % 2]) for k in range(19)]
    rows.append(row("d", 140, 100, bound="dma", family="h"))
    tensor, dma = sorted(fidelity(rows).reaches, key=lambda each: each.share)
    assert (tensor.bound, tensor.count, tensor.families, tensor.pooled) == ("tensor", 19, 2, False)
    # The 18th of 19 misses, 0 to 18 %: nine tenths of 19 and the further one.
    assert tensor.share == pytest.approx(0.17)
    # The nine odd rows (1..17) hold all even ones but the largest; the even ones (0..18) hold all odd ones.
    assert tensor.covered == pytest.approx(18 / 19)
    assert (dma.bound, dma.pooled) == ("dma", True)
    assert dma.share == pytest.approx(0.4)
    assert dma.covered == 0.0


def test_held_out_kernels_move_neither_intervals_nor_other_families() -> None:
    rows = [row("a", 100, 90, bound="dma"), row("b", 100, 95, family="g", bound="dma")]
    far = row("c", 300, 100, family="h", role="held out", bound="dma")
    without, with_it = fidelity(rows), fidelity([*rows, far])
    assert with_it.reaches == without.reaches
    assert with_it.families[:2] == without.families
    assert with_it.overall["source"] == without.overall["source"]
    assert with_it.overall["held out"].mape == pytest.approx(2 / 3)


def test_published_kernels_without_their_source_are_skipped_with_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NKI_DASHBOARD_CACHE", str(tmp_path / "cache"))
    cases, skipped = published(tmp_path)
    assert not cases
    assert len(skipped) == sum(len(group.measured_us) for group in GROUPS)
    assert all("there is no clone" in each.reason for each in skipped)

    clone = tmp_path / REPOSITORY
    subprocess.run(["git", "init", "--quiet", str(clone)], check=True)
    assert "fetch its whole history" in published(tmp_path)[1][0].reason


def test_one_family_alone_has_nothing_to_be_held_out_against() -> None:
    found = fidelity([row("a", 100, 90)])
    assert found.held_out_mape is None
    assert found.families[0].kendall is None


def test_a_replayed_stream_counts_for_no_source_score() -> None:
    stream = row("s", 100, 0, family="streams", origin="stream", role="fitted", list_ns=None)
    found = fidelity([row("a", 100, 90), stream])
    assert found.overall["source"].count == 1
    assert found.overall["stream"].mape == pytest.approx(1.0)
    assert found.held_out_mape is None


def test_a_row_without_source_is_skipped_and_says_where_to_get_it(tmp_path: Path) -> None:
    path = calibration(tmp_path, FUSED, FUSED.replace("fused/attention", "fused/other"))
    cases, skipped = read_calibration(path, None)
    assert not cases
    assert "--kernels-from" in skipped[0].reason
    assert "trainium-kernel-fusion" in skipped[0].reason
    assert "no kernel and argument shapes are known" in skipped[1].reason


def test_a_row_with_source_gets_its_own_shapes_and_role(tmp_path: Path) -> None:
    source = tmp_path / "trainium-kernel-fusion" / "kernels" / "fused"
    source.mkdir(parents=True)
    (source / "attention.py").write_text("")
    path = calibration(tmp_path, FUSED, FUSED.replace("seqlen=512", "seqlen=2048"))
    (small, large), skipped = read_calibration(path, tmp_path)
    assert not skipped
    assert [case.role for case in (small, large)] == ["fitted", "validation"]
    assert large.launches[0].shapes["k_ref"] == (128, 2048)
    assert small.measured_ns == 28_000
    assert small.target == "trn2"


def test_a_row_that_picks_experts_is_given_distinct_seeded_ones(tmp_path: Path) -> None:
    source = tmp_path / "nki-moe-megakernel" / "kernels" / "moe_tkg" / "agents"
    source.mkdir(parents=True)
    (source / "v6a_widen_down_on_v5a.py").write_text("")
    [case], _ = read_calibration(calibration(tmp_path, EXPERTS), tmp_path)
    first, second = (case.launches[0].arguments() for _ in range(2))
    picked = first["expert_indices"]
    assert len(set(picked[0])) == 8
    assert 0 <= picked.min() <= picked.max() < 128
    assert (picked == second["expert_indices"]).all()
    assert first["routing_weights_k"].dtype == "float32"
    assert case.role == "validation"


def test_a_row_says_which_commit_has_its_source_and_that_some_were_never_published(tmp_path: Path) -> None:
    never = EXPERTS.replace("moe_tkg/agents/v6a", "attn_tkg/agents/v9a").replace("v6a", "Data (v9a)")
    _, skipped = read_calibration(calibration(tmp_path, EXPERTS, never), tmp_path)
    assert "check out bcf4f30" in skipped[0].reason
    assert "ever committed" in skipped[1].reason


def test_packets_a_profile_counted_belong_to_its_own_row_alone() -> None:
    profiled = FUSED.replace("nki.benchmark p50,28.0", "device profile total_time (exec 2),36.35")
    lines = (FUSED, profiled, profiled.replace("seqlen=512", "seqlen=2048"), EXPERTS)
    benchmark, short, longer, experts = (packets_of(line) for line in lines)
    assert short == {"software": 672, "hardware": 288}
    assert experts == {"software": 9728}
    assert benchmark == longer == {}


def packets_of(line: str) -> dict[str, int]:
    _, repository, file, _, variant, params, *_, method, _ = line.split(",")
    return dict(KNOWN[repository, file, variant].packets_of(params, method))


def test_a_report_sets_counted_packets_beside_measured_ones(tmp_path: Path) -> None:
    kernel = tmp_path / "trainium-kernel-fusion" / "kernels" / "fused" / "attention.py"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(LOADING)
    line = FUSED.replace("nki.benchmark p50,28.0", "device profile total_time (exec 2),36.35")
    (found,) = collect_fidelity(
        calibration=calibration(tmp_path, line), kernels=tmp_path, only="fused"
    ).result.rows
    # Three loads of [128, 512] bf16: two packets of 4096 bytes and a completion on each of 16 engines.
    assert found.packets["software"] == Pair(3 * 48 + 48, 672)


def test_a_bad_calibration_file_is_refused_with_its_fault(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="latency_us is 'fast'"):
        read_calibration(calibration(tmp_path, FUSED.replace("28.0", "fast")), None)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UnreadableInput, match="lacks the columns id, source_repo"):
        read_calibration(tmp_path / "other.csv", None)


def test_a_kernel_that_does_not_load_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(launch: Launch, case: object) -> None:
        raise BadKernel(f"{launch.kernel.module} does not import", "")

    monkeypatch.setattr("collectors.simulated.fidelity._profile", broken)
    report = collect_fidelity(only=CHEAPEST)
    assert not report.result.rows
    [skipped] = report.result.skipped
    assert skipped.reason == "kernels.ladder.matmul does not import"


def test_the_ladder_contains_the_profiles_own_time() -> None:
    case = next(each for each in ladder() if each.name == CHEAPEST)
    assert case.around_ns() > 0
    assert case.role == "validation"


def test_the_verb_predicts_the_ladder_from_the_repository_alone(tmp_path: Path) -> None:
    chart, base = tmp_path / "f.svg", ["fidelity", "--only", CHEAPEST, "--db", str(tmp_path / "runs.db")]
    printed = CliRunner().invoke(cli, [*base, "--json", "--chart", str(chart)])
    assert printed.exit_code == 0, printed.output
    report = json.loads(printed.stdout)
    assert set(report) == {"created_at", "simulator", "machines", "around", "result", "refit"}
    [found] = report["result"]["rows"]
    for name in ("measured_ns", "list_ns", "as_written_ns", "list_error", "low_ns", "high_ns", "inside"):
        assert found[name] is not None
    assert found["list_error"] == pytest.approx(found["list_ns"] / found["measured_ns"] - 1)
    assert abs(found["list_error"]) < 0.25
    assert "profile.envelope_ns" in report["machines"]["trn2"]["constants"]["fitted"]
    assert "V2 row loads" in chart.read_text()
    assert latest_fidelity(Store(tmp_path / "runs.db")) == report
    table = CliRunner().invoke(cli, base)
    assert "MAPE" in table.stdout
    assert "validation" in table.stdout


def test_a_folder_of_clones_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["fidelity", "--kernels-from", str(tmp_path / "none")])
    assert isinstance(result.exception, UsageError)
    assert "none" in str(result.exception)


def test_a_folder_without_profiles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match="has no JSON profiles"):
        collect_fidelity(only="nothing of that name", profiles=tmp_path)


def test_the_chart_has_a_point_a_row_and_escapes_names() -> None:
    drawn = svg([row("a<b", 1e5, 2e5), row("c", 2e6, 2e6, family="g", role="fitted")])
    # Two points and two families in the key.
    assert drawn.count("<circle") == 4
    assert "a&lt;b" in drawn
    assert drawn in html(drawn)


def page(path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setattr(sys, "argv", ["streamlit_app.py"])
    monkeypatch.setenv("NKI_DASHBOARD_DB", str(path))
    test = AppTest.from_file(str(ENTRY), default_timeout=120).run()
    return test.switch_page("app_pages/fidelity.py").run()


def test_an_empty_page_says_how_to_fill_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    test = page(store.path, monkeypatch)
    assert not test.exception
    assert [each.value for each in test.code] == ["collectors fidelity"]


def test_the_page_shows_the_last_report(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    report = replace(
        collect_fidelity(only="nothing of that name"),
        result=fidelity([row("a", 1e5, 1.1e5), row("b", 2e5, 1.9e5, family="g")]),
    )
    save_fidelity(store, datetime(2026, 1, 1, tzinfo=UTC), as_json(fidelity([])))
    save_fidelity(store, report.created_at, as_json(report))
    test = page(store.path, monkeypatch)
    assert not test.exception, test.exception[0].message
    rows, families = (each.value for each in test.dataframe)
    assert rows["list error, %"].tolist() == pytest.approx([10.0, -5.0])
    assert families["family"].tolist() == ["f", "g"]
    assert not test.expander
    assert "2 predicted, no constant fitted to them" in "\n".join(str(each.value) for each in test.html)


def test_the_page_shows_constants_derived_again_and_families_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row("a", 100, 90, left_out_ns=150), row("b", 100, 90, family="g", left_out_ns=90)]
    reach = Reach("dma", 0.3, 10, 3, pooled=False, covered=1.0)
    report = replace(
        collect_fidelity(only="nothing of that name"), result=fidelity(rows), refit=tuple(intervals([reach]))
    )
    save_fidelity(store, report.created_at, as_json(report))
    test = page(store.path, monkeypatch)
    assert not test.exception, test.exception[0].message
    constants = test.dataframe[-1].value
    assert constants[["constant", "derived", "agrees"]].values.tolist() == [["interval.dma", 0.3, "no"]]
    assert "leave one family out" in "\n".join(str(each.value) for each in test.html)


def test_the_page_lists_packets_beside_times(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = row("a", 1e5, 1.1e5, packets={"software": Pair(48, 50)}, active={"dma": Pair(0.5, 0.4)})
    report = replace(collect_fidelity(only="nothing of that name"), result=fidelity([counted]))
    save_fidelity(store, report.created_at, as_json(report))
    test = page(store.path, monkeypatch)
    figures = next(each.value for each in test.dataframe if "figure" in each.value)
    assert figures["figure"].tolist() == ["active, %", "DMA packets"]
    assert figures["predicted"].tolist() == [50.0, 48.0]
