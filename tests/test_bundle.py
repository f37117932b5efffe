"""`collectors bundle`: what goes into the one file, under which names, and what is refused."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType

import pytest

from collectors.bundling.formatted import formatted
from collectors.bundling.inline import Inliner
from collectors.bundling.modules import BundleError
from collectors.bundling.submission import submission
from collectors.bundling.verify import checked, loads_alone, refuse_forbidden
from collectors.cli import main
from kernels.registry import kernel_choice, variant

SOURCES = {
    "pack.low": """
import math
import json

LIMIT = 3  # the most

def _scale(x):
    return x * math.pi

def used(x):
    return min(_scale(x), LIMIT)

def never(x):
    return json.dumps(x)
""",
    "pack.high": """
import somewhere_else
from pack.low import used as lower

def _scale(x):
    return [_scale for _scale in (x, -x)]

class Answer:
    lower = 1

    def give(self, LIMIT=2):
        # a comment that stays
        return lower(LIMIT), _scale(self.lower), [lower for lower in (1,)]
""",
    "pack.far": """
from pack.high import Answer
import somewhere_else

class Far(somewhere_else.Base):
    answer = Answer
""",
}


def inlined(*roots: tuple[str, str], **replaced: str) -> str:
    stand_in = {f"pack.{name}": text for name, text in replaced.items()}
    return Inliner("pack", SOURCES.__getitem__, stand_in).text(roots, ("somewhere_else",))


def run(text: str) -> ModuleType:
    module = ModuleType("made")
    code = compile(text, "made", "exec")
    exec(code, vars(module))
    return module


def test_names_that_collide_are_told_apart_and_locals_keep_theirs() -> None:
    text = inlined(("pack.high", "Answer"), high=SOURCES["pack.high"].replace("import somewhere_else\n", ""))
    made = run(text)
    assert made.Answer().give() == (3, [1, -1], [1])
    assert "# a comment that stays" in text
    assert "LIMIT = 3  # the most" in text


def test_an_imported_name_that_a_local_one_would_hide_is_refused() -> None:
    hides = "from pack.low import used as lower\n\ndef give(used):\n    return lower(used)\n"
    with pytest.raises(BundleError, match=r"pack\.high:4 would read its own used"):
        inlined(("pack.high", "give"), high=hides)


def test_what_nothing_uses_is_left_out() -> None:
    text = inlined(("pack.low", "used"))
    defined = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert defined == {"_scale", "used"}
    assert "import math" in text
    assert "json" not in text


def test_what_needs_an_absent_package_is_defined_only_where_it_is() -> None:
    made = run(inlined(("pack.far", "Far"), ("pack.low", "used")))
    assert made.used(1) == 3
    assert not hasattr(made, "Far")


def test_a_definition_reached_through_another_module_comes_before_its_use() -> None:
    first = "from pack.between import BASE\n\nVALUE = BASE + 1\n"
    made = run(inlined(("pack.a", "VALUE"), a=first, between="from pack.z import BASE\n", z="BASE = 2\n"))
    assert made.VALUE == 3


def test_a_module_that_does_something_when_imported_is_refused_by_line() -> None:
    with pytest.raises(BundleError, match=r"pack\.low:2 runs a statement"):
        inlined(("pack.low", "used"), low="\nprint(1)\n\ndef used(x):\n    return x\n")


@pytest.mark.parametrize("line", ["import subprocess", "x = eval('1')", "exec (code)"])
def test_what_the_challenge_refuses_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(BundleError, match="line 2 of the file"):
        refuse_forbidden(f"import os\n{line}\n")
    refuse_forbidden("def evaluate():\n    return execute\n")


@pytest.mark.parametrize("choice", ["baseline", "tuned"])
def test_the_file_defines_the_model_and_its_kernels_and_nothing_twice(choice: str) -> None:
    made = submission(kernel_choice(choice), choice)
    refuse_forbidden(made.text)
    tree = ast.parse(made.text)
    top = [n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    assert len(top) == len(set(top))
    assert {kernel.function for kernel, _ in made.kernels} <= set(top)
    classes = {n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
    assert {"NeuronQwen3MoeForCausalLM", "Qwen3MoeInferenceConfig"} <= classes
    imported = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not any((module or "").startswith(("kernels", "collectors", "qwen")) for module in imported)


@pytest.mark.parametrize(
    ("choice", "there", "absent"),
    [
        ("baseline", (), ("_fp8_experts", "qkv_by_core", "o_proj_by_core", "FP8_MAX")),
        ("tuned", ("qkv_by_core", "o_proj_by_core"), ("_fp8_experts", "FP8_MAX")),
        ("tuned,experts_decode=fp8", ("_fp8_experts", "FP8_MAX", "qkv_by_core"), ()),
    ],
)
def test_the_file_converts_weights_to_the_forms_its_kernels_read_and_no_other(
    choice: str, there: tuple[str, ...], absent: tuple[str, ...]
) -> None:
    text = submission(kernel_choice(choice), choice).text
    defined = {name for name in (*there, *absent) if f"def {name}(" in text or f"\n{name} = " in text}
    assert defined == set(there)


def test_the_file_is_in_the_formatters_format() -> None:
    made = submission(kernel_choice("tuned"), "tuned").text
    assert formatted(made) == made
    assert formatted("x=1") == "x = 1\n"


def test_kernels_of_the_file_run_as_those_of_the_source_tree(tmp_path: Path) -> None:
    made = submission(kernel_choice("tuned"), "tuned")
    path = tmp_path / "one_file.py"
    path.write_text(made.text)
    loads_alone(path, "norm_router")
    cheap = [pair for pair in made.kernels if pair[0].slot in {"router", "kv_update"}]
    rows = checked(path, cheap, lambda *_: None)
    assert [row.same for row in rows] == [True] * len(cheap)
    assert all(row.tree_ns > 0 for row in rows)


def test_a_kernel_whose_loop_data_ends_is_compared_with_its_loop_run(tmp_path: Path) -> None:
    choice = "tuned,experts_prefill=active"
    made = submission(kernel_choice(choice), choice)
    path = tmp_path / "bundle.py"
    path.write_text(made.text)
    active = variant("experts_prefill", "active")
    (row,) = checked(path, [(active, "prefill")], lambda *_: None)
    assert row.same
    assert row.instructions > 1000


def test_a_kernel_that_differs_is_refused(tmp_path: Path) -> None:
    made = submission(kernel_choice("baseline"), "baseline")
    path = tmp_path / "one_file.py"
    path.write_text(made.text.replace("BANK = 512", "BANK = 256"))
    cheap = [pair for pair in made.kernels if pair[0].slot == "aggregate"]
    with pytest.raises(BundleError, match="aggregate baseline differ"):
        checked(path, cheap, lambda *_: None)


def test_an_existing_file_is_kept_unless_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.py"
    path.write_text("mine")
    for arguments, told in (
        (["-o", str(path)], "--force"),
        (["-o", str(tmp_path / "mine.txt")], "FILE.py"),
        (["-o", str(tmp_path / "new.py"), "--kernels", "router=none"], "none"),
    ):
        monkeypatch.setattr(sys, "argv", ["collectors", "bundle", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert told in capfd.readouterr().err
    assert path.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["mine.py"]
