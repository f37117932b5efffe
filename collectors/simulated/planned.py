"""The jobs a request needs: every planned launch with the data of every seed, and the accuracy checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import qwen
from collectors.request import ProfileRequest
from collectors.simulated.jobs import CaseJob, Job, LaunchJob, ModelJob
from kernels.registry import Variant, variant
from qwen import PlannedLaunch


def plan_of(request: ProfileRequest) -> tuple[PlannedLaunch, ...]:
    """What the model runs for a request. Raises `KernelError`."""
    return qwen.plan(
        prompt_tokens=request.prompt.tokens,
        seq_len=request.seq_len,
        batch=request.batch,
        kernels=request.kernels,
        target=request.target,
    )


def jobs_of(request: ProfileRequest, plan: Iterable[PlannedLaunch]) -> list[Job]:
    """Every job of a prompt."""
    launches = [planned for planned in plan if planned.function is not None]
    jobs: list[Job] = [
        launch_job(request, planned, request.seed + repetition)
        for planned in launches
        for repetition in range(request.repeat)
    ]
    return jobs + check_jobs(request, launches) if request.accuracy else jobs


def check_jobs(request: ProfileRequest, launches: Sequence[PlannedLaunch]) -> list[Job]:
    """The small checks of every variant that runs, and the small model, which is of one sequence."""
    used = dict.fromkeys((planned.slot, planned.variant) for planned in launches)
    jobs: list[Job] = [
        CaseJob(slot, name, variant(slot, name).module, request.target, request.lnc) for slot, name in used
    ]
    return [*jobs, _model_job(request)] if request.batch == 1 else jobs


def _model_job(request: ProfileRequest) -> ModelJob:
    chosen: list[Variant] = [variant(slot, name) for slot, name in request.kernels.items()]
    modules = tuple(sorted({one.module for one in chosen}))
    return ModelJob(tuple(sorted(request.kernels.items())), modules, request.target, request.lnc)


def launch_job(request: ProfileRequest, planned: PlannedLaunch, seed: int) -> LaunchJob:
    """One planned kernel with the data of one seed."""
    assert planned.module is not None
    assert planned.function is not None
    assert planned.arguments is not None
    return LaunchJob(
        planned.slot,
        planned.variant,
        planned.phase,
        planned.bucket,
        planned.module,
        planned.function,
        planned.arguments,
        seed,
        request.target,
        request.lnc,
    )


def cost(job: Job) -> int:
    """A guess at how long a job takes, to start long ones first: prefill of experts moves the most data."""
    if isinstance(job, LaunchJob):
        return 3 if "prefill" in job.slot else 2 if job.phase == "prefill" else 1
    return 2 if isinstance(job, ModelJob) or "prefill" in job.name else 0
