"""The loop of a search: propose, simulate in parallel, judge, keep, tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from collectors.errors import CollectorError
from collectors.records import Run, Study, Trial, mean_launch_ns
from collectors.simulated import cache
from collectors.simulated.assemble import Entries
from collectors.simulated.jobs import Failure, Job
from collectors.simulated.pool import open_pool, outcomes, workers
from collectors.store.door import Store
from collectors.store.trials import save_study, save_trial, studies, trial_runs, trials
from collectors.tuning.candidate import Candidate, candidate, judged
from collectors.tuning.search import Search
from collectors.tuning.subject import Subject, new_study

Told = Callable[[Trial, str, float | None], None]
"""Called with every new trial, its candidate's name and its mean launch in ns (None: refused, incorrect)."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """A study after a search, and how many trials it gained."""

    study: Study
    added: int
    exhausted: bool


def open_study(store: Store, subject: Subject) -> Study:
    """The study of this subject with these very sources, made when there is none."""
    fresh = new_study(subject)
    for known in studies(store):
        if known.fingerprint == fresh.fingerprint:
            return known
    save_study(store, fresh)
    return fresh


def tune(store: Store, subject: Subject, budget: int, told: Told = lambda *_: None) -> Tuned:
    """Try up to `budget` more candidates, each kept as soon as it is judged.

    An interruption loses only candidates that were being simulated. Raises `CollectorError`.
    """
    study = open_study(store, subject)
    past = trials(store, study.study)
    search = Search(study.parameters, subject.asked.seed, _costs(past, trial_runs(store, study.study)))
    number = len(past)
    end = number + budget
    with open_pool(budget * 2) as pool:
        while number < end:
            batch = _batch(subject, search, number, min(workers(budget), end - number))
            if not batch:
                return Tuned(study, number - len(past), exhausted=True)
            for tried, trial, run in _try(pool, study, batch):
                save_trial(store, trial, run)
                cost = mean_launch_ns(run.launches) if run and trial.state == "correct" else None
                search.tell(tried.settings, cost)
                told(trial, tried.name, cost)
            number += len(batch)
    return Tuned(study, number - len(past), exhausted=False)


def _costs(
    past: Sequence[Trial], runs: Mapping[str, Run]
) -> list[tuple[Mapping[str, int | str], float | None]]:
    return [
        (
            each.settings,
            mean_launch_ns(runs[each.run_id].launches) if each.run_id and each.state == "correct" else None,
        )
        for each in past
    ]


def _batch(subject: Subject, search: Search, first: int, size: int) -> list[Candidate]:
    proposed = (search.propose() for _ in range(size))
    return [
        candidate(subject, first + at, settings)
        for at, settings in enumerate(proposed)
        if settings is not None
    ]


def _try(
    pool: ProcessPoolExecutor, study: Study, batch: Sequence[Candidate]
) -> list[tuple[Candidate, Trial, Run | None]]:
    started = time.perf_counter()
    jobs: dict[str, Job] = {key: job for tried in batch for key, job in tried.jobs.items()}
    failures = _perform(pool, {key: job for key, job in jobs.items() if not cache.has(key)})
    entries = _entries([key for key in jobs if key not in failures])
    wall_s = (time.perf_counter() - started) / len(batch)
    return [(tried, *judged(study, tried, entries, failures, wall_s)) for tried in batch]


def _perform(pool: ProcessPoolExecutor, missing: Mapping[str, Job]) -> dict[str, Failure]:
    return {key: failure for key, failure in outcomes(pool, missing) if failure is not None}


def _entries(keys: Sequence[str]) -> Entries:
    found = {key: entry for key in keys if (entry := cache.read(key)) is not None}
    if len(found) < len(keys):
        raise CollectorError(
            f"the cache in {cache.folder()} lost what was just written to it",
            "run the command again; the trials so far are kept",
        )
    return found
