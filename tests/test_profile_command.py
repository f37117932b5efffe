"""`collectors profile` for real: a kernel file of one's own, a prompt of the challenge, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from collectors.store.door import Store

ROOT = Path(__file__).parents[1]

KERNEL = """
import nki
import nki.isa as nisa
import nki.language as nl

@nki.jit
def scale(x, factor):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x)
    nisa.tensor_scalar(dst=tile, data=tile, op0=nl.multiply, operand0=factor)
    nisa.dma_copy(dst=out, src=tile)
    return out
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(KERNEL)
    return tmp_path


def collectors(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "collectors", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def kernel(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    given = ["--kernel", "mine.py::scale", "--arg", "x=bf16[128,512]", "--arg", "factor=2.0"]
    return collectors(folder, "profile", *given, "--lnc", "1", *more)


def test_a_kernel_file_of_ones_own_becomes_a_run_in_this_folders_database(folder: Path) -> None:
    done = kernel(folder, "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1

    run = Store(folder / "runs.db").load(shown["run_id"])
    [launch] = run.launches
    assert launch.phase == "kernel"
    assert shown["launches"][0]["time_us"] == launch.time_ns / 1000
    assert run.configuration["arguments"] == {"x": "bf16[128,512]", "factor": "2.0"}
    assert KERNEL in run.sources.values()


def test_without_a_device_it_says_in_one_line_that_it_simulates(folder: Path) -> None:
    lines = kernel(folder).stderr.splitlines()
    assert [line for line in lines if "simulating trn3" in line] == lines[:1]


def test_several_ranks_run_a_kernel_together_and_the_run_says_which_arguments_are_their_own(
    folder: Path,
) -> None:
    (folder / "ranks.py").write_text((Path(__file__).with_name("collective_kernels.py")).read_text())
    given = ("--kernel", "ranks.py::gathered", "--arg", "x=fp32[4,8] by rank", "--arg", "groups=[[0,1,2,3]]")
    done = collectors(folder, "profile", *given, "--lnc", "1", "--ranks", "4")
    assert done.returncode == 0, done.stderr
    assert "4 ranks, their own x" in done.stdout
    (run,) = Store(folder / "runs.db").runs()
    assert (run.configuration["ranks"], run.configuration["arguments_by_rank"]) == (4, ["x"])


def test_a_real_input_file_is_taken(folder: Path) -> None:
    np.save(folder / "x.npy", np.ones((64, 128), np.float32))
    given = ("--kernel", "mine.py::scale", "--arg", "x=@x.npy", "--arg", "factor=3")
    done = collectors(folder, "profile", *given, "--lnc", "1", "--json", "--backend", "simulator")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say what to profile"),
        (("--prompt", "3", "--kernel", "mine.py::scale"), "say what to profile"),
        (("--prompt", "9"), "there is no prompt 9"),
        (("--prompt", "3", "--kernels", "fastest"), "'fastest' is no choice of kernels"),
        (("--prompt", "3", "--kernels", "router=fastest"), "slot 'router' has no variant 'fastest'"),
        (("--prompt", "3", "--seq-len", "200"), "sequence length 200 is not supported"),
        (("--prompt", "3", "--seq-len", "long"), "--seq-len 'long' is not a number"),
        (("--prompt", "3", "--batch", "2"), "batch 2 is not supported"),
        (("--prompt", "3", "--arg", "x=1"), "--arg belongs to --kernel"),
        (("--prompt", "3", "--ranks", "4"), "--ranks belongs to --kernel"),
        (("--kernel", "mine.py"), "is not FILE.py::FUNCTION"),
        (("--kernel", "yours.py::f"), "there is no file yours.py"),
        (("--kernel", "mine.py::scale", "--arg", "x=bf17[2]"), "there is no type 'bf17'"),
        (("--kernel", "mine.py::scale", "--arg", "x"), "is not NAME=VALUE"),
        (("--kernel", "mine.py::scale", "--arg", "x=bf16"), "x=bf16 has no shape"),
        (("--kernel", "mine.py::scale", "--arg", "x=bf16[8,8]"), "'factor'"),
        (("--kernel", "mine.py::scale", "--arg", "x=@none.npy"), "cannot read none.npy"),
        (("--kernel", "mine.py::absent", "--arg", "x=1"), "absent"),
        (("--kernel", "mine.py::scale", "--arg", "x=bf16[256,64]", "--arg", "factor=2.0"), "mine.py:"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_and_nothing_is_stored(
    folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = collectors(folder, "profile", *arguments, "--backend", "simulator")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (folder / "runs.db").exists()


@pytest.mark.skipif(Path("/dev/neuron0").exists(), reason="this machine has a Neuron device")
def test_asking_for_a_device_that_is_not_there_names_what_is_missing(folder: Path) -> None:
    done = kernel(folder, "--backend", "neuron")
    assert done.returncode == 2
    assert "neuron" in done.stderr.lower()
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def prompt_3(tmp_path_factory: pytest.TempPathFactory, cache_folder: Path) -> tuple[Path, dict[str, Any]]:
    """Prompt 3 on tuned kernels, profiled for real once: the folder and what was printed."""
    folder = tmp_path_factory.mktemp("prompt")
    environment = os.environ | {"NKI_DASHBOARD_CACHE": str(cache_folder)}
    command = [sys.executable, "-m", "collectors", "profile", "--prompt", "3", "--kernels", "tuned", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return folder, shown


def test_a_prompt_prints_the_keys_it_promises(prompt_3: tuple[Path, dict[str, Any]]) -> None:
    assert list(prompt_3[1]) == [
        "run_id",
        "provenance",
        "target",
        "prompt",
        "kernels",
        "prefill_ms",
        "decode_ms_per_token",
        "e2e_ms",
        "tokens_per_s",
        "batch",
        "decode_tokens_per_s",
        "padding",
        "points",
        "nki_flops_share",
        "accuracy",
        "wall_s",
        "end_to_end",
        "launches",
    ]


def test_a_prompt_has_every_slot_once_a_phase_and_estimates_for_what_no_kernel_does(
    prompt_3: tuple[Path, dict[str, Any]],
) -> None:
    folder, shown = prompt_3
    run = Store(folder / "runs.db").load(shown["run_id"])
    decode = [slot for launch in run.launches if launch.phase == "decode" for slot in launch.covers]
    assert {"input_norm", "qkv", "attention_decode", "router", "experts_decode", "lm_head"} <= set(decode)
    estimated = {launch.slot for launch in run.launches if launch.provenance == "estimated"}
    assert estimated == {"embedding", "all_reduce", "sampling", "host"}
    assert all(launch.formula for launch in run.launches if launch.provenance == "estimated")
    assert sum(row["share"] for row in shown["launches"]) == pytest.approx(1)


def test_tuned_kernels_pass_every_check_of_accuracy(prompt_3: tuple[Path, dict[str, Any]]) -> None:
    folder, shown = prompt_3
    run = Store(folder / "runs.db").load(shown["run_id"])
    assert [check for check in run.checks if not check.passed] == []
    assert any(check.name == "small model against transformers" for check in run.checks)
    assert shown["accuracy"] == 1
    assert shown["points"] > 0


def test_every_instruction_of_every_distinct_launch_is_stored(
    prompt_3: tuple[Path, dict[str, Any]],
) -> None:
    folder, shown = prompt_3
    store = Store(folder / "runs.db")
    run = store.load(shown["run_id"])
    for profile in run.profiles.values():
        opcodes = store.table(profile.profile_id, "Instruction")["opcode"].to_pylist()
        # Loads of activation tables are the hardware's own: nobody wrote them.
        assert len([opcode for opcode in opcodes if opcode != "ACT_TABLE_LOAD"]) == profile.instructions


def test_the_same_prompt_again_shares_every_profile(prompt_3: tuple[Path, dict[str, Any]]) -> None:
    folder, shown = prompt_3
    environment = ["profile", "--prompt", "3", "--kernels", "tuned", "--label", "again", "--json"]
    again = json.loads(collectors(folder, *environment).stdout)
    store = Store(folder / "runs.db")
    assert store.load(again["run_id"]).profiles.keys() == store.load(shown["run_id"]).profiles.keys()
    assert again["decode_ms_per_token"] == shown["decode_ms_per_token"]


def test_killed_while_profiling_it_leaves_no_half_run_and_the_next_profile_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel(folder)
    monkeypatch.setenv("NKI_DASHBOARD_CACHE", str(folder / "cold"))
    command = [sys.executable, "-m", "collectors", "profile", "--prompt", "4", "--backend", "simulator"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any("entry.json" in files for _, _, files in os.walk(folder / "cold")):
        assert process.poll() is None, "it ended before it left anything"
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    psutil.wait_procs(workers)

    assert len(Store(folder / "runs.db").runs()) == 1
    assert kernel(folder, "--label", "after").returncode == 0
    assert [run.label for run in Store(folder / "runs.db").runs()] == ["after", "scale"]
