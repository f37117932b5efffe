"""The Tune page on the trials of a search."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import factory
import pytest
from streamlit.testing.v1 import AppTest

import app
from analysis.tuning import tuning
from app.charts.frontier import trials as drawn
from collectors.records import Run, Study, Trial
from collectors.store.door import Store
from collectors.store.trials import save_study, save_trial, trial_runs, trials
from kernels.parameters import Parameter

ENTRY = Path(app.__file__).with_name("streamlit_app.py")
Open = Callable[..., AppTest]

STUDY = Study(
    study="router-fused-decode-p3-trn3-abc123",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    slot="router",
    variant="fused",
    phase="decode",
    target="trn3",
    lnc=2,
    prompt=3,
    seq_len=640,
    seed=0,
    parameters=(Parameter("pieces", (1, 2, 4), 1, "transfers"),),
    fingerprint="abc123",
)


def trial_run(number: int, time_ns: int, sbuf_bytes: int) -> Run:
    whole = factory.kernel_run("router", time_ns, label=f"router=fused trial {number}")
    [before] = whole.profiles.values()
    profile = replace(before, profile_id=f"profile {number}", sbuf_peak_bytes=sbuf_bytes)
    launch = replace(
        whole.launches[0],
        slot="router",
        covers=("router",),
        variant="fused" if number == 0 else f"fused:pieces={2**number}",
        count=10,
        low_ns=round(time_ns * 0.98),
        high_ns=round(time_ns * 1.02),
        profile_id=profile.profile_id,
    )
    return replace(
        whole,
        run_id=f"20260101-00000{number}-trial",
        kernels={"router": launch.variant},
        launches=(launch,),
        profiles={profile.profile_id: profile},
    )


def fill(store: Store, *times_ns: int) -> None:
    """A study whose trials, the defaults first, took these times; the last candidate was refused."""
    save_study(store, STUDY)
    for number, time_ns in enumerate(times_ns):
        run = trial_run(number, time_ns, (number + 1) << 20)
        save_trial(store, Trial(STUDY.study, number, {"pieces": 2**number}, "correct", "", run.run_id), run)
    refused = Trial(STUDY.study, len(times_ns), {"pieces": 4}, "refused", "sbuf-capacity: too much is live")
    save_trial(store, refused, None)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a page of the app on a database, with query parameters as in a link."""

    def page(path: Path, name: str, **address: str) -> AppTest:
        monkeypatch.setattr(sys, "argv", ["streamlit_app.py"])
        monkeypatch.setenv("NKI_DASHBOARD_DB", str(path))
        test = AppTest.from_file(str(ENTRY), default_timeout=120)
        for key, value in address.items():
            test.query_params[key] = value
        test.run()
        return test.switch_page(f"app_pages/{name}.py").run()

    return page


def said(test: AppTest) -> str:
    assert not test.exception, test.exception[0].message
    return "\n".join(str(each.value) for each in (*test.html, *test.caption, *test.markdown))


def test_the_proposal_stands_first_with_verdict_reason_and_command(store: Store, opened: Open) -> None:
    fill(store, 20_000, 10_000)
    page = opened(store.path, "tune")
    text = said(page)
    assert "▲ faster" in text
    assert "fused:pieces=2 is faster than the defaults: 20 → 10 µs a launch (-50.0 %" in text
    assert "What moved" in text
    assert (
        page.code[0].value
        == "collectors profile --prompt 3 --target trn3 --kernels tuned,router=fused:pieces=2"
    )
    assert "Refused by the machine: 1 by sbuf-capacity" in text


def test_what_cannot_be_told_is_said_and_not_recommended(store: Store, opened: Open) -> None:
    fill(store, 20_000, 19_900)
    page = opened(store.path, "tune")
    assert "? cannot tell" in said(page)
    assert "Cannot be told from the lowest" in said(page)
    assert not page.code


def test_the_table_lists_every_trial_fastest_first(store: Store, opened: Open) -> None:
    fill(store, 20_000, 10_000)
    table = opened(store.path, "tune").dataframe[0].value
    assert table["trial"].tolist() == ["1", "0", "2"]
    assert table["pieces"].tolist() == ["2", "1", "4"]
    assert table["µs a launch"].tolist()[:2] == [10.0, 20.0]
    assert table["outcome"].tolist() == ["correct", "defaults", "refused: sbuf-capacity: too much is live"]


def test_the_chart_joins_only_trials_nothing_beats(store: Store) -> None:
    fill(store, 20_000, 10_000)
    found = tuning(STUDY, trials(store, STUDY.study), trial_runs(store, STUDY.study))
    edge = drawn(found, "sbuf").data[0]
    assert list(edge.x) == [1.0, 2.0]
    assert list(edge.y) == [20.0, 10.0]
    assert list(drawn(found, "hbm").data[0].y) == [10.0]


def test_a_trial_opens_on_the_kernel_page_though_no_list_has_it(store: Store, opened: Open) -> None:
    fill(store, 20_000, 10_000)
    factory.fill(store, runs=1)
    page = opened(store.path, "kernel", run="20260101-000001-trial", base="20260101-000000-trial")
    assert "The busiest engine" in said(page)
    assert any("router=fused trial 1" in name for name in page.selectbox(key="pick_run").options)
    runs = opened(store.path, "runs")
    assert len(runs.dataframe[0].value) == len(store.runs()) == 1


def test_without_studies_the_page_says_what_makes_one(store: Store, opened: Open) -> None:
    page = opened(store.path, "tune")
    assert "collectors tune lm_head" in page.code[0].value
