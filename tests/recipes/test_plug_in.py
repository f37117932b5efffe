"""The plug-in on the real source of NxD Inference; clones of it and of NxD lie in NKI_CLONES."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NXD = ("neuronx-distributed", "neuronx-distributed-inference")
PROMPTS = (
    "w3 w4 w5 w6 w7 w8 w9 w10 w11 w12 w13 w14 w15",
    "w400 w41 w7 w7 w301 w200 w11 w80 w90 w100 w5 w6 w33",
)


def clones(*names: str) -> Path:
    """Where the clones lie; skips where one is missing."""
    where = Path(os.environ.get("NKI_CLONES", ROOT.parent))
    missing = [name for name in names if not (where / name).is_dir()]
    if missing:
        pytest.skip(f"no clone of {', '.join(missing)} in NKI_CLONES or beside the repository")
    return where


def run(recipe: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A recipe in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name(recipe)), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=cwd)


def generated(*arguments: object) -> str:
    """What plug_in_generates.py prints, which must have passed."""
    result = run("plug_in_generates.py", clones(*NXD), *arguments)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    return result.stdout


def shares(printed: str) -> list[float]:
    """The kernels' part of every graph's multiply-accumulates."""
    return [float(found) for found in re.findall(r": ([\d.]+) of its multiply-accumulates", printed)]


@pytest.mark.parametrize(
    ("choice", "seed", "launched"),
    [
        ("tuned", 0, ("qkv=fused", "o_proj=rows", "attention_decode=block", "lm_head=tiles")),
        ("tuned", 1, ("kv_update=baseline", "experts_prefill=resident", "experts_decode=block")),
        ("baseline", 2, ("input_norm=baseline", "qk_norm_rope=baseline", "final_norm=baseline")),
        ("tuned,attention_decode=cached,experts_decode=routed", 3, ("attention_decode=cached",)),
        ("tuned,experts_decode=fp8,lm_head=wide", 4, ("experts_decode=fp8", "lm_head=wide")),
    ],
)
def test_prefill_and_32_steps_give_the_tokens_of_transformers(
    choice: str, seed: int, launched: tuple[str, ...]
) -> None:
    printed = generated("--kernels", choice, "--seed", seed, "--steps", 32)
    assert "greedy tokens equal: 33 of 33" in printed
    assert all(kernel in printed for kernel in launched)
    assert len(shares(printed)) == 2
    assert min(shares(printed)) > 0.999, "nothing but RoPE's angles is left to NxD Inference's own products"


@pytest.mark.parametrize(
    ("prompt", "seq_len", "steps", "ran"),
    [
        (1, 128, 8, ("context_encoding_model bucket 128",)),
        (128, 256, 2, ("context_encoding_model bucket 256", "token_generation_model bucket 256")),
        (127, 128, 0, ("context_encoding_model bucket 128",)),
        (122, 256, 10, ("token_generation_model bucket 128", "token_generation_model bucket 256")),
        (300, 640, 1, ("context_encoding_model bucket 640", "token_generation_model bucket 640")),
    ],
)
def test_prompts_of_one_token_of_whole_buckets_and_across_a_border_are_right(
    prompt: int, seq_len: int, steps: int, ran: tuple[str, ...]
) -> None:
    printed = generated("--prompt", prompt, "--seq-len", seq_len, "--steps", steps)
    assert f"greedy tokens equal: {steps + 1} of {steps + 1}" in printed
    assert all(graph in printed for graph in ran)


def test_other_buckets_than_the_challenges_run_too() -> None:
    buckets = [
        "--change",
        "context_encoding_buckets=[48, 512]",
        "--change",
        "token_generation_buckets=[130, 512]",
    ]
    printed = generated("--seq-len", 512, "--prompt", 60, "--steps", 1, *buckets)
    assert "context_encoding_model bucket 512" in printed
    assert "token_generation_model bucket 130" in printed


@pytest.mark.parametrize("choice", ["tuned", "baseline", "tuned,experts_decode=fp8"])
def test_four_ranks_together_are_the_whole_model(choice: str) -> None:
    printed = generated("--ranks", 4, "--kernels", choice, "--steps", 6)
    assert "greedy tokens equal: 7 of 7" in printed


def test_a_head_tied_to_the_embedding_and_boundary_markers_and_fused_qkv_run() -> None:
    changes = ("tie_word_embeddings=True", "layer_boundary_markers=True", "fused_qkv=True")
    generated("--steps", 3, *(part for change in changes for part in ("--change", change)))


def test_a_whole_layer_runs_as_one_kernel_in_decode() -> None:
    printed = generated("--kernels", "tuned,attention_decode=layer", "--steps", 6)
    assert "greedy tokens equal: 7 of 7" in printed
    assert "'attention_decode=layer': 12" in printed
    assert "experts_decode" not in printed


def test_what_the_kernels_do_not_run_is_refused_and_other_checkpoints_are_taken() -> None:
    result = run("plug_in_refuses.py", clones(*NXD))
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    assert "taken: all" in result.stdout


def challenge(tmp_path: Path, module: Path, *arguments: str) -> str:
    """What main.py of the challenge prints on four ranks with `module` as its `qwen_with_nki`."""
    where = clones(*NXD, "nki-moe")
    fixed = ("--enable-nki", "--platform-target", "trn3", "--seq-len", "16")
    result = run("plug_in_main.py", where, module, tmp_path, *fixed, *arguments)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result.stdout


def test_main_py_of_the_challenge_evaluates_the_plug_in_on_four_ranks(tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("\n\n".join(PROMPTS))
    rows = "".join(f"{number},1,16,1000.0,10.0\n" for number in range(len(PROMPTS)))
    (tmp_path / "prompt_data_trn3.csv").write_text(f"id,context,sequence,latency,throughput\n{rows}")
    printed = challenge(tmp_path, ROOT / "qwen.py", "--mode", "evaluate_all")
    assert printed.count("Passed logits validation") == len(PROMPTS)
    (records,) = tmp_path.glob("*score_records.csv")
    with records.open() as file:
        found = list(csv.DictReader(file))
    assert [row["accuracy"] for row in found] == ["True"] * len(PROMPTS)
    assert all(float(row["nki_flop_ratio"]) > 0.999 for row in found)
    assert "Total Score" in printed


def test_main_py_of_the_challenge_validates_the_bundled_file(tmp_path: Path) -> None:
    clones(*NXD, "nki-moe")
    file = tmp_path / "qwen_with_nki.py"
    bundled = subprocess.run(
        [sys.executable, "-m", "collectors", "bundle", "-o", str(file)], capture_output=True, check=False
    )
    assert bundled.returncode == 0, bundled.stderr
    (tmp_path / "run").mkdir()
    printed = challenge(tmp_path / "run", file, "--mode", "validate", "--prompt", PROMPTS[0])
    assert "Validation passed." in printed
    assert all(kernel in printed for kernel in ("lm_head=tiles", "qkv=fused", "experts_decode=block"))
