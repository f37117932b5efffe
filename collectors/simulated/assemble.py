"""What jobs left, made a run."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import qwen
from collectors.arguments import by_rank, describe
from collectors.environment import ROOT, environment
from collectors.prompts import OFFICIAL_BATCH, OFFICIAL_SEQ_LEN, scored
from collectors.records import Check, Launch, Profile, Run, Sample
from collectors.request import KernelRequest, ProfileRequest
from collectors.simulated import identity
from collectors.simulated.cache import Entry
from collectors.simulated.jobs import CaseJob
from collectors.simulated.planned import check_jobs, launch_job
from qwen import PlannedLaunch

Entries = Mapping[str, Entry]


def _repetitions(request: ProfileRequest, planned: PlannedLaunch, entries: Entries) -> list[Entry]:
    seeds = range(request.seed, request.seed + request.repeat)
    return [entries[launch_job(request, planned, seed).key] for seed in seeds]


def _median(repetitions: Sequence[Entry]) -> Profile:
    """The profile of median duration: a time that was simulated, and its own rows."""
    profiles = [entry.profile for entry in repetitions if entry.profile is not None]
    return sorted(profiles, key=lambda profile: profile.duration_ns)[(len(profiles) - 1) // 2]


def simulated_launch(planned: PlannedLaunch, repetitions: Sequence[Entry]) -> Launch:
    """The launch as its median repetition had it; bounds hold for every repetition."""
    chosen = _median(repetitions)
    profiles = [entry.profile for entry in repetitions if entry.profile is not None]
    lows = [chosen.low_ns, *(profile.duration_ns for profile in profiles)]
    highs = [chosen.high_ns, *(profile.duration_ns for profile in profiles)]
    return Launch(
        **_described(planned),
        provenance="simulated",
        time_ns=chosen.duration_ns,
        low_ns=None if chosen.low_ns is None else min(low for low in lows if low is not None),
        high_ns=None if chosen.high_ns is None else max(high for high in highs if high is not None),
        nki=planned.nki,
        profile_id=chosen.profile_id,
    )


def _estimated_launch(planned: PlannedLaunch) -> Launch:
    assert planned.time_ns is not None
    return Launch(
        **_described(planned),
        provenance="estimated",
        time_ns=planned.time_ns,
        low_ns=planned.low_ns,
        high_ns=planned.high_ns,
        nki=planned.nki,
        formula=planned.formula,
        least_ns=planned.least_ns,
    )


def _described(planned: PlannedLaunch) -> dict[str, Any]:
    names = ("slot", "covers", "variant", "phase", "bucket", "count", "macs")
    return {name: getattr(planned, name) for name in names}


def _samples(launches: Mapping[int, Sequence[Entry]]) -> tuple[Sample, ...]:
    """One sample a repetition of every launch whose time depends on its data; the others cannot spread."""
    return tuple(
        Sample("launch_ns", repetition, float(entry.profile.duration_ns), at)
        for at, repetitions in launches.items()
        for repetition, entry in enumerate(repetitions)
        if entry.profile is not None and (repetition == 0 or _spreads(repetitions))
    )


def _spreads(repetitions: Sequence[Entry]) -> bool:
    durations = {entry.profile.duration_ns for entry in repetitions if entry.profile is not None}
    dependent = any(entry.profile.data_dependent for entry in repetitions if entry.profile is not None)
    return dependent or len(durations) > 1


def check_of(name: str, slot: str | None, chosen: str | None, verdict: Mapping[str, Any]) -> Check:
    """A check out of a job's verdict."""
    return Check(
        name=name,
        slot=slot,
        variant=chosen,
        passed=verdict["passed"],
        error=verdict["error"],
        tolerance=verdict["tolerance"],
        detail=verdict["detail"],
    )


def _checks(
    request: ProfileRequest, rows: Sequence[tuple[PlannedLaunch, Sequence[Entry]]], entries: Entries
) -> tuple[Check, ...]:
    """Every simulated launch against its reference, every variant's small cases, the small model."""
    if not request.accuracy:
        return ()
    found = [
        check_of(f"{planned.slot} on rank shapes", planned.slot, planned.variant, entry.verdict)
        for planned, repetitions in rows
        for entry in repetitions
        if entry.verdict is not None
    ]
    for job in check_jobs(request, [planned for planned, _ in rows]):
        verdict = entries[job.key].verdict or {}
        slot, chosen = (job.slot, job.variant) if isinstance(job, CaseJob) else (None, None)
        name = f"{slot} on small shapes" if slot else "small model against transformers"
        found.append(check_of(name, slot, chosen, verdict))
    return tuple(found)


def sources_of(entries: Iterable[Entry]) -> tuple[dict[str, str], dict[str, str]]:
    """(file name to hash, hash to text) of every kernel file that was executed."""
    files: dict[str, str] = {}
    texts: dict[str, str] = {}
    for entry in entries:
        for file, text in entry.files.items():
            digest = "sha256:" + identity.digest(text)
            files[shown_file(file)] = digest
            texts[digest] = text
    return files, texts


def shown_file(file: str) -> str:
    """A kernel file's name as rows and runs show it: relative to the project, else its last part."""
    path = Path(file)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def warnings_of(entries: Iterable[Entry], request: ProfileRequest | None = None) -> tuple[str, ...]:
    """What the simulator warned of, each once."""
    said = dict.fromkeys(text for entry in entries for text in entry.warnings)
    if request and request.seq_len != OFFICIAL_SEQ_LEN:
        said[
            f"The official baseline was measured at sequence length {OFFICIAL_SEQ_LEN}, so a run at "
            f"{request.seq_len} has no points."
        ] = None
    if request and request.batch != OFFICIAL_BATCH:
        said[
            f"The official baseline was measured on one sequence, so a batch of {request.batch} has no "
            "points. The small model runs one too: a batch's kernels are checked one by one."
        ] = None
    return tuple(said)


def new_id(now: datetime) -> str:
    """A run id that sorts by time and is short enough to type the start of."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def common(
    request: ProfileRequest | KernelRequest, entries: Sequence[Entry], wall_s: float
) -> dict[str, Any]:
    """What every run says of where it comes from."""
    now = datetime.now(UTC)
    profiles = {entry.profile.profile_id: entry.profile for entry in entries if entry.profile is not None}
    return {
        "run_id": new_id(now),
        "session": request.session,
        "label": request.label,
        "created_at": now,
        "provenance": "simulated",
        "backend": "simulator",
        "target": request.target,
        "lnc": request.lnc,
        "wall_s": wall_s,
        "sources": sources_of(entries)[1],
        "profiles": profiles,
    }


def environment_of(target: str, folder: Path = ROOT) -> dict[str, Any]:
    """Commit, versions, machine table and simulator."""
    return environment(folder) | {
        "machine_tables": identity.machine_tables(target),
        "simulator": identity.simulator(),
        "simulator_version": version("nki-dashboard"),
    }


def _needed_macs(plan: Iterable[PlannedLaunch]) -> dict[str, int]:
    """By phase, the MACs real tokens need of launches that run experts."""
    needed: Counter[str] = Counter()
    for planned in plan:
        if planned.needed_macs is not None:
            needed[planned.phase] += planned.needed_macs * planned.count
    return dict(needed)


def prompt_run(
    request: ProfileRequest, plan: Sequence[PlannedLaunch], entries: Entries, wall_s: float
) -> Run:
    """A prompt's run out of its plan and the entries of its jobs."""
    prompt = scored(request.prompt, request.seq_len, request.batch)
    repetitions = {
        at: _repetitions(request, planned, entries)
        for at, planned in enumerate(plan)
        if planned.function is not None
    }
    used = [entry for listed in repetitions.values() for entry in listed]
    checks = _checks(request, [(plan[at], listed) for at, listed in repetitions.items()], entries)
    return Run(
        **common(request, used, wall_s),
        prompt=prompt.number,
        prompt_tokens=prompt.tokens,
        new_tokens=request.seq_len - prompt.tokens,
        seq_len=request.seq_len,
        batch=request.batch,
        kernels=dict(request.kernels),
        accuracy=int(all(check.passed for check in checks)) if checks else None,
        base_latency_ms=prompt.base_latency_ms,
        base_tokens_per_s=prompt.base_tokens_per_s,
        configuration={
            "kernels": request.kernels_text,
            "seed": request.seed,
            "repeat": request.repeat,
            "buckets": list(qwen.buckets(request.seq_len)),
            "base_source": prompt.base_source,
            "needed_macs": _needed_macs(plan),
            "source_files": sources_of(used)[0],
        },
        environment=environment_of(request.target),
        launches=tuple(
            simulated_launch(planned, repetitions[at]) if at in repetitions else _estimated_launch(planned)
            for at, planned in enumerate(plan)
        ),
        checks=checks,
        samples=_samples(repetitions),
        warnings=(*warnings_of(used, request), *_unplugged(request, plan)),
    )


def _unplugged(request: ProfileRequest, plan: Iterable[PlannedLaunch]) -> list[str]:
    """A sentence on simulated kernels the NxD Inference plug-in does not run; of batches it runs none."""
    left = (row for row in plan if row.function is not None and not row.nki)
    names = sorted({f"{row.slot}={row.variant}" for row in left}) if request.batch == 1 else []
    told = f"The NxD Inference plug-in does not run {', '.join(names)}; it does not count in the NKI share."
    return [told] if names else []


def kernel_run(request: KernelRequest, entry: Entry, wall_s: float) -> Run:
    """A single kernel's run."""
    assert entry.profile is not None
    profile, file = entry.profile, Path(request.file)
    launch = Launch(
        slot=request.function,
        covers=(request.function,),
        variant=file.stem,
        phase="kernel",
        bucket=None,
        count=1,
        provenance="simulated",
        time_ns=profile.duration_ns,
        low_ns=profile.low_ns,
        high_ns=profile.high_ns,
        macs=profile.macs,
        profile_id=profile.profile_id,
    )
    return Run(
        **common(request, [entry], wall_s),
        prompt=None,
        prompt_tokens=None,
        new_tokens=None,
        seq_len=None,
        batch=1,
        kernels={request.function: file.name},
        accuracy=None,
        base_latency_ms=None,
        base_tokens_per_s=None,
        configuration={
            "kernel": f"{request.file}::{request.function}",
            "arguments": dict(request.argument_texts)
            or {name: describe(value) for name, value in request.arguments.items()},
            "seed": request.seed,
            **_ranks(request),
            "source_files": sources_of([entry])[0],
        },
        environment=environment_of(request.target, file.resolve().parent),
        launches=(launch,),
        samples=(Sample("launch_ns", 0, float(profile.duration_ns), 0),),
        warnings=warnings_of([entry]),
    )


def _ranks(request: KernelRequest) -> dict[str, Any]:
    """How many ranks ran, and the arguments each had of its own."""
    if not request.peers:
        return {}
    own = [name for name, text in request.argument_texts.items() if by_rank(text)]
    return {"ranks": len(request.peers) + 1, "arguments_by_rank": own}
