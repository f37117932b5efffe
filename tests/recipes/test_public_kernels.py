"""Other people's kernels run as they are and give NumPy's answer.

NKI_CLONES=FOLDER pytest -s tests/recipes/test_public_kernels.py

FOLDER holds clones with their history under their repositories' names: nki-moe, nki-moe-megakernel, NKI-MoE,
nki-moe-7013, nki-autotune, nki-samples, trainium-kernel-fusion, and nki-library, whose nkilib some of them
import. A repository that is not there skips its kernels. At the end a table: kernel, error, instructions,
simulated time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from first_dialect import KERNELS as FIRST_DIALECT
from public_kernels import KERNELS, Arguments, PublicKernel, checked_out
from rich.console import Console
from rich.table import Table
from rows import record

from simulator.api import Simulation, simulate
from simulator.kernel_ref import KernelRef

VARIABLE = "NKI_CLONES"
NKILIB = Path("nki-library", "src", "nkilib_src")
COLUMNS = ("kernel", "on", "error", "instructions", "list µs", "as written µs", "steered by", "warnings")

pytestmark = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no folder of clones of public repositories"
)


@pytest.fixture(scope="module")
def rows() -> Iterator[Table]:
    table = Table(*COLUMNS, title="Public kernels on the simulator; the error is of the largest value")
    yield table
    Console(width=200).print(table)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("public")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kernel", [*KERNELS, *FIRST_DIALECT], ids=lambda kernel: kernel.name)
def test_a_public_kernel_gives_the_answer_of_numpy(
    kernel: PublicKernel, rows: Table, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # nki-moe-7013 looks for a draft model's weights as it is imported.
    monkeypatch.setenv("NKI_PLAIN_FUSED_DRAFT_PATH", str(files))
    clones = Path(os.environ[VARIABLE])
    arguments = kernel.arguments()
    found = simulate(_place(kernel, clones, files), arguments, target=kernel.target, lnc=kernel.lnc)
    error = _error(kernel, arguments, found)
    rows.add_row(*_row(kernel, found, error))
    record(kernel.row().key, error)
    assert error < kernel.tolerance


def _place(kernel: PublicKernel, clones: Path, files: Path) -> KernelRef:
    clone, library = clones / kernel.repository.partition("/")[2], clones / NKILIB
    for folder in (clone, *([library] if kernel.needs_nkilib else [])):
        if not folder.is_dir():
            pytest.skip(f"there is no {folder}")
    source = checked_out(clone, kernel.commit, files)
    paths = (str(library),) if kernel.needs_nkilib else ()
    return KernelRef(kernel.function, file=str(source / kernel.file), paths=paths)


def _error(kernel: PublicKernel, arguments: Arguments, found: Simulation) -> float:
    """The largest difference of any result, relative to that result's largest value."""
    worst = 0.0
    for result, answer in zip(found.trace.results, kernel.reference(arguments), strict=False):
        difference = np.abs(result.astype(np.float32).reshape(-1) - answer.reshape(-1)).max()
        worst = max(worst, float(difference / np.abs(answer).max()))
    return worst


def _row(kernel: PublicKernel, found: Simulation, error: float) -> tuple[str, ...]:
    trace = found.trace
    return (
        kernel.name,
        f"{kernel.target} lnc {kernel.lnc}",
        f"{error:.1e}",
        f"{sum(map(len, trace.cores)):,}",
        f"{found.list_scheduled.duration_ns / 1e3:,.1f}",
        f"{found.as_written.duration_ns / 1e3:,.1f}",
        ", ".join(trace.data_dependent),
        str(len(trace.warnings)),
    )
