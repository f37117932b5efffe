"""The best candidates of a search on the device: each profiled once, kept beside its simulated trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from collectors.records import Run, Trial
from collectors.request import KernelRequest
from collectors.simulated import identity
from collectors.store.door import Store
from collectors.store.trials import save_measured
from collectors.tuning.subject import Subject, name_of, planned, request_of
from qwen import PlannedLaunch

Measure = Callable[[KernelRequest], Run]


def confirm(store: Store, subject: Subject, chosen: Sequence[Trial], measure: Measure) -> None:
    """Measure trials' candidates on the launch the prompt runs most; each is kept as soon as it is measured.

    Raises what `measure` raises.
    """
    for trial in chosen:
        row = max(planned(subject, trial.settings), key=lambda each: each.count)
        run = measure(_request(subject, trial, row))
        save_measured(store, trial, _named(run, subject, trial, row))


def _request(subject: Subject, trial: Trial, row: PlannedLaunch) -> KernelRequest:
    asked = request_of(subject, trial.settings)
    kernel = subject.kernel
    assert row.arguments is not None
    return KernelRequest(
        file=str(identity.module_file(kernel.module)),
        function=kernel.function,
        arguments=row.arguments(asked.seed),
        target=asked.target,
        session=asked.session,
        label=asked.label,
        lnc=asked.lnc,
        seed=asked.seed,
    )


def _named(run: Run, subject: Subject, trial: Trial, row: PlannedLaunch) -> Run:
    """The measured run under the names of its trial."""
    slot, name = subject.kernel.slot, name_of(subject, trial.settings)
    launches = tuple(
        replace(each, slot=slot, covers=subject.kernel.covers, variant=name, bucket=row.bucket)
        for each in run.launches
    )
    told = {"study": trial.study, "trial": trial.number, "settings": dict(trial.settings)}
    return replace(run, kernels={slot: name}, launches=launches, configuration={**run.configuration, **told})
