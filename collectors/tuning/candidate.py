"""One candidate of a search: the jobs that try it, and the trial and run they leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from collectors.records import Check, Run, Sample, Study, Trial, TrialState
from collectors.request import ProfileRequest
from collectors.simulated.assemble import (
    Entries,
    check_of,
    common,
    environment_of,
    simulated_launch,
    sources_of,
    warnings_of,
)
from collectors.simulated.cache import Entry
from collectors.simulated.jobs import CaseJob, Failure, Job, LaunchJob
from collectors.simulated.planned import launch_job
from collectors.tuning.subject import Subject, name_of, planned, request_of
from kernels.parameters import Setting
from qwen import PlannedLaunch


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings to try, with the request and launches they make."""

    number: int
    settings: Mapping[str, Setting]
    name: str
    request: ProfileRequest
    launches: tuple[PlannedLaunch, ...]
    timings: tuple[LaunchJob, ...]
    cases: CaseJob

    @property
    def jobs(self) -> dict[str, Job]:
        """Every job by its key."""
        listed: tuple[Job, ...] = (*self.timings, self.cases)
        return {job.key: job for job in listed}


def candidate(subject: Subject, number: int, settings: Mapping[str, Setting]) -> Candidate:
    """What it takes to try these settings."""
    request, rows = request_of(subject, settings), planned(subject, settings)
    kernel, name = subject.kernel, name_of(subject, settings)
    timings = tuple(launch_job(request, row, request.seed) for row in rows)
    cases = CaseJob(kernel.slot, name, kernel.module, request.target, request.lnc)
    return Candidate(number, settings, name, request, rows, timings, cases)


def judged(
    study: Study, tried: Candidate, entries: Entries, failures: Mapping[str, Failure], wall_s: float
) -> tuple[Trial, Run | None]:
    """The trial and its run out of what the jobs left; no run where the machine refused the kernel."""
    refused = [failures[job.key] for job in tried.timings if job.key in failures]
    if refused:
        return Trial(study.study, tried.number, tried.settings, "refused", _rule(refused[0])), None
    run = _run(study, tried, entries, wall_s)
    failed = [check.detail for check in run.checks if not check.passed]
    state: TrialState = "incorrect" if failed else "correct"
    reason = failed[0] if failed else ""
    return Trial(study.study, tried.number, tried.settings, state, reason, run.run_id), run


def _rule(failure: Failure) -> str:
    return f"{failure.rule}: {failure.message}" if failure.rule else failure.message


def _run(study: Study, tried: Candidate, entries: Entries, wall_s: float) -> Run:
    used = [entries[job.key] for job in tried.timings]
    checks = _checks(tried, used, entries)
    launches = tuple(
        replace(simulated_launch(row, [entry]), phase="kernel")
        for row, entry in zip(tried.launches, used, strict=True)
    )
    return Run(
        **common(tried.request, used, wall_s),
        prompt=None,
        prompt_tokens=None,
        new_tokens=None,
        seq_len=None,
        batch=tried.request.batch,
        kernels={study.slot: tried.name},
        accuracy=int(all(check.passed for check in checks)),
        base_latency_ms=None,
        base_tokens_per_s=None,
        configuration={
            "kernels": tried.request.kernels_text,
            "study": study.study,
            "trial": tried.number,
            "settings": dict(tried.settings),
            "workload": f"{study.phase} of prompt {study.prompt} at sequence length {study.seq_len}",
            "seed": tried.request.seed,
            "source_files": sources_of(used)[0],
        },
        environment=environment_of(tried.request.target),
        launches=launches,
        checks=checks,
        samples=tuple(
            Sample("launch_ns", 0, float(launch.time_ns), at) for at, launch in enumerate(launches)
        ),
        warnings=warnings_of(used),
    )


def _checks(tried: Candidate, used: list[Entry], entries: Entries) -> tuple[Check, ...]:
    slot = tried.cases.slot
    on_rank = [
        check_of(f"{slot} on rank shapes", slot, tried.name, entry.verdict) for entry in used if entry.verdict
    ]
    small = entries[tried.cases.key].verdict or {}
    return (*on_rank, check_of(f"{slot} on small shapes", slot, tried.name, small))
