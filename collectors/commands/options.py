"""Options that several verbs share, spelled and explained once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from collectors.store.door import Store, default_path


class Target(StrEnum):
    """Machines the simulator has tables for."""

    trn3 = "trn3"
    trn2 = "trn2"


class Backend(StrEnum):
    """Where a kernel runs."""

    auto = "auto"
    neuron = "neuron"
    simulator = "simulator"


class Format(StrEnum):
    """How a verb prints a table."""

    table = "table"
    json = "json"
    csv = "csv"


Database = Annotated[
    Path | None,
    typer.Option(
        "--db", help="Database of runs [default: $NKI_DASHBOARD_DB, else ./runs.db]", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
RunName = Annotated[
    str,
    typer.Argument(
        help="An id (or the start of one), a label, baseline, latest or latest~1; /p3 picks a prompt."
    ),
]
KernelPlace = Annotated[
    str | None,
    typer.Option(
        "--kernel", help="One kernel of one file, as FILE.py::FUNCTION.", metavar="FILE.py::FUNCTION"
    ),
]
KernelArguments = Annotated[
    list[str] | None,
    typer.Option(
        "--arg",
        help="Of --kernel: x='bf16[128,2048]' (random), i='int32[1,8] 0..127', x=@file.npy, eps=1e-6, "
        "or by names of its file: act=ActFnType.SiLU, cfg='Config(bs=1)'. With --ranks, x='bf16[128,2048] by "
        "rank' or x=@part-{rank}.npy gives each rank its own.",
        metavar="NAME=VALUE",
    ),
]
ImportPaths = Annotated[
    list[Path] | None,
    typer.Option(
        "--path",
        help="A folder that packages --kernel imports lie in, such as nkilib's; repeatable.",
        metavar="FOLDER",
    ),
]
Ranks = Annotated[
    int,
    typer.Option(
        "--ranks",
        min=1,
        max=64,
        help="Ranks that run --kernel together, each with its own HBM (simulator).",
    ),
]
Cores = Annotated[int, typer.Option("--lnc", min=1, max=2, help="Physical cores per logical core.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of random inputs.")]


def open_store(database: Path | None) -> Store:
    """The store a verb works on."""
    return Store(database or default_path())
