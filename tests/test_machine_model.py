"""The table of docs/machine-model.md against the machine tables, the modules and the tests it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.machine.facts import machine
from simulator.machine.mechanisms import DOCUMENT, MECHANISMS, document

ROOT = Path(__file__).resolve().parents[1]


def test_the_document_holds_the_table_as_the_machine_tables_have_it() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert document(text) == text, "run: python -m simulator.machine.mechanisms"


@pytest.mark.parametrize("each", MECHANISMS, ids=lambda each: each.name)
def test_what_a_mechanism_names_is_there(each) -> None:
    for path in each.where:
        assert (ROOT / path).is_file(), path
    for name in each.constants:
        assert name in machine("trn2").constants, name
    for test in each.tests:
        file, _, function = test.partition("::")
        assert f"def {function}(" in (ROOT / "tests" / file).read_text("utf-8"), test


def test_every_fitted_constant_belongs_to_a_mechanism() -> None:
    named = {name for each in MECHANISMS for name in each.constants}
    fitted = {n for n, c in machine("trn2").constants.items() if c.kind == "fitted"}
    assert {n for n in fitted - named if not n.startswith("interval.")} == set()
