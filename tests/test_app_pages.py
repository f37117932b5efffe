from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import factory
import pytest
from streamlit.testing.v1 import AppTest

import app
from analysis.compare import compare
from analysis.floors import floors
from analysis.rank import rank
from analysis.score import points
from analysis.stalls import stalls
from analysis.totals import totals
from analysis.whatif import scenarios
from app import query, words
from collectors.store.door import Store

ENTRY = Path(app.__file__).with_name("streamlit_app.py")
Open = Callable[..., AppTest]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a page of the app on a database, with query parameters as in a link."""

    def page(path: Path, name: str = "runs", **address: str) -> AppTest:
        monkeypatch.setattr(sys, "argv", ["streamlit_app.py"])
        monkeypatch.setenv("NKI_DASHBOARD_DB", str(path))
        test = AppTest.from_file(str(ENTRY), default_timeout=120)
        for key, value in address.items():
            test.query_params[key] = value
        test.run()
        return test if name == "runs" else test.switch_page(f"app_pages/{name}.py").run()

    return page


def html(test: AppTest) -> str:
    assert not test.exception, test.exception[0].message
    return "\n".join(str(each.value) for each in test.html)


def test_runs_answers_with_the_best_run_and_its_points(filled: Store, opened: Open) -> None:
    said = html(opened(filled.path))
    scores = {run.label: points(totals(run), run).value or 0.0 for run in filled.runs()}
    label = max(scores, key=lambda name: scores[name])
    assert words.number(scores[label]) in said
    assert f">{label}<" in said
    assert "final formula" in said


def test_runs_says_what_the_points_would_be_without_the_host(filled: Store, opened: Open) -> None:
    said = html(opened(filled.path))
    newest = filled.runs()[0]
    without = scenarios(newest)[-1].points["final"].value
    assert without is not None
    assert "no host" in said
    assert words.number(without) in said


def test_runs_lists_every_run_newest_first_with_its_numbers(filled: Store, opened: Open) -> None:
    [table] = opened(filled.path).dataframe
    runs = filled.runs()
    assert [label.removesuffix(" ⚑") for label in table.value["label"]] == [run.label for run in runs]
    decode = [totals(run).decode_ns_per_token for run in runs]
    assert table.value["ms/token"].tolist() == pytest.approx([each.value / 1e6 for each in decode if each])
    assert table.value["accuracy"].tolist() == ["passed"] * len(runs)


def test_the_baseline_is_marked_and_others_differ_from_it(filled: Store, opened: Open) -> None:
    table = opened(filled.path).dataframe[0].value.set_index("label")
    tuned = next(run for run in filled.runs() if run.label == "tuned")
    base = next(run for run in filled.runs() if run.run_id in filled.baselines())
    decode = next(each for each in compare(base, tuned).headlines if each.key == "decode")
    assert decode.difference is not None
    assert table.loc["baseline ⚑", "interval"] == "is the baseline"
    assert table.loc["tuned", "difference"] == pytest.approx(100 * (decode.difference.relative or 0))
    assert table.loc["tuned", "verdict"] == words.verdict(decode.judgement.verdict)


def test_the_filter_keeps_runs_whose_label_or_kernels_match(filled: Store, opened: Open) -> None:
    test = opened(filled.path)
    test.text_input(key="filter").set_value("tuned").run()
    assert test.dataframe[0].value["label"].tolist() == ["tuned"]
    test.text_input(key="filter").set_value("experts_decode=prefetched trn3").run()
    assert "baseline ⚑" not in test.dataframe[0].value["label"].tolist()
    test.text_input(key="filter").set_value("nothing like it").run()
    assert not test.dataframe
    html(test)


def test_the_first_formula_says_that_the_official_baseline_has_no_ttft(filled: Store, opened: Open) -> None:
    said = html(opened(filled.path, formula="first"))
    assert "TTFT ratio" in said
    assert "gives no TTFT" in said


def test_an_empty_database_shows_what_to_type(store: Store, opened: Open) -> None:
    for page in ("runs", "compare", "rewrite", "kernel"):
        test = opened(store.path, page)
        assert not test.exception
        assert (
            f"collectors profile --prompt 3 --kernels tuned --label tuned --db {store.path}"
            in test.code[0].value
        )


def test_a_file_that_is_no_database_is_named_in_a_sentence(tmp_path: Path, opened: Open) -> None:
    path = tmp_path / "notes.db"
    path.write_text("not a database, long enough to have a header " * 100)
    test = opened(path)
    assert not test.exception
    assert "is not a DuckDB database" in test.error[0].value


def test_an_option_nobody_knows_is_named_in_a_sentence() -> None:
    with pytest.raises(query.UsageError, match="--bd"):
        query.database(["--bd", "x"])
    with pytest.raises(query.UsageError, match="expected one argument"):
        query.database(["--db"])
    assert query.database(["--db", "/tmp/x.db"]) == Path("/tmp/x.db")


def test_a_link_may_name_runs_by_label(filled: Store, opened: Open) -> None:
    test = opened(filled.path, run="tuned", base="attempt-2")
    by_label = {run.label: run.run_id for run in filled.runs()}
    assert test.selectbox(key="pick_run").value == by_label["tuned"]
    assert test.selectbox(key="pick_base").value == by_label["attempt-2"]
    assert test.query_params["run"] == by_label["tuned"]


def test_a_link_to_a_run_that_is_not_here_says_so(filled: Store, opened: Open) -> None:
    test = opened(filled.path, run="no-such-run")
    assert "no-such-run" in test.warning[0].value
    assert test.selectbox(key="pick_run").value == filled.runs()[0].run_id


def test_the_pick_stays_from_page_to_page(filled: Store, opened: Open) -> None:
    chosen = filled.runs()[2].run_id
    test = opened(filled.path)
    test.selectbox(key="pick_run").select(chosen).run()
    assert test.query_params["run"] == chosen
    test.switch_page("app_pages/compare.py").run()
    assert test.selectbox(key="pick_run").value == chosen


def test_a_and_b_can_trade_places(filled: Store, opened: Open) -> None:
    test = opened(filled.path, "compare")
    a, b = test.selectbox(key="pick_base").value, test.selectbox(key="pick_run").value
    test.button(key="swap").click().run()
    assert (test.selectbox(key="pick_base").value, test.selectbox(key="pick_run").value) == (b, a)


def test_compare_answers_with_four_numbers_and_their_verdicts(filled: Store, opened: Open) -> None:
    run, base = filled.runs()[0], filled.runs()[-1]
    said = html(opened(filled.path, "compare"))
    headlines = {each.key: each for each in compare(base, run).headlines}
    for key in ("decode", "ttft", "tokens_per_s", "points_final"):
        each = headlines[key]
        assert each.difference is not None
        assert words.number(each.candidate) in said
        assert words.signed(each.difference.value) in said
        assert words.verdict(each.judgement.verdict, each.unit) in said
    assert "Same workload, machine and tools" in said


def test_compare_lists_what_moved_largest_first_and_folds_the_rest(filled: Store, opened: Open) -> None:
    comparison = compare(filled.runs()[-1], filled.runs()[0])
    test = opened(filled.path, "compare")
    decode = [row for row in comparison.rows if row.phase == "decode"]
    moved, folded = test.dataframe
    assert moved.value["slot"].tolist() == [row.label for row in decode if row.status != "unchanged"]
    assert moved.value["moved"].tolist()[0] == pytest.approx(decode[0].difference.value / 1e6)
    assert folded.value["slot"].tolist() == [row.label for row in decode if row.status == "unchanged"]
    assert "@@" in test.code[0].value


def test_runs_that_are_not_alike_say_so_first(filled: Store, opened: Open) -> None:
    other = factory.run("another prompt", prompt=0)
    filled.save(other)
    test = opened(filled.path, "compare", run=other.run_id, base=filled.baselines().__iter__().__next__())
    said = html(test)
    assert "not comparable" in said
    assert "different prompts: 3 and 0" in said
    assert said.index("different prompts") < said.index("tokens/s")
    assert "▲ faster" not in said


def test_a_run_against_itself_asks_for_another(filled: Store, opened: Open) -> None:
    same = filled.runs()[0].run_id
    test = opened(filled.path, "compare", run=same, base=same)
    assert "same run" in test.info[0].value
    assert not test.exception


def test_without_a_baseline_compare_says_how_to_mark_one(store: Store, opened: Open) -> None:
    store.save(factory.run("alone"))
    assert "collectors baseline" in opened(store.path, "compare").info[0].value


def test_rewrite_next_answers_with_the_three_kernels_worth_most(filled: Store, opened: Open) -> None:
    run = filled.runs()[0]
    machine = query.facts(run.target)
    tables = query.profile_tables(filled.path, tuple(run.profiles))
    ranking = rank(run, machine=machine, tables=tables, alternatives=filled.runs())
    test = opened(filled.path, "rewrite")
    said = html(test)
    first = [each for each in ranking.opportunities if each.is_kernel][:3]
    for each in first:
        assert words.number(each.gain_ns.expected / words.NS_PER[words.time_unit(each.gain_ns.high)]) in said
        assert f">{each.slot}<" in said
    assert test.dataframe[0].value["slot"].tolist() == [each.slot for each in ranking.opportunities]
    assert "not a kernel" in test.dataframe[0].value["variant"].tolist()
    assert ">Held up by moving the bytes 30%" in said
    assert "&lt;span" not in said


def test_rewrite_next_holds_every_slot_beside_its_floor(filled: Store, opened: Open) -> None:
    run = filled.runs()[0]
    rows = floors(run, query.facts(run.target))
    shown = opened(filled.path, "rewrite").dataframe[1].value
    assert shown["slot"].tolist() == [each.slot for each in rows]
    assert shown["time"].tolist() == [each.time.value / 1e3 for each in rows]
    assert shown["provenance"].tolist() == [each.time.provenance.label for each in rows]


def test_a_run_whose_accuracy_failed_has_nothing_to_rank(store: Store, opened: Open) -> None:
    failed = replace(factory.run("wrong"), accuracy=0)
    store.save(failed)
    test = opened(store.path, "rewrite")
    assert "accuracy failed" in test.info[0].value
    assert "failed" in opened(store.path).dataframe[0].value["accuracy"].tolist()


def test_kernel_answers_with_the_busiest_engine(filled: Store, opened: Open) -> None:
    run = filled.runs()[0]
    launch = max(
        (each for each in run.launches if each.profile_id), key=lambda each: each.count * each.time_ns
    )
    profile = run.profiles[launch.profile_id or ""]
    times = stalls(
        profile.duration_ns, query.profile_tables(filled.path, (profile.profile_id,))[profile.profile_id]
    )
    busiest = max(times, key=lambda each: each.busy_ns)
    said = html(opened(filled.path, "kernel"))
    assert f"<b>{busiest.engine}</b> of core {busiest.core}" in said
    assert f"working {words.percent(busiest.working_ns / profile.duration_ns)}" in said
    assert words.time(launch.time_ns) in said


def test_kernel_shows_the_source_beside_its_heat(filled: Store, opened: Open) -> None:
    said = html(opened(filled.path, "kernel", kernel="decode/router/baseline"))
    assert "nisa.step_0(x)" in said
    assert "kernels/router.py" in said
    assert 'class="heat"' in said


def test_kernel_shows_what_holds_a_simulated_launch_up_and_nothing_where_nobody_can_say(
    filled: Store, opened: Open, store: Store
) -> None:
    def headings(test: AppTest) -> list[str]:
        return [each.value for each in test.markdown]

    assert "##### What holds it up" in headings(opened(filled.path, "kernel"))
    run = factory.run("measured")
    bare = {name: replace(each, profile_id=f"m{name}", ideal_ns={}) for name, each in run.profiles.items()}
    launches = tuple(
        replace(each, profile_id=each.profile_id and f"m{each.profile_id}") for each in run.launches
    )
    profiles = {each.profile_id: each for each in bare.values()}
    store.save(replace(run, run_id="measured", launches=launches, profiles=profiles))
    assert "##### What holds it up" not in headings(opened(store.path, "kernel", run="measured"))


def test_kernel_puts_variants_of_the_slot_side_by_side(filled: Store, opened: Open) -> None:
    said = html(opened(filled.path, "kernel", kernel="decode/experts_decode/prefetched"))
    assert "prefetched</b>" in said
    assert said.index("prefetched</b>") < said.index(">baseline<", said.index("prefetched</b>"))


def test_a_link_to_a_kernel_that_is_not_in_the_run_says_so(filled: Store, opened: Open) -> None:
    test = opened(filled.path, "kernel", kernel="decode/warp_drive/fast")
    assert "decode/warp_drive/fast" in test.warning[0].value
    assert not test.exception


def test_the_timeline_zooms_and_returns(filled: Store, opened: Open) -> None:
    test = opened(filled.path, "kernel")
    key = next(name for name in test.session_state if str(name).endswith("_Zoom out")).removesuffix(
        "_Zoom out"
    )
    test.query_params["window"] = "1000-2000"
    test.run()
    assert "1.00 µs of" in " ".join(each.value for each in test.caption)
    test.button(key=f"{key}_Zoom out").click().run()
    assert test.query_params["window"] == "500-2500"
    test.button(key=f"{key}_All").click().run()
    assert test.button(key=f"{key}_All").disabled
    assert "window" not in test.query_params


def test_a_single_kernels_run_fills_every_page(store: Store, opened: Open) -> None:
    slow, fast = (
        factory.kernel_run(duration_ns=14_000, label="slow"),
        factory.kernel_run(duration_ns=9_000, label="fast"),
    )
    store.save(slow)
    store.save(replace(fast, created_at=factory.FIRST_DAY.replace(hour=12)))
    store.set_baseline(slow.run_id)
    assert "9.00" in html(opened(store.path))
    assert words.number(9.0) in html(opened(store.path, "compare"))
    for page in ("rewrite", "kernel"):
        html(opened(store.path, page))


def test_a_run_without_profiles_says_that_its_times_are_estimates(store: Store, opened: Open) -> None:
    bare = factory.run("estimates")
    launches = tuple(launch for launch in bare.launches if launch.profile_id is None)
    store.save(replace(bare, launches=launches, profiles={}))
    assert "estimates" in opened(store.path, "kernel").info[0].value
    for page in ("runs", "rewrite"):
        html(opened(store.path, page))


def test_text_from_a_run_is_escaped(store: Store, opened: Open) -> None:
    store.save(factory.run("<script>alert(1)</script>"))
    assert "<script>" not in html(opened(store.path))


def test_a_new_run_changes_what_the_page_watches(filled: Store) -> None:
    before = query.version(filled.path)
    filled.save(factory.run("new"))
    assert query.version(filled.path) != before


@pytest.mark.parametrize("window", ["", "9-1", "x-y", "-5", "1e3-2e3"])
def test_a_window_that_makes_no_sense_shows_everything(filled: Store, opened: Open, window: str) -> None:
    test = opened(filled.path, "kernel", window=window)
    html(test)
    assert next(each for each in test.button if str(each.key).endswith("_All")).disabled


def test_a_window_of_another_kernel_is_forgotten(filled: Store, opened: Open) -> None:
    test = opened(filled.path, "kernel", window="1000-2000")
    test.selectbox(key="pick_kernel").select("decode/router/baseline").run()
    assert "window" not in test.query_params
    assert test.query_params["kernel"] == "decode/router/baseline"


def test_runs_says_what_the_run_was_made_of(filled: Store, opened: Open) -> None:
    said = html(opened(filled.path))
    assert "small model against transformers" in said
    assert "2 of 13 estimated rows are a fifth of the total" in said
    assert "prefetched" in said


def test_a_failed_check_is_told_by_word(store: Store, opened: Open) -> None:
    run = factory.run("wrong")
    wrong = replace(run.checks[0], passed=False, error=0.5)
    store.save(replace(run, accuracy=0, checks=(wrong, *run.checks[1:])))
    assert "✕ failed" in html(opened(store.path))


def test_kernel_shows_what_the_profiler_warned_of(filled: Store, opened: Open) -> None:
    assert "17 transfers are under 512 bytes" in html(opened(filled.path, "kernel"))


def test_the_table_of_runs_and_compare_agree(filled: Store) -> None:
    runs = filled.runs()
    pairs = tuple((runs[-1].run_id, run.run_id) for run in runs[:-1])
    quick = query.first_headlines(filled.path, query.version(filled.path), pairs)
    for run in runs[:-1]:
        assert quick[runs[-1].run_id, run.run_id] == next(
            each for each in compare(runs[-1], run).headlines if each.key == "decode"
        )


def test_a_baseline_is_that_of_the_same_work(filled: Store) -> None:
    other = factory.run("other prompt", prompt=1)
    filled.save(other)
    runs, baselines = filled.runs(), filled.baselines()
    for run in runs:
        found = query.baseline_of(run, runs, baselines)
        assert (found.run_id if found else None) == filled.baseline_of(run.run_id)


def test_the_kernel_page_follows_the_slot_to_another_run(filled: Store, opened: Open) -> None:
    baseline = next(run.run_id for run in filled.runs() if run.label == "baseline")
    test = opened(filled.path, "kernel", run=baseline, kernel="decode/experts_decode/prefetched")
    html(test)
    assert not test.warning
    assert test.selectbox(key="pick_kernel").value == "decode/experts_decode/baseline"


def test_the_formula_stays_from_page_to_page(filled: Store, opened: Open) -> None:
    test = opened(filled.path, formula="first")
    test.switch_page("app_pages/compare.py").run()
    test.switch_page("app_pages/rewrite.py").run()
    assert "TTFT ratio" in " ".join(each.value for each in test.caption)
    assert test.query_params["formula"] == "first"


def test_a_formula_nobody_published_is_not_used(filled: Store, opened: Open) -> None:
    assert "final formula" in html(opened(filled.path, formula="best"))


def test_picking_a_run_of_other_work_brings_its_own_baseline(filled: Store, opened: Open) -> None:
    base, other = factory.run("base of 0", prompt=0), factory.run("other of 0", prompt=0, speed=1.5)
    filled.save(base)
    filled.save(other)
    filled.set_baseline(base.run_id)
    test = opened(filled.path, "compare", run=filled.resolve("tuned"), base=filled.resolve("baseline/p3"))
    test.selectbox(key="pick_run").select(other.run_id).run()
    assert test.selectbox(key="pick_base").value == base.run_id
    test.selectbox(key="pick_base").select(filled.resolve("tuned")).run()
    assert "different prompts" in html(test)


def test_runs_and_compare_show_what_a_batch_gives_beside_one_sequence(filled: Store, opened: Open) -> None:
    newest = filled.runs()[0]
    base = filled.load(newest.run_id)
    several = replace(base, run_id="batch-8", label="eight", batch=8)
    filled.save(several)
    table = opened(filled.path).dataframe[0].value
    rates = dict(zip(table["run_id"], table["decode tokens/s"], strict=True))
    one = totals(base).decode_per_s
    assert one is not None
    assert rates["batch-8"] == pytest.approx(8 * one.value)
    said = html(opened(filled.path, "compare", base=base.run_id, run="batch-8"))
    assert "batch 8:" in said
    assert "batch 1:" in said


def test_batches_are_ranked_by_tokens_a_second_of_decode(filled: Store, opened: Open) -> None:
    one = filled.runs()[0]
    rate = totals(one).decode_per_s
    assert rate is not None
    filled.save(replace(one, run_id="batch-8", label="eight", batch=8, base_latency_ms=None))
    said = html(opened(filled.path, run="batch-8"))
    assert words.number(8 * rate.value) in said
    assert "tokens/s of decode on the device" in said
    assert "No points yet" not in said
