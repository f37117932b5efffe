"""Calls of the profiler, against the stand-in that accepts only the documented command line."""

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from standin import accepted
from standin import tool as standin
from standin.machine import BIN, behave, machine

from collectors.device.failures import PhaseError
from collectors.device.host import Tool
from collectors.device.processing import Progress, process, row_counts
from collectors.device.tools import arguments, capture, summary
from collectors.device.versions import Option, options, release
from collectors.errors import DeviceError


@pytest.fixture
def explorer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tool:
    behave(monkeypatch)
    return machine(tmp_path / "root").tool()


@pytest.fixture
def neff(tmp_path: Path) -> Path:
    return standin.make_neff(tmp_path / "kernel.neff", "kernel", ("x", "w"))


def old_tool(version: str = "2.28.23.0") -> Tool:
    return Tool("neuron-profile", BIN / "neuron-profile", version, release(version))


def sayings() -> list[tuple[str, Option]]:
    """Every option we may type, with each tool that we type it to."""
    return [
        (tool, row)
        for command in ("capture", "view")
        for row in options(command).values()
        for tool in row.tools
    ]


def known(tool: str, option: Option) -> dict[str, str]:
    """What the documented command line takes, and what builds take though no reference lists it."""
    documented = accepted.CAPTURE if option.command == "capture" else accepted.VIEW[tool]
    return documented if option.documented else documented | accepted.SEEN


@pytest.mark.parametrize(("tool", "option"), sayings(), ids=lambda each: getattr(each, "name", each))
def test_every_option_we_type_is_documented_and_any_other_spelling_of_it_is_refused(
    tool: str, option: Option
) -> None:
    words = [option.spelling] if option.flag else [option.spelling, "1"]
    assert list(standin.parse(words, known(tool, option))[0]) == [option.spelling]
    wrong = [[f"{option.spelling}x", *words[1:]], [option.spelling.upper() + "_", *words[1:]]]
    wrong += [[option.spelling, "1"], [f"{option.spelling}=1"]] if option.flag else [[option.spelling]]
    for each in wrong:
        with suppress(standin.Refused):
            _, positional = standin.parse(each, known(tool, option))
            assert positional, f"the stand-in takes {each}"


def captured(tool: Tool, neff: Path, tmp_path: Path) -> Path:
    return capture(tool, neff, tmp_path / "profile.ntff").ntff


def test_the_tool_on_path_is_found_with_its_release(explorer: Tool) -> None:
    assert (explorer.name, explorer.version[:9], explorer.release.sdk) == (
        "neuron-explorer",
        "2.31.15.0",
        "2.31",
    )


def test_a_capture_profiles_the_second_execution(explorer: Tool, neff: Path, tmp_path: Path) -> None:
    shot = capture(explorer, neff, tmp_path / "profile.ntff")
    assert shot.ntff.name == "profile_exec_2.ntff"
    assert shot.execution == 2
    assert shot.zero_inputs


def test_a_capture_of_several_workers_reads_the_first_ones_file(
    explorer: Tool, neff: Path, tmp_path: Path
) -> None:
    shot = capture(explorer, neff, tmp_path / "profile.ntff", workers=4)
    assert shot.ntff.name == "profile_rank_0_exec_2.ntff"
    assert not list(tmp_path.glob("profile_rank_1*"))


def test_inputs_are_given_by_name(explorer: Tool, neff: Path, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"")
    assert not capture(explorer, neff, tmp_path / "p.ntff", inputs={"x": tmp_path / "x.npy"}).zero_inputs
    with pytest.raises(PhaseError, match="capture phase failed"):
        capture(explorer, neff, tmp_path / "p.ntff", inputs={"y": tmp_path / "x.npy"})


@pytest.mark.parametrize("version", ["2.27.33.0", "2.28.23.0", "2.29.18.0"])
def test_the_old_spelling_captures_too(
    monkeypatch: pytest.MonkeyPatch, neff: Path, tmp_path: Path, version: str
) -> None:
    behave(monkeypatch, version=version)
    assert captured(old_tool(version), neff, tmp_path).name == "profile_exec_2.ntff"


def test_the_old_tool_is_not_asked_for_what_it_lacks(neff: Path, tmp_path: Path) -> None:
    words = arguments(old_tool(), "view", {"neff": neff, "disable_ui": True, "status_file": tmp_path / "s"})
    assert words[1:] == ["view", "-n", str(neff)]
    with pytest.raises(DeviceError, match="has no --ignore-system-profile"):
        arguments(old_tool(), "view", {"neff": neff, "ignore_system_profile": True})


def test_a_capture_that_writes_nothing_is_an_error(
    monkeypatch: pytest.MonkeyPatch, explorer: Tool, neff: Path, tmp_path: Path
) -> None:
    behave(monkeypatch, "no-ntff")
    with pytest.raises(PhaseError, match=r"wrote no profile_exec_2\.ntff"):
        captured(explorer, neff, tmp_path)


def test_nan_in_the_outputs_is_a_warning_when_the_profile_is_there(
    monkeypatch: pytest.MonkeyPatch, explorer: Tool, neff: Path, tmp_path: Path
) -> None:
    behave(monkeypatch, "nan")
    (tmp_path / "x.npy").write_bytes(b"")
    shot = capture(explorer, neff, tmp_path / "p.ntff", inputs={"x": tmp_path / "x.npy"})
    assert "NaN" in shot.warnings[0]


@pytest.mark.parametrize(
    ("failure", "cause", "mend"),
    [
        ("oom", "ran out of memory", "NKI_DASHBOARD_DEVICE_PROFILE=off"),
        ("version", "NTFF version 4", "Upgrade aws-neuronx-tools"),
        ("uuid", "different compilations", "Delete the compile cache"),
        ("disk", "disk is full", "Free some space"),
        ("dge", "DGE notifications", "NKI_DASHBOARD_DGE=0"),
        ("incomplete", "before the end", "size of the NTFF"),
        ("busy", "holds the NeuronCores", "neuron-ls"),
    ],
)
def test_known_failures_are_named_with_a_remedy_and_the_log(
    monkeypatch: pytest.MonkeyPatch,
    explorer: Tool,
    neff: Path,
    tmp_path: Path,
    failure: str,
    cause: str,
    mend: str,
) -> None:
    behave(monkeypatch, f"fail={failure}")
    with pytest.raises(PhaseError) as raised:
        captured(explorer, neff, tmp_path)
    assert cause in raised.value.message
    assert mend in raised.value.hint
    assert raised.value.phase == "capture"
    assert standin.FAILURES[failure] in "\n".join(raised.value.log_tail)


def test_a_tool_that_never_answers_is_ended(
    monkeypatch: pytest.MonkeyPatch, explorer: Tool, neff: Path, tmp_path: Path
) -> None:
    behave(monkeypatch, "hang")
    with pytest.raises(PhaseError, match="gave no answer"):
        capture(explorer, neff, tmp_path / "p.ntff", timeout_s=0.0)


def test_a_summary_is_read_between_log_lines(
    monkeypatch: pytest.MonkeyPatch, explorer: Tool, neff: Path, tmp_path: Path
) -> None:
    ntff = captured(explorer, neff, tmp_path)
    behave(monkeypatch, "log-lines")
    record = summary(explorer, neff, ntff, tmp_path / "summary.log")
    assert [key[:2] for key in record] == ["n_"]


@pytest.mark.parametrize("manners", ["", "serves", "strict", "strict,serves", "busy-port"])
def test_processing_ends_with_whole_tables_whatever_the_tool_does(
    monkeypatch: pytest.MonkeyPatch, explorer: Tool, neff: Path, tmp_path: Path, manners: str
) -> None:
    ntff = captured(explorer, neff, tmp_path)
    behave(monkeypatch, manners)
    done = process(explorer, neff, ntff, tmp_path / "out", poll_s=0.05)
    counts = row_counts(done.path)
    assert counts["Summary"] == 1
    assert counts["Instruction"] == 6
    assert counts["Warning"] == 0


def test_headers_without_rows_are_work_in_progress_not_a_result(
    monkeypatch: pytest.MonkeyPatch, explorer: Tool, neff: Path, tmp_path: Path
) -> None:
    ntff = captured(explorer, neff, tmp_path)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    behave(monkeypatch, f"serves,gate={gate}")
    seen: list[Progress] = []
    released = threading.Event()

    def watch(progress: Progress) -> None:
        seen.append(progress)
        if progress.tables == 8 and not released.is_set():
            released.set()
            gate.open("wb").close()

    done = process(explorer, neff, ntff, tmp_path / "out", poll_s=0.05, watch=watch)
    waiting = next(progress for progress in seen if progress.tables == 8)
    assert (waiting.filled, waiting.rows) == (0, 0)
    assert row_counts(done.path)["Instruction"] == 6


def test_a_tool_that_ends_after_the_headers_has_failed(
    monkeypatch: pytest.MonkeyPatch, explorer: Tool, neff: Path, tmp_path: Path
) -> None:
    ntff = captured(explorer, neff, tmp_path)
    behave(monkeypatch, "headers-only")
    with pytest.raises(PhaseError, match="headers but no rows"):
        process(explorer, neff, ntff, tmp_path / "out", poll_s=0.05)


def test_processing_that_stalls_is_ended_when_its_time_is_up(
    monkeypatch: pytest.MonkeyPatch, explorer: Tool, neff: Path, tmp_path: Path
) -> None:
    ntff = captured(explorer, neff, tmp_path)
    behave(monkeypatch, "hang")
    with pytest.raises(PhaseError, match="not done after 0 s"):
        process(explorer, neff, ntff, tmp_path / "out", timeout_s=0.0, poll_s=0.01)


def test_a_mismatched_pair_is_refused_while_processing(explorer: Tool, neff: Path, tmp_path: Path) -> None:
    other = standin.make_neff(tmp_path / "other.neff", "other")
    ntff = standin.make_ntff(tmp_path / "other.ntff", other, 1)
    with pytest.raises(PhaseError, match="different compilations"):
        process(explorer, neff, ntff, tmp_path / "out", poll_s=0.05)


def test_the_old_tool_writes_json_instead_of_tables(
    monkeypatch: pytest.MonkeyPatch, neff: Path, tmp_path: Path
) -> None:
    behave(monkeypatch, version="2.28.23.0")
    ntff = captured(old_tool(), neff, tmp_path)
    done = process(old_tool(), neff, ntff, tmp_path / "out")
    assert done.format == "json"
    assert '"instruction"' in done.path.read_text()
