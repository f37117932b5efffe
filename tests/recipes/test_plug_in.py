"""The plug-in on the real source of NxD Inference; clones of it and of NxD lie in NKI_CLONES."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_the_plug_in_builds_on_the_real_source_of_nxd_inference() -> None:
    """Clones of both repositories beside this one, or in NKI_CLONES."""
    root = Path(__file__).resolve().parents[2]
    where = Path(os.environ.get("NKI_CLONES", root.parent))
    clones = [where / "neuronx-distributed", where / "neuronx-distributed-inference"]
    if not all((clone / "src").is_dir() for clone in clones):
        pytest.skip("no clones of NxD and its Inference in NKI_CLONES or beside the repository")
    recipe = Path(__file__).with_name("plug_in_on_nxd_source.py")
    result = subprocess.run([sys.executable, recipe, *clones], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "without a fitting weight: []" in result.stdout
