"""The `collectors` command: registers the verbs, prints errors as sentences."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from collectors.commands import app as app_verb
from collectors.commands import (
    baseline,
    bench_verb,
    bundle,
    compare,
    doctor,
    export,
    kernel,
    profile,
    rank,
    runs,
    score,
    show,
    sql,
    tune,
)
from collectors.commands import fidelity as fidelity_verb
from collectors.commands import import_ as import_verb
from collectors.commands.screen import messages, print_json
from collectors.errors import CollectorError
from kernels.errors import KernelError
from simulator.errors import SimulatorError

VERBS: tuple[Callable[..., Any], ...] = (
    profile.profile,
    import_verb.import_,
    runs.runs,
    show.show,
    compare.compare,
    rank.rank,
    kernel.kernel,
    score.score,
    tune.tune,
    bundle.bundle,
    baseline.baseline,
    export.export,
    sql.sql,
    bench_verb.bench,
    fidelity_verb.fidelity,
    doctor.doctor,
    app_verb.app,
)

HELP = {"help_option_names": ["-h", "--help"]}

cli = typer.Typer(
    name="collectors",
    help="Profile NKI kernels on a NeuronCore or a timing simulator, keep the runs, compare them.",
    no_args_is_help=True,
    context_settings=HELP,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in VERBS:
    cli.command(context_settings=HELP)(verb)

FAULTS = (CollectorError, SimulatorError, KernelError)
INTERRUPTED = 130


def main() -> None:
    """Run a verb. Exit code 2 and one sentence with a way out for anything a person can mend."""
    try:
        cli()
    except FAULTS as error:
        _complain(error)
        sys.exit(getattr(error, "exit_code", 2))
    except KeyboardInterrupt:
        messages().print("Interrupted; nothing was stored.")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _complain(error: CollectorError | SimulatorError | KernelError) -> None:
    if "--json" in sys.argv:
        print_json({"error": str(error), "hint": error.hint})
    screen = messages()
    screen.print(f"Error: {error}", soft_wrap=True, markup=False)
    if error.hint:
        screen.print(error.hint[0].upper() + error.hint[1:], soft_wrap=True, markup=False)


if __name__ == "__main__":
    main()
