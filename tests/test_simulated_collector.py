"""The simulator collector: identity by content, a cache that survives damage, runs out of plans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import factory
import numpy as np
import pytest

import qwen
from collectors.prompts import OPENINGS, prompts, scored
from collectors.request import KernelRequest, ProfileRequest
from collectors.simulated import assemble, cache, collect, identity, pool
from collectors.simulated.cache import Entry
from collectors.simulated.jobs import Failure, KernelJob, LaunchJob
from qwen import PlannedLaunch
from simulator.errors import BadKernel, KernelRefused, UnknownName

KERNEL = """
import nki
import nki.isa as nisa
import nki.language as nl
{extra}

@nki.jit
def double(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    tile = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.dma_copy(dst=tile, src=x)
    nisa.tensor_scalar(dst=tile, data=tile, op0=nl.multiply, operand0=2.0)
    nisa.dma_copy(dst=out, src=tile)
    return out
"""


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NKI_DASHBOARD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def kernel_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(KERNEL.format(extra=""))
    return path


def silent(*_: object) -> None:
    pass


def forget() -> None:
    """What a new process would not remember."""
    for each in (identity.file_hash, identity.folder_hash, identity.sources, identity.simulator):
        each.cache_clear()


def request(kernel_file: Path, **changes: Any) -> KernelRequest:
    given = KernelRequest(
        file=str(kernel_file),
        function="double",
        arguments={"x": np.ones((128, 64), np.float32)},
        target="trn3",
        session="s",
        label="double",
        lnc=1,
    )
    return replace(given, **changes)


def key_of(asked: KernelRequest) -> str:
    forget()
    return KernelJob(asked.file, asked.function, asked.arguments, asked.target, asked.lnc).key


def test_one_kernel_becomes_a_run_with_instructions_and_its_source(kernel_file: Path) -> None:
    run = collect.collect_kernel(request(kernel_file), silent)

    [launch] = run.launches
    [profile] = run.profiles.values()
    assert (launch.phase, launch.slot, launch.variant) == ("kernel", "double", "mine")
    assert launch.time_ns == profile.duration_ns > 0
    assert profile.tables["Instruction"].num_rows == profile.instructions
    assert KERNEL.format(extra="") in run.sources.values()
    assert run.configuration["source_files"]["mine.py"] in run.sources
    assert run.provenance == "simulated"


def test_the_same_request_has_the_same_profile_and_any_change_another(kernel_file: Path) -> None:
    first = key_of(request(kernel_file))
    assert key_of(request(kernel_file)) == first
    assert key_of(request(kernel_file, target="trn2")) != first
    assert key_of(request(kernel_file, lnc=2)) != first
    assert key_of(request(kernel_file, arguments={"x": np.ones((128, 32), np.float32)})) != first
    assert key_of(request(kernel_file, arguments={"x": np.zeros((128, 64), np.float32)})) != first
    kernel_file.write_text(KERNEL.format(extra="WIDTH = 1"))
    assert key_of(request(kernel_file)) != first


def test_a_helper_a_kernel_imports_is_part_of_its_identity(kernel_file: Path) -> None:
    helper = kernel_file.with_name("helper.py")
    helper.write_text("SCALE = 2.0\n")
    kernel_file.write_text(KERNEL.format(extra="from helper import SCALE"))
    first = key_of(request(kernel_file))

    helper.write_text("SCALE = 3.0\n")
    assert key_of(request(kernel_file)) != first


def test_kernels_of_the_package_depend_on_their_helpers() -> None:
    found = {path.name for path in identity.sources(identity.module_file("kernels.qkv"))}
    assert {"qkv.py", "blocks.py"} <= found


def test_a_second_run_simulates_nothing(kernel_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = collect.collect_kernel(request(kernel_file), silent)
    monkeypatch.setattr(pool, "perform", lambda *_: pytest.fail("simulated again"))
    second = collect.collect_kernel(request(kernel_file), silent)

    assert list(first.profiles) == list(second.profiles)
    assert first.run_id != second.run_id
    profile_id = next(iter(first.profiles))
    before, after = first.profiles[profile_id].tables, second.profiles[profile_id].tables
    assert all(before[name].equals(after[name]) for name in before)


@pytest.mark.parametrize("damage", ["truncate", "flip", "garbage", "missing table"])
def test_a_damaged_entry_is_simulated_again(kernel_file: Path, damage: str) -> None:
    first = collect.collect_kernel(request(kernel_file), silent)
    place = cache.folder() / "simulated"
    document = next(place.rglob("entry.json"))
    table = document.with_name("Instruction.arrow")
    content = table.read_bytes()
    if damage == "truncate":
        table.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        table.write_bytes(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    elif damage == "garbage":
        document.write_text("{")
    else:
        table.unlink()

    second = collect.collect_kernel(request(kernel_file), silent)
    assert list(first.profiles) == list(second.profiles)
    profile_id = next(iter(first.profiles))
    assert (
        second.profiles[profile_id]
        .tables["Instruction"]
        .equals(first.profiles[profile_id].tables["Instruction"])
    )


def test_an_entry_comes_back_as_it_was_written() -> None:
    profile = factory.profile()
    cache.write("ab" * 32, Entry(profile, {"k.py": "text"}, {"passed": True}, ("careful",)))
    read = cache.read("ab" * 32)
    assert read is not None
    assert read.profile is not None
    assert replace(read.profile, tables={}) == replace(profile, tables={})
    assert read.profile.tables["Flow"].equals(profile.tables["Flow"])
    assert (read.files, read.verdict, read.warnings) == ({"k.py": "text"}, {"passed": True}, ("careful",))
    assert cache.size()[0] == 1


def test_nothing_half_written_is_ever_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(cache, "_write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        cache.write("cd" * 32, Entry(factory.profile()))
    assert cache.read("cd" * 32) is None
    assert [path for path in (cache.folder() / "simulated").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "error",
    [
        KernelRefused("too wide", "narrow it", rule="partition", file="k.py", line=7),
        UnknownName("nki.isa.x is unknown", "NKI 0.9 has it"),
        BadKernel("no function", "name one"),
    ],
)
def test_a_kernels_error_survives_the_way_between_processes(error: Any) -> None:
    again = Failure.of(error).error()
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.hint == error.hint


def test_a_refused_kernel_is_refused_in_its_file_and_line(kernel_file: Path) -> None:
    wide = {"x": np.ones((256, 64), np.float32)}
    with pytest.raises(KernelRefused) as raised:
        collect.collect_kernel(request(kernel_file, arguments=wide), silent)
    assert raised.value.file.endswith("mine.py")
    assert raised.value.line > 0


@dataclass(frozen=True)
class Planned:
    """A small plan in place of the model's: two launches of one kernel and an estimate."""

    rows: tuple[PlannedLaunch, ...]

    def __call__(self, **_: object) -> tuple[PlannedLaunch, ...]:
        return self.rows


def estimate(count: int) -> PlannedLaunch:
    return PlannedLaunch(
        "host", ("host",), "estimate", "host", None, count, False, time_ns=1000, low_ns=500, high_ns=2000,
        formula="1 us",
    )  # fmt: skip


def norm(phase: str, tokens: int, count: int) -> PlannedLaunch:
    make: Callable[[int], dict[str, Any]] = partial(norm_arguments, tokens)
    return PlannedLaunch(
        slot="input_norm",
        covers=("input_norm",),
        variant="baseline",
        phase=phase,
        bucket=None,
        count=count,
        nki=True,
        module="kernels.rmsnorm",
        function="rmsnorm",
        arguments=make,
    )


def norm_arguments(tokens: int, seed: int) -> dict[str, Any]:
    from kernels.arguments import arguments
    from kernels.registry import variant
    from kernels.shapes import RANK, Situation

    at = Situation(tokens, tokens, 128, 0)
    return arguments(variant("input_norm", "baseline"), RANK, at, seed)


def profile_request(**changes: Any) -> ProfileRequest:
    given = ProfileRequest(
        prompt=prompts([3], "trn3")[0],
        seq_len=640,
        kernels=qwen.kernel_choice("baseline"),
        kernels_text="baseline",
        target="trn3",
        session="s",
        label="small",
        accuracy=False,
    )
    return replace(given, **changes)


@pytest.fixture
def small_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (norm("prefill", 128, 48), norm("decode", 1, 48 * 625), estimate(626))
    monkeypatch.setattr(qwen, "plan", Planned(rows))
    monkeypatch.setattr(pool, "ONE_PROCESS", 10)


@pytest.mark.usefixtures("small_plan")
def test_a_plan_becomes_a_run_in_the_plans_order_with_counts_and_provenance() -> None:
    run = collect.collect(profile_request(), silent)

    assert [(one.phase, one.count, one.provenance) for one in run.launches] == [
        ("prefill", 48, "simulated"),
        ("decode", 48 * 625, "simulated"),
        ("host", 626, "estimated"),
    ]
    assert run.launches[2].formula == "1 us"
    assert run.launches[2].profile_id is None
    assert set(run.profiles) == {one.profile_id for one in run.launches[:2]}
    assert run.new_tokens == 626
    assert run.environment["machine_tables"].startswith("sha256:")
    assert run.environment["git"].keys() == {"commit", "dirty"}
    assert run.accuracy is None


def test_kernels_the_plug_in_does_not_run_are_named_and_not_nkis(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (norm("prefill", 128, 48), replace(norm("decode", 1, 48 * 625), variant="whole", nki=False))
    monkeypatch.setattr(qwen, "plan", Planned(rows))
    monkeypatch.setattr(pool, "ONE_PROCESS", 10)
    run = collect.collect(profile_request(), silent)
    assert [one.nki for one in run.launches] == [True, False]
    assert [text for text in run.warnings if "plug-in" in text] == [
        "The NxD Inference plug-in does not run input_norm=whole; it does not count in the NKI share."
    ]


@pytest.mark.usefixtures("small_plan")
def test_repeat_keeps_a_sample_a_seed_only_where_data_move_the_time() -> None:
    run = collect.collect(profile_request(repeat=3), silent)
    assert [(each.launch, each.repetition) for each in run.samples] == [(0, 0), (1, 0)]
    assert run.configuration["repeat"] == 3


def test_samples_of_data_dependent_launches_are_all_kept() -> None:
    spread = [Entry(factory.profile(duration_ns=ns, data_dependent="ids")) for ns in (20_000, 24_000, 22_000)]
    samples = assemble._samples({0: spread})
    assert [each.value for each in samples] == [20_000, 24_000, 22_000]
    assert assemble._median(spread).duration_ns == 22_000


@pytest.mark.usefixtures("small_plan")
def test_a_run_at_another_length_has_no_official_baseline_and_says_why() -> None:
    run = collect.collect(profile_request(seq_len=128), silent)
    assert run.base_latency_ms is None
    assert any("640" in text for text in run.warnings)


@pytest.mark.usefixtures("small_plan")
def test_prompts_of_one_command_simulate_a_shared_launch_once() -> None:
    seen: list[str] = []
    runs = collect.collect_all(
        [profile_request(), profile_request()], lambda done, total, name: seen.append(f"{done}/{total}")
    )
    assert seen[-1] == "2/2"
    assert runs[0].run_id != runs[1].run_id
    assert runs[0].profiles.keys() == runs[1].profiles.keys()


def test_a_job_of_a_plan_is_identified_without_making_its_data() -> None:
    def make(_: int) -> dict[str, Any]:
        raise AssertionError("made the data")

    launch = norm("decode", 1, 1)
    assert launch.arguments is not None
    job = LaunchJob(
        "input_norm", "baseline", "decode", None, "kernels.rmsnorm", "rmsnorm", launch.arguments, 0, "trn3", 2
    )
    other = replace(job, seed=1)
    assert job.key != other.key
    assert replace(job, make=partial(make)).key != job.key


def test_the_public_prompts_have_their_real_token_counts_and_official_baselines() -> None:
    found = {one.number: one for one in prompts([], "trn3")}
    assert {number: one.tokens for number, one in found.items()} == {0: 20, 1: 192, 2: 54, 3: 14, 4: 512}
    assert (found[3].base_latency_ms, found[3].base_tokens_per_s) == (17177.15, 37.93)
    assert scored(found[3], 64).base_latency_ms is None
    assert prompts([4], "trn2")[0].base_tokens_per_s == 217.74


def test_a_clone_of_the_challenge_gives_texts_and_baselines(tmp_path: Path) -> None:
    texts = [OPENINGS[number] + " and so on" for number in range(5)]
    (tmp_path / "prompts.txt").write_text("\n\n".join(texts))
    (tmp_path / "prompt_data_trn3.csv").write_text(
        "Prompt ID, Context Length, Sequence Length, Base latency, Base throughput\n3,10,64,1000.5,99.5\n"
    )
    found = prompts([], "trn3", tmp_path)
    assert [one.tokens for one in found] == [20, 192, 54, 14, 512]
    assert found[3].text == texts[3]
    assert (found[3].base_latency_ms, found[3].recommended_seq_len) == (1000.5, 64)
    assert found[0].base_latency_ms is None
