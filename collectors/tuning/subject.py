"""What a search varies: one variant of a slot on the launches a prompt makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import qwen
from collectors.errors import UsageError
from collectors.records import Study
from collectors.request import ProfileRequest, Prompt
from collectors.simulated import identity
from collectors.simulated.planned import plan_of
from kernels.parameters import Setting, settings_of, spelled
from kernels.registry import PRESETS, VARIANTS, Variant, phases_of, resolve, variant, variants_of
from qwen import PlannedLaunch


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """What was asked of `collectors tune`; `variant` and `phase` None take what the slot offers.

    A `batch` is as many prompts of the same length, as `qwen.plan` has it.
    """

    slot: str
    prompt: Prompt
    seq_len: int
    target: str
    session: str
    variant: str | None = None
    phase: str | None = None
    lnc: int = 2
    seed: int = 0
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Subject:
    """A variant without settings, in a phase of a prompt."""

    kernel: Variant
    phase: str
    asked: TuneRequest


def subject_of(asked: TuneRequest) -> Subject:
    """The variant a request means. Raises `UsageError` or `KernelError` where there is nothing to vary."""
    variants_of(asked.slot)
    phase = _phase(asked)
    kernel = _named(asked, phase) if asked.variant else _runs_in(asked, phase)
    if not kernel.parameters:
        raise UsageError(f"{kernel.slot}={kernel.name} declares no parameters", f"tunable are {_tunable()}")
    found = Subject(kernel, phase, asked)
    if not planned(found, {}):
        raise UsageError(
            f"{kernel.slot}={kernel.name} does not run in {phase} of prompt {asked.prompt.number}",
            "choose another --phase, --prompt or --variant",
        )
    return found


def name_of(subject: Subject, settings: Mapping[str, Setting]) -> str:
    """The variant with these settings, as `--kernels SLOT=NAME` takes it."""
    return spelled(subject.kernel.name, settings_of(subject.kernel.parameters, settings))


def request_of(subject: Subject, settings: Mapping[str, Setting]) -> ProfileRequest:
    """The request whose plan holds the candidate's launches."""
    asked, name = subject.asked, name_of(subject, settings)
    text = f"{subject.kernel.slot}={name}"
    return ProfileRequest(
        prompt=asked.prompt,
        seq_len=asked.seq_len,
        kernels=dict(PRESETS["baseline"]) | {subject.kernel.slot: name},
        kernels_text=text,
        target=asked.target,
        session=asked.session,
        label=text,
        seed=asked.seed,
        lnc=asked.lnc,
        batch=asked.batch,
    )


def planned(subject: Subject, settings: Mapping[str, Setting]) -> tuple[PlannedLaunch, ...]:
    """The candidate's launches, one a bucket, with how often the prompt runs each."""
    plan = plan_of(request_of(subject, settings))
    slot, function = subject.kernel.slot, subject.kernel.function
    return tuple(
        row for row in plan if (row.phase, row.slot, row.function) == (subject.phase, slot, function)
    )


def new_study(subject: Subject) -> Study:
    """A study of the subject as its sources are now; its name says what it is of."""
    asked, kernel = subject.asked, subject.kernel
    mark = _fingerprint(subject)
    cores = "" if asked.lnc == 2 else f"-lnc{asked.lnc}"
    several = "" if asked.batch == 1 else f"b{asked.batch}-"
    workload = f"{several}p{asked.prompt.number}"
    parts = (kernel.slot, kernel.name, subject.phase, workload, asked.target + cores)
    return Study(
        study=f"{'-'.join(parts)}-{mark[:6]}",
        created_at=datetime.now(UTC),
        slot=kernel.slot,
        variant=kernel.name,
        phase=subject.phase,
        target=asked.target,
        lnc=asked.lnc,
        prompt=asked.prompt.number,
        seq_len=asked.seq_len,
        seed=asked.seed,
        parameters=kernel.parameters,
        fingerprint=mark,
    )


def _fingerprint(subject: Subject) -> str:
    """Hash of what a trial's time and verdict follow from, besides its settings."""
    asked, kernel = subject.asked, replace(subject.kernel, summary="")
    sources = identity.source_hash(identity.module_file(kernel.module))
    judged = identity.of_modules("kernels.checks", "kernels.arguments", "qwen")
    workload = (
        asked.prompt.number,
        asked.prompt.tokens,
        asked.seq_len,
        subject.phase,
        asked.seed,
        asked.batch,
    )
    machine = (asked.target, asked.lnc, identity.machine_tables(asked.target), identity.simulator())
    return identity.digest(repr(kernel), sources, judged, *workload, *machine)


def _phase(asked: TuneRequest) -> str:
    phases = phases_of(asked.slot)
    if asked.variant:
        phases = tuple(each for each in phases if each in variant(asked.slot, asked.variant).phases)
    if asked.phase is None:
        return phases[-1]
    if asked.phase not in phases:
        where = f"{asked.slot}={asked.variant}" if asked.variant else f"slot {asked.slot!r}"
        raise UsageError(f"{where} does not run in {asked.phase}", f"its phases are {', '.join(phases)}")
    return asked.phase


def _named(asked: TuneRequest, phase: str) -> Variant:
    assert asked.variant is not None
    kernel = variant(asked.slot, asked.variant)
    tokens = _tokens(asked, phase)
    if kernel.settings:
        raise UsageError(f"--variant {asked.variant} already has settings", f"write {kernel.base}")
    if kernel.max_tokens is not None and tokens > kernel.max_tokens:
        raise UsageError(
            f"{kernel.slot}={kernel.name} runs up to {kernel.max_tokens} tokens and prompt "
            f"{asked.prompt.number} has {tokens}",
            f"use --variant {kernel.beyond} or a shorter prompt",
        )
    return kernel


def _runs_in(asked: TuneRequest, phase: str) -> Variant:
    """What fills the slot in the tuned preset, or its own variant there where only that can be varied.

    A kernel that covers the slot with others may declare nothing while the slot's own variant does.
    """
    tuned = PRESETS["tuned"]
    tokens = _tokens(asked, phase)
    runs = next(one for one in resolve(tuned, phase, tokens) if asked.slot in one.covers)
    own = variant(asked.slot, tuned[asked.slot])
    fits = phase in own.phases and (own.max_tokens is None or tokens <= own.max_tokens)
    return own if own.parameters and fits and not runs.parameters else runs


def _tokens(asked: TuneRequest, phase: str) -> int:
    return qwen.bucket_of(asked.prompt.tokens, asked.seq_len) if phase == "prefill" else asked.batch


def _tunable() -> str:
    return ", ".join(f"{one.slot}={one.name}" for one in VARIANTS if one.parameters)
