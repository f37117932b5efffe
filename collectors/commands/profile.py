"""`collectors profile`: run a prompt, or one kernel, and store what it cost."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from collectors.commands.options import (
    Backend,
    Cores,
    Database,
    ImportPaths,
    Json,
    KernelArguments,
    KernelPlace,
    Ranks,
    Seed,
    Target,
    open_store,
)
from collectors.commands.screen import output, print_json, progress, say
from collectors.errors import UsageError
from collectors.records import Run
from collectors.request import KernelRequest, ProfileRequest

NO_DEVICE = "No Neuron device here: simulating {target} instead (`collectors doctor` says what is missing)."
RECOMMENDED = "recommended"


def profile(
    prompt: Annotated[
        list[int] | None,
        typer.Option("--prompt", help="A prompt of the challenge, 0-4; repeatable.", metavar="N"),
    ] = None,
    all_prompts: Annotated[bool, typer.Option("--all-prompts", help="Every prompt.")] = False,
    kernel: KernelPlace = None,
    arg: KernelArguments = None,
    path: ImportPaths = None,
    backend: Annotated[Backend, typer.Option(help="auto takes the device when there is one.")] = Backend.auto,
    target: Annotated[
        Target, typer.Option(help="The NeuronCore to simulate, or the one at hand.")
    ] = Target.trn3,
    kernels: Annotated[
        str, typer.Option(help="Which variant fills which slot.", metavar="baseline|tuned|SLOT=VARIANT,…")
    ] = "baseline",
    seq_len: Annotated[
        str,
        typer.Option(
            help="Prompt and new tokens together; recommended is each prompt's own.", metavar="N|recommended"
        ),
    ] = "640",
    batch: Annotated[int, typer.Option(min=1, help="Sequences at once.")] = 1,
    lnc: Cores = 2,
    ranks: Ranks = 1,
    label: Annotated[
        str | None,
        typer.Option(
            help="A name for the run [default: what --kernels or --kernel says]", show_default=False
        ),
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Repetitions; on the simulator, data seeds.")] = 1,
    seed: Seed = 0,
    accuracy: Annotated[
        bool, typer.Option("--accuracy/--no-accuracy", help="Check results against references.")
    ] = True,
    contest_dir: Annotated[
        Path | None, typer.Option(help="A clone of aws-neuron/nki-moe to read prompts and baselines from.")
    ] = None,
    db: Database = None,
    json: Json = False,
) -> None:
    """Profile prompts, or one kernel, on the device or the simulator, and store each as a run.

    Example: collectors profile --prompt 3 --kernels tuned --label tuned
    """
    if bool(kernel) == bool(prompt or all_prompts):
        raise UsageError(
            "say what to profile", "give --prompt N, --all-prompts, or --kernel FILE.py::FUNCTION"
        )
    on_device = choose(backend, target.value)
    session = secrets.token_hex(4)
    work: Sequence[ProfileRequest] | KernelRequest
    if kernel:
        work = kernel_request(
            kernel,
            arg or [],
            target.value,
            lnc,
            seed,
            label=label,
            session=session,
            repeat=repeat,
            paths=path or (),
            ranks=ranks,
        )
        if ranks > 1 and on_device:
            raise UsageError(
                "--ranks is the simulator's", "add --backend simulator, or profile one rank of a device"
            )
    else:
        given = {"--arg": arg, "--path": path, "--ranks": ranks > 1}
        if any(given.values()):
            raise UsageError(
                f"{next(name for name, value in given.items() if value)} belongs to --kernel",
                "drop it, or name a kernel",
            )
        asked = Asked(kernels, seq_len, batch, lnc, label, repeat, seed, accuracy)
        work = prompt_requests([] if all_prompts else prompt or [], asked, target.value, contest_dir, session)
    store = open_store(db)
    runs = []
    for run in _measured(work, contest_dir) if on_device else _simulated(work):
        store.save(run)
        runs.append(run)
    _show(runs, json=json, several=not kernel and len(runs) > 1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What every prompt of one command shares."""

    kernels: str
    seq_len: str
    batch: int
    lnc: int
    label: str | None
    repeat: int
    seed: int
    accuracy: bool


def choose(backend: Backend, target: str) -> bool:
    """Whether to use the device; says so when there is none. Raises `DeviceError`."""
    if backend is Backend.simulator:
        return False
    from collectors.device import device_present, require_device

    if backend is Backend.neuron:
        require_device()
        return True
    if device_present():
        return True
    say(NO_DEVICE.format(target=target))
    return False


def prompt_requests(
    numbers: Sequence[int], asked: Asked, target: str, contest_dir: Path | None, session: str
) -> list[ProfileRequest]:
    """One request a prompt, all of one session. Raises `UsageError` or `KernelError`."""
    from collectors.prompts import prompts
    from kernels.registry import kernel_choice

    chosen = kernel_choice(asked.kernels)
    return [
        ProfileRequest(
            prompt=one,
            seq_len=_length(asked.seq_len, one.recommended_seq_len),
            kernels=chosen,
            kernels_text=asked.kernels,
            target=target,
            session=session,
            label=asked.label or asked.kernels,
            batch=asked.batch,
            repeat=asked.repeat,
            seed=asked.seed,
            lnc=asked.lnc,
            accuracy=asked.accuracy,
        )
        for one in prompts(numbers, target, contest_dir)
    ]


def kernel_request(
    place: str,
    arguments: Sequence[str],
    target: str,
    lnc: int,
    seed: int,
    *,
    label: str | None = None,
    session: str,
    repeat: int = 1,
    paths: Sequence[Path] = (),
    ranks: int = 1,
) -> KernelRequest:
    """A request for FILE.py::FUNCTION. Raises `UsageError` or `UnreadableInput`."""
    from collectors.arguments import parse, peers, split

    file, _, function = place.rpartition("::")
    if not file or not function.isidentifier():
        raise UsageError(
            f"--kernel {place!r} is not FILE.py::FUNCTION", "for example --kernel kernels/rmsnorm.py::rmsnorm"
        )
    if not Path(file).is_file():
        raise UsageError(f"there is no file {file}", "check the path before ::")
    for folder in paths:
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder}", "give --path a folder that holds packages")
    return KernelRequest(
        file=file,
        function=function,
        arguments=parse(arguments, seed),
        target=target,
        session=session,
        label=label or function,
        lnc=lnc,
        repeat=repeat,
        seed=seed,
        argument_texts=split(arguments),
        paths=tuple(str(folder.resolve()) for folder in paths),
        peers=peers(arguments, seed, ranks),
    )


def _length(text: str, own: int) -> int:
    if text == RECOMMENDED:
        return own
    if not text.isdecimal():
        raise UsageError(
            f"--seq-len {text!r} is not a number", f"give tokens, for example 640, or {RECOMMENDED}"
        )
    return int(text)


def _simulated(work: Sequence[ProfileRequest] | KernelRequest) -> list[Run]:
    from collectors.simulated.collect import collect_all, collect_kernel

    with progress("simulating") as shown:

        def tell(done: int, total: int, name: str) -> None:
            shown.update(shown.task_ids[0], completed=done, total=total, description=f"simulated {name}")

        return [collect_kernel(work, tell)] if isinstance(work, KernelRequest) else collect_all(work, tell)


def _measured(work: Sequence[ProfileRequest] | KernelRequest, contest_dir: Path | None) -> Iterator[Run]:
    """Each run as soon as it is measured, so that a later failure loses none; tidied once stored."""
    from collectors.device.capture import collect, tidy
    from collectors.device.kernel import collect_kernel
    from collectors.device.settings import settings_from

    settings = settings_from(contest_dir=contest_dir)
    with progress("measuring") as shown:

        def report(phase: str, detail: str = "") -> None:
            shown.update(shown.task_ids[0], description=f"{phase} {detail}".strip())
            if not shown.console.is_terminal:
                say(f"{phase} {detail}".strip())

        if isinstance(work, KernelRequest):
            run = collect_kernel(work, settings=settings, report=report)
            yield run
            tidy(run, settings)
            return
        for request in work:
            run = collect(request, settings=settings, report=report)
            yield run
            tidy(run, settings)


def _show(runs: Sequence[Run], *, json: bool, several: bool) -> None:
    from collectors.commands import summary

    if json:
        shown = [summary.as_object(run) for run in runs]
        print_json({"runs": shown} if several else shown[0])
        return
    screen = output()
    for run in runs:
        screen.print(summary.title(run), soft_wrap=True, markup=False)
        screen.print(summary.kernel_table(run))
        for text in (summary.accuracy(run), *summary.steering(run), *run.warnings):
            screen.print(text, soft_wrap=True, markup=False)
        screen.print(summary.line(run), soft_wrap=True, style="bold", markup=False)
