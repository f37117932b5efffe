"""Kernels of aws-neuron/nki-library, unmodified, against its own references; a clone lies in NKI_CLONES."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CLONES = Path(os.environ.get("NKI_CLONES", Path(__file__).resolve().parents[3]))


def test_public_kernels_agree_with_the_references_of_their_repository() -> None:
    clone = CLONES / "nki-library"
    if not clone.is_dir():
        pytest.skip("no nki-library in NKI_CLONES or beside the repository")
    recipe = Path(__file__).with_name("nki_library.py")
    ran = subprocess.run(
        [sys.executable, str(recipe), str(clone)], capture_output=True, text=True, check=False
    )
    table = ran.stdout.partition("kernel ")[2]
    sys.stdout.write(table)
    assert ran.returncode == 0, table or ran.stderr
