"""`collectors tune`: search the parameters a kernel variant declares."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from collectors.commands.options import Cores, Database, Json, Seed, Target, open_store
from collectors.commands.screen import number, progress, say
from collectors.errors import UsageError

if TYPE_CHECKING:
    from collectors.records import Study, Trial
    from collectors.store.door import Store
    from collectors.tuning.subject import Subject

INTERRUPTED = 130
FILLED = "In the tuned preset {slot} is filled by {by}, which is searched; --variant takes one of its own."


def tune(
    slot: Annotated[str | None, typer.Argument(help="The slot, for example lm_head.")] = None,
    variant: Annotated[
        str | None,
        typer.Option(help="The variant to vary [default: the tuned preset's]", show_default=False),
    ] = None,
    phase: Annotated[
        str | None,
        typer.Option(
            help="decode or prefill [default: decode where the slot has both]",
            metavar="PHASE",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[int, typer.Option(min=0, help="Candidates to try, the defaults among them.")] = 20,
    prompt: Annotated[int, typer.Option(help="The prompt whose launches are timed.", metavar="N")] = 3,
    seq_len: Annotated[int, typer.Option(help="Prompt and new tokens together.")] = 640,
    batch: Annotated[int, typer.Option(min=1, help="Sequences at once.")] = 1,
    target: Annotated[Target, typer.Option(help="The NeuronCore to simulate.")] = Target.trn3,
    lnc: Cores = 2,
    seed: Seed = 0,
    confirm: Annotated[
        int, typer.Option(min=0, help="Measure this many of the best, and the defaults, on the device.")
    ] = 0,
    show: Annotated[
        str | None,
        typer.Option(help="Only show a study, by its name or the start of it.", metavar="STUDY"),
    ] = None,
    db: Database = None,
    json: Json = False,
) -> None:
    """Search a variant's parameters on the simulator and propose the best; every trial is kept.

    Repeating a command goes on with its study as long as kernel, machine and simulator are the same. Without
    a slot: what can be varied, and the studies so far.

    Example: collectors tune lm_head --budget 20
    """
    from collectors.commands import tune_shown
    from collectors.store.trials import find_study

    store = open_store(db)
    if show is not None:
        tune_shown.study(store, find_study(store, show), json=json)
    elif slot is None:
        tune_shown.overview(store, json=json)
    else:
        subject = _subject(slot, variant, phase, prompt, seq_len, target.value, lnc, seed, batch)
        if confirm:
            _require_device()
        if subject.kernel.slot != slot:
            say(FILLED.format(slot=slot, by=f"{subject.kernel.slot}={subject.kernel.name}"))
        found = _search(store, subject, budget)
        if confirm:
            _confirm(store, subject, found, confirm)
        tune_shown.study(store, found, json=json)


def _subject(
    slot: str,
    variant: str | None,
    phase: str | None,
    prompt: int,
    seq_len: int,
    target: str,
    lnc: int,
    seed: int,
    batch: int,
) -> Subject:
    from collectors.prompts import prompts
    from collectors.tuning.subject import TuneRequest, subject_of

    [chosen] = prompts([prompt], target, None)
    session = secrets.token_hex(4)
    return subject_of(TuneRequest(slot, chosen, seq_len, target, session, variant, phase, lnc, seed, batch))


def _require_device() -> None:
    from collectors.device import require_device

    require_device()


def _search(store: Store, subject: Subject, budget: int) -> Study:
    from collectors.tuning.tune import open_study, tune

    study = open_study(store, subject)
    kept = 0
    with progress(f"tuning {study.slot}={study.variant}") as shown:
        task = shown.task_ids[0]
        shown.update(task, total=budget, completed=0)
        best: list[float] = []

        def told(trial: Trial, name: str, cost: float | None) -> None:
            nonlocal kept
            kept += 1
            best[:] = [min([*best, *([] if cost is None else [cost])], default=0.0)] if best or cost else []
            lowest = f", lowest {number(best[0] / 1e3)} µs" if best else ""
            outcome = trial.state if cost is None else f"{number(cost / 1e3)} µs"
            shown.update(task, advance=1, description=f"{name}: {outcome}{lowest}")

        try:
            done = tune(store, subject, budget, told)
        except KeyboardInterrupt:
            say(f"Interrupted; {kept} new trials are kept. The same command goes on with {study.study}.")
            raise typer.Exit(INTERRUPTED) from None
    if done.exhausted:
        say(f"Every combination of {study.slot}={study.variant} was tried; {done.added} were new.")
    return study


def _confirm(store: Store, subject: Subject, study: Study, count: int) -> None:
    from collectors.device.kernel import collect_kernel
    from collectors.device.settings import settings_from
    from collectors.tuning.confirm import confirm

    chosen = _best(store, study, count)
    with progress("measuring") as shown:

        def report(phase: str, detail: str = "") -> None:
            shown.update(shown.task_ids[0], description=f"{phase} {detail}".strip())

        settings = settings_from()
        confirm(
            store, subject, chosen, lambda request: collect_kernel(request, settings=settings, report=report)
        )


def _best(store: Store, study: Study, count: int) -> Sequence[Trial]:
    """The defaults, and the fastest correct trials. Raises `UsageError` where none is correct."""
    from analysis.tuning import tuning
    from collectors.store.trials import trial_runs, trials

    known = trials(store, study.study)
    points = tuning(study, known, trial_runs(store, study.study)).points
    timed = [(each.time_ns.value, each.number) for each in points if each.state == "correct" and each.time_ns]
    wanted = {at for _, at in sorted(timed)[:count]} | {each.number for each in points if each.is_default}
    if not timed:
        raise UsageError(f"{study.study} has no correct trial to measure", "give it a larger --budget")
    return [trial for trial in known if trial.number in wanted and trial.run_id]
