"""docs/public-kernels.md is what the recipes' tables and the errors they last had say; no clone is needed."""

from __future__ import annotations

from pathlib import Path

from rows import errors, rows, table

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "public-kernels.md"


def test_the_documented_kernels_are_those_the_recipes_run() -> None:
    told = "run: python tests/recipes/rows.py > docs/public-kernels.md"
    assert DOCUMENT.read_text("utf-8") == table(), told


def test_every_kernel_has_a_row_of_its_own_and_an_error_within_its_tolerance() -> None:
    listed, kept = rows(), errors()
    assert len({row.key for row in listed}) == len(listed)
    assert {row.key for row in listed} == set(kept)
    assert all(kept[row.key] < row.tolerance for row in listed)
