from __future__ import annotations

from dataclasses import replace

import factory
import pytest

from analysis import source_diff
from analysis.compare import compare
from analysis.lines import lines
from analysis.source_files import short, text_of
from app import source
from collectors.records import Run

TEXT = '''"""Two kernels."""


def plain(x):
    return x


@jit
def fused(
    x,
):
    return x + 1


BANK = 2
'''


def with_text(text: str, digest: str = "sha256:one") -> Run:
    run = factory.run("a")
    configuration = {**run.configuration, "source_files": {"kernels/pair.py": digest}}
    return replace(run, configuration=configuration, sources={digest: text})


@pytest.mark.parametrize("file", ["kernels/pair.py", "/home/me/project/kernels/pair.py", "pair.py"])
def test_a_file_is_found_by_the_path_a_profile_gives(file: str) -> None:
    assert text_of(with_text(TEXT), file) == TEXT
    assert short(with_text(TEXT), file) == "kernels/pair.py"


def test_another_file_of_a_similar_name_is_not_it() -> None:
    assert text_of(with_text(TEXT), "kernels/repair.py") is None
    assert short(with_text(TEXT), "/far/away/repair.py") == "away/repair.py"


def test_a_kernels_text_is_its_function_with_its_decorators() -> None:
    run = with_text(TEXT)
    assert source_diff.kernel_text(run, "kernels.pair.plain") == "def plain(x):\n    return x"
    assert source_diff.kernel_text(run, "kernels.pair.fused").startswith("@jit\ndef fused(")
    assert "BANK" not in source_diff.kernel_text(run, "kernels.pair.fused")


def test_text_that_is_no_python_is_shown_whole() -> None:
    assert source_diff.kernel_text(with_text("def broken(:"), "kernels.pair.broken") == "def broken(:"
    assert source_diff.kernel_text(with_text(TEXT), "kernels.pair.missing") == TEXT


def test_two_variants_in_one_file_are_compared_function_by_function() -> None:
    base, run = factory.run("baseline"), factory.run("tuned")
    row = next(
        row for row in compare(base, run).rows if row.slots == ("experts_decode",) and row.phase == "decode"
    )
    text = source_diff.kernels_diff(row, base, run)
    assert "-def experts_decode(x):" in text
    assert "+def experts_decode_prefetched(x):" in text
    unchanged = next(row for row in compare(base, run).rows if row.status == "unchanged")
    assert source_diff.kernels_diff(unchanged, base, run) == ""


def test_lines_that_cost_nothing_fold_away() -> None:
    profile = factory.profile()
    found = lines(profile.duration_ns, profile.tables)
    assert found is not None
    text = "\n".join(f"line {number}" for number in range(1, 101))
    run = replace(with_text(text), configuration={"source_files": {"kernels/router.py": "sha256:one"}})
    [file] = source.files(found)
    drawn = source.heat(found, file, run, profile.duration_ns)
    last = max(line.line for line in found.lines)
    assert f">line {last}<" in drawn
    assert ">line 100<" not in drawn
    assert f"⋯ {100 - last - source.CONTEXT} lines" in drawn
    assert ">line 1<" in drawn
