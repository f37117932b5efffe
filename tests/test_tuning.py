"""A search on the simulator: what it tries, keeps, prunes and proposes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from analysis.tuning import explained, frontier, profiles_to_explain, tuning
from collectors.errors import UsageError
from collectors.prompts import prompts
from collectors.records import Check, Run, Trial
from collectors.request import KernelRequest
from collectors.simulated.jobs import CaseJob
from collectors.store.door import Store
from collectors.store.trials import find_study, save_trial, studies, trial_runs, trials
from collectors.tuning import candidate as candidates
from collectors.tuning import tune as loop
from collectors.tuning.confirm import confirm
from collectors.tuning.search import Search
from collectors.tuning.subject import Subject, TuneRequest, name_of, planned, subject_of
from collectors.tuning.tune import tune
from kernels.parameters import Parameter
from kernels.registry import PRESETS, resolve

SPACE = (
    Parameter("pieces", (1, 2, 4), 4, "transfers"),
    Parameter("queues", ("both", "hardware"), "both", "who writes descriptors"),
)


def subject(slot: str = "o_proj", variant: str | None = "interleaved", **asked: object) -> Subject:
    """What a search varies; by default a small kernel, which a test simulates in a moment."""
    [prompt] = prompts([3], "trn3", None)
    whole = {"slot": slot, "variant": variant, "prompt": prompt, "seq_len": 640, "target": "trn3"}
    whole |= {"session": "s"} | asked
    return subject_of(TuneRequest(**whole))  # type: ignore[arg-type]


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates in this process: starting others takes longer than simulating."""

    @contextmanager
    def pool(_: int) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor(1) as opened:
            yield opened

    monkeypatch.setattr(loop, "open_pool", pool)


def searched(search: Search, costs: dict[int | str, float | None]) -> list[tuple[int | str, int | str]]:
    tried = []
    while (settings := search.propose()) is not None:
        tried.append((settings["pieces"], settings["queues"]))
        search.tell(settings, costs[settings["pieces"]])
    return tried


def test_a_search_begins_with_the_defaults_and_tries_every_combination_once() -> None:
    tried = searched(Search(SPACE, seed=0), {1: 3.0, 2: None, 4: 2.0})
    assert tried[0] == (4, "both")
    assert len(tried) == len(set(tried)) == 6


def test_a_search_goes_on_where_it_was_left() -> None:
    past = [({"pieces": 4, "queues": "both"}, 2.0), ({"pieces": 2, "queues": "both"}, None)]
    tried = searched(Search(SPACE, seed=0, past=past), {1: 3.0, 2: None, 4: 2.0})
    assert len(tried) == 4
    assert not {(4, "both"), (2, "both")} & set(tried)


def test_the_same_seed_tries_the_same_candidates() -> None:
    costs: dict[int | str, float | None] = {1: 3.0, 2: 1.0, 4: 2.0}
    assert searched(Search(SPACE, seed=5), costs) == searched(Search(SPACE, seed=5), costs)


@pytest.mark.usefixtures("in_threads")
def test_every_trial_is_a_run_of_its_slot_that_lists_of_runs_leave_out(store: Store) -> None:
    done = tune(store, subject(), budget=3)
    kept = trials(store, done.study.study)
    runs = trial_runs(store, done.study.study)
    assert [trial.number for trial in kept] == [0, 1, 2]
    assert {trial.state for trial in kept} == {"correct"}
    first = runs[kept[0].run_id or ""]
    assert first.kernels == {"o_proj": "interleaved"}
    assert (first.accuracy, first.launches[0].phase, first.prompt) == (1, "kernel", None)
    assert first.configuration["trial"] == 0
    assert store.table(first.launches[0].profile_id or "", "Instruction").num_rows
    assert store.runs() == ()
    assert store.resolve(first.run_id[:-2]) == first.run_id


@pytest.mark.usefixtures("in_threads")
def test_a_second_search_adds_to_the_study_and_ends_when_all_is_tried(store: Store) -> None:
    before = tune(store, subject(), budget=3)
    after = tune(store, subject(), budget=100)
    assert before.study == after.study
    assert after.exhausted
    tried = [tuple(trial.settings.values()) for trial in trials(store, after.study.study)]
    assert len(tried) == len(set(tried)) == 12
    assert before.added + after.added == 12


@pytest.mark.usefixtures("in_threads")
def test_what_the_machine_refuses_is_kept_with_the_rule_and_no_run(store: Store) -> None:
    asked = subject("lm_head", "wide")
    study = loop.open_study(store, asked)
    large = {"columns": 2048, "buffers": 6, "queues": "both"}
    # The small cases of another variant: these take long, and the test is not about them.
    tried = replace(candidates.candidate(asked, 0, large), cases=few_cases())
    with ThreadPoolExecutor(1) as pool:
        [(_, trial, run)] = loop._try(pool, study, [tried])
    assert trial.state == "refused"
    assert trial.reason.startswith("sbuf-capacity")
    assert run is None
    save_trial(store, trial, run)
    assert tuning(study, trials(store, study.study), {}).proposal is None


def few_cases() -> CaseJob:
    return CaseJob("o_proj", "interleaved", "kernels.o_proj", "trn3", 2)


@pytest.mark.usefixtures("in_threads")
def test_an_incorrect_candidate_is_kept_and_never_proposed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = candidates.check_of

    def check(name: str, slot: str | None, chosen: str | None, verdict: Mapping[str, Any]) -> Check:
        found = right(name, slot, chosen, verdict)
        wrong = "software" in (chosen or "")
        return replace(found, passed=False, detail="small, one token: result 0") if wrong else found

    monkeypatch.setattr(candidates, "check_of", check)
    done = tune(store, subject(), budget=12)
    found = tuning(done.study, trials(store, done.study.study), trial_runs(store, done.study.study))
    wrong = [point for point in found.points if point.settings["queues"] == "software"]
    assert {point.state for point in wrong} == {"incorrect"}
    assert "result 0" in wrong[0].reason
    assert found.proposal is not None
    assert found.proposal.best.settings["queues"] != "software"
    assert not {point.number for point in wrong} & set(frontier(found.points, "sbuf"))


@pytest.mark.usefixtures("in_threads")
def test_an_interruption_keeps_what_was_judged_and_nothing_else(store: Store) -> None:
    def stop(trial: Trial, _name: str, _cost: float | None) -> None:
        if trial.number == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(store, subject(), 6, stop)
    [study] = studies(store)
    kept = trials(store, study.study)
    assert [trial.number for trial in kept] == [0, 1]
    assert set(trial_runs(store, study.study)) == {trial.run_id for trial in kept}


def test_a_kernel_that_changed_is_another_study(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = loop.open_study(store, subject())
    monkeypatch.setattr("collectors.tuning.subject.identity.source_hash", lambda _: "edited")
    after = loop.open_study(store, subject())
    assert before.study != after.study
    assert loop.open_study(store, subject()) == after
    assert find_study(store, "o_proj").study == after.study


def test_the_slot_means_what_fills_it_in_the_tuned_preset() -> None:
    for slot, phase in (("lm_head", "prefill"), ("router", "prefill"), ("o_proj", "decode")):
        asked = subject(slot, None, phase=phase)
        assert slot in asked.kernel.covers
        assert asked.kernel in resolve(PRESETS["tuned"], phase)
    own = subject("o_proj")
    assert (own.kernel.name, own.phase) == ("interleaved", "decode")
    assert [row.phase for row in planned(own, {})] == ["decode"]
    assert name_of(own, {"pieces": 8, "queues": "both"}) == "interleaved:pieces=8"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"variant": "baseline"}, "o_proj=baseline declares no parameters"),
        ({"phase": "train", "variant": None}, "slot 'o_proj' does not run in train"),
        ({"variant": "interleaved", "phase": "prefill"}, "o_proj=interleaved does not run in prefill"),
        ({"variant": "interleaved:pieces=2"}, "--variant interleaved:pieces=2 already has settings"),
    ],
)
def test_what_cannot_be_tuned_is_said_in_a_sentence(asked: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        subject(**asked)
    assert caught.value.hint


@pytest.mark.usefixtures("in_threads")
def test_a_batchs_step_is_another_study_of_the_variant_it_runs() -> None:
    one, four = subject("attention_decode", None), subject("attention_decode", None, batch=4)
    assert (one.kernel.name, four.kernel.name) == ("block", "block_batch")
    names = [loop.new_study(each).study for each in (one, four)]
    assert "-p3-" in names[0]
    assert "-b4-p3-" in names[1]
    made = planned(four, {"pieces": 2})[0].arguments
    assert made is not None
    given = made(0)
    assert (given["x"].shape[0], given["k_cache"].shape[0], given["pieces"]) == (4, 4, 2)


def test_a_confirmed_trial_keeps_its_measured_run(store: Store) -> None:
    asked = subject()
    done = tune(store, asked, budget=2)
    heard: list[KernelRequest] = []

    def measure(request: KernelRequest) -> Run:
        heard.append(request)
        simulated = trial_runs(store, done.study.study)[trials(store, done.study.study)[0].run_id or ""]
        launch = replace(simulated.launches[0], provenance="measured", time_ns=9_000, count=1)
        return replace(simulated, run_id=f"measured-{len(heard)}", provenance="measured", launches=(launch,))

    confirm(store, asked, trials(store, done.study.study), measure)
    assert heard[0].function == "o_proj_interleaved"
    assert heard[1].label == f"o_proj={name_of(asked, trials(store, done.study.study)[1].settings)}"
    found = tuning(done.study, trials(store, done.study.study), trial_runs(store, done.study.study))
    times = [point.measured_ns for point in found.points]
    assert [time.value if time else None for time in times] == [9_000, 9_000]
    assert store.runs() == ()


def timed(run: Run, time_ns: int, spread: float) -> Run:
    low, high = round(time_ns * (1 - spread)), round(time_ns * (1 + spread))
    launch = replace(run.launches[0], time_ns=time_ns, low_ns=low, high_ns=high, profile_id=f"p{time_ns}")
    profile = replace(next(iter(run.profiles.values())), profile_id=f"p{time_ns}", duration_ns=time_ns)
    return replace(run, run_id=f"run {time_ns}", launches=(launch,), profiles={f"p{time_ns}": profile})


@pytest.mark.usefixtures("in_threads")
@pytest.mark.parametrize(
    ("best_ns", "said"),
    [
        (5_000, "interleaved:pieces=1 is faster than the defaults: 10 → 5 µs a launch (-50.0 %"),
        (9_800, "cannot tell: interleaved:pieces=1 comes out lowest, 10 → 9.8 µs a launch, but"),
        (10_500, "Keep the defaults: nothing tried is faster than their 10 µs a launch."),
    ],
)
def test_only_what_the_interval_carries_is_called_faster(store: Store, best_ns: int, said: str) -> None:
    done = tune(store, subject(), budget=1)
    [run] = trial_runs(store, done.study.study).values()
    runs = {each.run_id: each for each in (timed(run, 10_000, 0.1), timed(run, best_ns, 0.1))}
    made = [
        Trial(done.study.study, at, {"pieces": pieces, "queues": "both"}, "correct", run_id=name)
        for at, (pieces, name) in enumerate(zip((4, 1), runs, strict=True))
    ]
    found = tuning(done.study, made, runs).proposal
    assert found is not None
    assert found.sentence.startswith(said)


@pytest.mark.usefixtures("in_threads")
def test_the_reason_quotes_what_moved_between_the_defaults_and_the_best(store: Store) -> None:
    done = tune(store, subject(), budget=6)
    runs = trial_runs(store, done.study.study)
    found = tuning(done.study, trials(store, done.study.study), runs).proposal
    assert found is not None
    wanted = profiles_to_explain(found, runs)
    names = ("Instruction", "DmaPacketAggregated", "Flow")
    told = explained(
        found, runs, {each: {name: store.table(each, name) for name in names} for each in wanted}
    )
    assert bool(told) == (found.best.number != found.default.number)
    assert not told or (" → " in told and "engine" in told)
