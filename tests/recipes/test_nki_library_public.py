"""Kernels of aws-neuron/nki-library, unmodified, against its own references; a clone lies in NKI_CLONES."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rows import record

CLONES = Path(os.environ.get("NKI_CLONES", Path(__file__).resolve().parents[3]))


def test_public_kernels_agree_with_the_references_of_their_repository(tmp_path: Path) -> None:
    clone = CLONES / "nki-library"
    if not clone.is_dir():
        pytest.skip("no nki-library in NKI_CLONES or beside the repository")
    recipe = Path(__file__).with_name("nki_library.py")
    errors = tmp_path / "errors.json"
    command = [sys.executable, str(recipe), str(clone), "--errors", str(errors)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    table = ran.stdout.partition("kernel ")[2]
    sys.stdout.write(table)
    for key, error in json.loads(errors.read_text("utf-8")).items() if errors.is_file() else ():
        record(key, error)
    assert ran.returncode == 0, table or ran.stderr
