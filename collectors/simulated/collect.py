"""A prompt, or one kernel, on the simulator: plan, simulate what is not cached, assemble the run."""

from __future__ import annotations

import time
from collections.abc import Sequence

from collectors.records import Run
from collectors.request import KernelRequest, ProfileRequest
from collectors.simulated.assemble import kernel_run, prompt_run
from collectors.simulated.jobs import KernelJob
from collectors.simulated.planned import cost, jobs_of, plan_of
from collectors.simulated.pool import Progress, run_jobs


def collect(request: ProfileRequest, progress: Progress = lambda *_: None) -> Run:
    """Simulate one prompt. Raises `SimulatorError` (a kernel at fault) or `KernelError` (no such plan)."""
    return collect_all([request], progress)[0]


def collect_all(requests: Sequence[ProfileRequest], progress: Progress = lambda *_: None) -> list[Run]:
    """Simulate several prompts, each distinct launch once. Runs come in the order of the requests."""
    started = time.perf_counter()
    plans = [plan_of(request) for request in requests]
    jobs = [jobs_of(request, plan) for request, plan in zip(requests, plans, strict=True)]
    flat = sorted((job for listed in jobs for job in listed), key=cost, reverse=True)
    entries = run_jobs(flat, progress)
    share = (time.perf_counter() - started) / len(requests)
    return [prompt_run(request, plan, entries, share) for request, plan in zip(requests, plans, strict=True)]


def collect_kernel(request: KernelRequest, progress: Progress = lambda *_: None) -> Run:
    """Simulate one kernel on given arguments. Raises `SimulatorError`."""
    started = time.perf_counter()
    job = KernelJob(
        request.file,
        request.function,
        request.arguments,
        request.target,
        request.lnc,
        request.paths,
        request.peers,
    )
    entry = run_jobs([job], progress)[job.key]
    return kernel_run(request, entry, time.perf_counter() - started)
