"""Child programs: what they say is heard, and when one dies the phase it was in is known."""

import os
import sys
from pathlib import Path

import pytest

from collectors.device.children import Heard, run_child
from collectors.device.failures import PhaseError

ROOT = Path(__file__).resolve().parents[1]
HEAD = """
import os, signal, sys
from collectors.device.events import Events
events = Events(int(sys.argv[-1]))
"""


def child(folder: Path, body: str, timeout_s: float = 60.0, python: str = sys.executable) -> Heard:
    (folder / "program.py").write_text(HEAD + body)
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    return run_child(
        "program", [], {"a": 1}, python=python, environ=environ, folder=folder / "run", timeout_s=timeout_s
    )


def test_events_and_logged_phases_are_heard_and_prints_go_to_the_log(tmp_path: Path) -> None:
    heard = child(
        tmp_path,
        "with events.phase('compile'):\n"
        "    print('Neuron: Generated all HLOs in 90.19 seconds')\n"
        "events.samples('e2e_ns', [1.0, 2.0], repetition=0)\n"
        "events.emit('facts', new_tokens=9)\n",
    )
    assert heard.phase_seconds["trace"] == 90.19
    assert "compile" in heard.phase_seconds
    assert heard.samples[0]["values"] == [1.0, 2.0]
    assert heard.facts == {"new_tokens": 9}
    assert "HLOs" in (tmp_path / "run" / "program.log").read_text()


def test_a_child_that_is_killed_names_the_phase_it_was_in(tmp_path: Path) -> None:
    with pytest.raises(PhaseError, match="The load phase failed") as raised:
        child(tmp_path, "with events.phase('load'):\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    assert raised.value.phase == "load"


def test_a_child_that_never_ends_is_ended_in_its_phase(tmp_path: Path) -> None:
    with pytest.raises(PhaseError, match=r"The (generate|start) phase failed: It was not done after 0 s"):
        child(tmp_path, "with events.phase('generate'):\n    signal.pause()\n", timeout_s=0.0)


def test_a_missing_module_in_the_child_says_which_python_to_name(tmp_path: Path) -> None:
    with pytest.raises(PhaseError, match="has no torch_neuronx") as raised:
        child(tmp_path, "with events.phase('import'):\n    import torch_neuronx\n")
    assert "NKI_DASHBOARD_NEURON_PYTHON" in raised.value.hint


def test_a_python_that_does_not_exist_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(PhaseError, match="No such file"):
        child(tmp_path, "", python=str(tmp_path / "python"))
