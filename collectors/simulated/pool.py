"""Jobs that are not cached, on every core, in the order given; what is cached costs a look."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from collectors.errors import CollectorError
from collectors.simulated import cache
from collectors.simulated.cache import Entry
from collectors.simulated.jobs import Failure, Job, perform
from simulator.timeline.compiled import is_compiled

Progress = Callable[[int, int, str], None]
"""Called with jobs done, jobs in all, and the job just finished (or about to start)."""

ATTEMPTS = 2
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
ONE_PROCESS = 1
COMPILING = "compiling the scheduler, once"


def run_jobs(jobs: Iterable[Job], progress: Progress) -> dict[str, Entry]:
    """Entries by key for every job. Raises the first `SimulatorError` of a kernel."""
    named = {job.key: job for job in jobs}
    found: dict[str, Entry] = {}
    for _ in range(ATTEMPTS):
        missing = {key: job for key, job in named.items() if key not in found and not cache.has(key)}
        _perform_all(missing, len(named), progress)
        found |= {key: entry for key in named if key not in found and (entry := cache.read(key)) is not None}
        if len(found) == len(named):
            return found
    raise CollectorError(
        f"the cache in {cache.folder()} loses what is written to it",
        "check its disk, or point NKI_DASHBOARD_CACHE at another folder",
    )


def workers(jobs: int) -> int:
    """Processes to use: one per usable core, no more than there are jobs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, jobs))


def _perform_all(missing: dict[str, Job], total: int, progress: Progress) -> None:
    done = total - len(missing)
    progress(done, total, next((job.name for job in missing.values()), "cached"))
    if _must_compile(missing):
        progress(done, total, COMPILING)
    if len(missing) <= ONE_PROCESS:
        for at, (key, job) in enumerate(missing.items(), done + 1):
            _raise(perform(job, key))
            progress(at, total, job.name)
        return
    with open_pool(len(missing)) as pool:
        for at, (key, failure) in enumerate(outcomes(pool, missing), done + 1):
            _raise(failure)
            progress(at, total, missing[key].name)


@contextmanager
def open_pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes for up to `jobs` jobs at once; an error that leaves the block drops what has not begun."""
    with _one_thread_each(), _pool(jobs) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def outcomes(pool: ProcessPoolExecutor, jobs: Mapping[str, Job]) -> Iterator[tuple[str, Failure | None]]:
    """(key, what was wrong with the kernel or None) of every job as it ends, its entry in the cache.

    Where the scheduler is not compiled yet one process does that, and the others what needs no schedule.
    """
    compiling = [pool.submit(compile_scheduler)] if _must_compile(jobs) else []
    first = {key: job for key, job in jobs.items() if compiling and not job.schedules}
    waiting = {pool.submit(perform, job, key): key for key, job in first.items()}
    for each in compiling:
        _outcome(each)
    waiting |= {pool.submit(perform, job, key): key for key, job in jobs.items() if key not in first}
    for future in as_completed(waiting):
        yield waiting[future], _outcome(future)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started meanwhile use one thread for BLAS and torch: the cores are shared out already."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ |= dict.fromkeys(THREADS, "1")
    try:
        yield
    finally:
        for name in THREADS:
            del os.environ[name]
        os.environ |= {name: value for name, value in before.items() if value is not None}


def _pool(jobs: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers(jobs), mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Watch the process that started this one: a killed command must not leave workers waiting for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_for, args=(parent.sentinel,), daemon=True).start()


def _wait_for(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _must_compile(jobs: Mapping[str, Job]) -> bool:
    return any(job.schedules for job in jobs.values()) and not is_compiled()


def compile_scheduler() -> None:
    """Have the simulator's scheduler compiled and kept on disk."""
    from simulator.timeline import schedule

    schedule.compile_scheduler()


def _outcome(future: Future[Failure | None] | Future[None]) -> Failure | None:
    try:
        return future.result()
    except BrokenProcessPool:
        raise CollectorError(
            "a simulating process was killed",
            "the machine may be out of memory: close programs, or run `collectors doctor`",
        ) from None


def _raise(failure: Failure | None) -> None:
    if failure is not None:
        raise failure.error()
