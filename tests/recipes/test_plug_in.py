"""The plug-in on the real source of NxD Inference; clones of it and of NxD lie in NKI_CLONES."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(recipe: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A recipe on the clones beside this one, or in NKI_CLONES; skips where there are none."""
    where = Path(os.environ.get("NKI_CLONES", ROOT.parent))
    clones = [where / "neuronx-distributed", where / "neuronx-distributed-inference"]
    if not all((clone / "src").is_dir() for clone in clones):
        pytest.skip("no clones of NxD and its Inference in NKI_CLONES or beside the repository")
    command = [sys.executable, Path(__file__).with_name(recipe), *clones, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_plug_in_builds_on_the_real_source_of_nxd_inference() -> None:
    result = run("plug_in_on_nxd_source.py")
    assert result.returncode == 0, result.stderr[-2000:]
    assert "without a fitting weight: []" in result.stdout


@pytest.mark.parametrize(
    ("choice", "launched"),
    [
        ("tuned", ("attention_decode=block", "attention_prefill=diagonal", "experts_decode=block")),
        ("baseline", ("attention_decode=baseline", "attention_prefill=baseline", "kv_update=baseline")),
        ("tuned,attention_decode=cached,experts_decode=routed", ("attention_decode=cached",)),
        ("tuned,experts_decode=fp8", ("experts_decode=fp8", "experts_prefill=resident")),
    ],
)
def test_prefill_and_32_steps_give_the_tokens_of_transformers(choice: str, launched: tuple[str, ...]) -> None:
    result = run("plug_in_generates.py", choice, "32")
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    assert "greedy tokens equal: 33 of 33" in result.stdout
    assert all(kernel in result.stdout for kernel in launched)


def test_a_kernel_across_both_halves_of_a_layer_is_refused_by_name() -> None:
    result = run("plug_in_generates.py", "tuned,attention_decode=layer", "1")
    assert result.returncode == 1
    assert "attention_decode=layer spans attention and experts" in result.stderr
