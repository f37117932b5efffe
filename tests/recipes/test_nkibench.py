"""NKIBench's kernels, unmodified, give its own references' answers; a clone of AccelOpt is in NKI_CLONES."""

from __future__ import annotations

import os
from pathlib import Path

import nkibench
import pytest
from rows import record

from simulator.kernel_ref import KernelRef
from simulator.loading import load
from simulator.nki.execute import execute

CLONES = Path(os.environ.get("NKI_CLONES", Path(__file__).resolve().parents[3]))


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")
@pytest.mark.parametrize("name", nkibench.NAMES)
def test_a_kernel_of_nkibench_gives_the_answer_of_its_reference(name: str) -> None:
    clone = CLONES / "AccelOpt"
    if not clone.is_dir():
        pytest.skip("no AccelOpt in NKI_CLONES or beside the repository")
    module = nkibench.reference_of(clone, name)
    inputs = module.get_inputs()
    expected = module.forward(*inputs)
    place = KernelRef("kernel", file=str(clone / "NKIBench" / "kernels" / f"{name}_0.py"))
    kernel = load(place)
    given = nkibench.arguments(module, inputs, getattr(kernel, "func", kernel))
    trace = execute(place, given, target="trn2", lnc=1, record=False)
    error = nkibench.error(module, trace.results, expected)
    record(nkibench.row(name).key, error)
    assert error < nkibench.TOLERANCE
