"""NEFF and NTFF pairing over the layouts the runtime and the tools write."""

from pathlib import Path

import pytest
from standin.tool import make_neff, make_ntff

from collectors.device.pairing import expected_ntff, identify, pair_folder, pick, sha256, trace_of
from collectors.errors import DeviceError


def test_model_mode_pairs_by_id_and_sets_idle_cores_aside(tmp_path: Path) -> None:
    run = tmp_path / "i-0af76a70a6d3864dd_pid_713479"
    neff = make_neff(run / "neff_14382885777943380728.neff", "a")
    make_ntff(run / "14382885777943380728_instid_0_vnc_0.ntff", neff, 1)
    (run / "14382885777943380728_instid_0_vnc_1.ntff").touch()
    found = pair_folder(tmp_path)
    assert [trace.core for trace in found.pairs[0].traces] == [0]
    assert [trace.core for trace in found.idle] == [1]


def test_the_newer_names_and_a_timestamp_folder_pair_too(tmp_path: Path) -> None:
    run = tmp_path / "i-1_pid_2" / "20260821-110449"
    first = make_neff(run / "neff_395760075800974_vnc_0.neff", "a")
    second = make_neff(run / "neff_11_vnc_0.neff", "b")
    make_ntff(run / "395760075800974_vnc_0.ntff", first, 1)
    make_ntff(run / "11_vnc_0.ntff", second, 1)
    pairs = {pair.neff.name: pair.traces[0].path.name for pair in pair_folder(tmp_path).pairs}
    assert pairs == {
        "neff_395760075800974_vnc_0.neff": "395760075800974_vnc_0.ntff",
        "neff_11_vnc_0.neff": "11_vnc_0.ntff",
    }


def test_a_session_trace_belongs_to_every_neff_of_its_folder(tmp_path: Path) -> None:
    run = tmp_path / "i-1_pid_2" / "1"
    neffs = [make_neff(run / f"neff_{'ab' * 8}{n}_vnc_0.neff", str(n)) for n in range(2)]
    make_ntff(run / "profile_nc_0_session_0.ntff", neffs[0], 1)
    found = pair_folder(tmp_path)
    assert len(found.pairs) == 2
    assert {pair.traces[0].layout for pair in found.pairs} == {"session"}


def test_vllm_keeps_its_neffs_apart(tmp_path: Path) -> None:
    neff = make_neff(tmp_path / "neffs" / f"graph_{'0f' * 16}.neff", "g")
    make_ntff(tmp_path / "i-1_pid_2" / "1" / "profile_nc_0_session_1.ntff", neff, 1)
    assert pair_folder(tmp_path).pairs[0].neff == neff


def test_copies_of_one_neff_are_one_pair_and_unexecuted_ones_are_named(tmp_path: Path) -> None:
    neff = make_neff(tmp_path / "neff_7.neff", "a")
    make_neff(tmp_path / "neffs" / "neff_99.neff", "a")
    idle = make_neff(tmp_path / "neff_8.neff", "never ran")
    make_ntff(tmp_path / "7_vnc_0.ntff", neff, 1)
    found = pair_folder(tmp_path)
    assert [pair.sha256 for pair in found.pairs] == [sha256(neff)]
    assert found.unexecuted == (idle,)


def test_the_second_execution_is_picked_and_else_the_latest(tmp_path: Path) -> None:
    neff = make_neff(tmp_path / "k.neff", "a")
    names = ("profile.ntff", "profile_exec_2.ntff", "profile_exec_3.ntff", "profile_rank_1_exec_2.ntff")
    traces = [trace_of(make_ntff(tmp_path / name, neff, 1)) for name in names]
    assert pick(traces).path.name == "profile_exec_2.ntff"
    assert pick(traces, core=1).path.name == "profile_rank_1_exec_2.ntff"
    assert pick(traces[:1]).execution == 1


def test_equal_bytes_identify_the_graph_that_was_compiled(tmp_path: Path) -> None:
    compiled = make_neff(tmp_path / "compile" / "graph.neff", "tkg bucket 128")
    neff = make_neff(tmp_path / "run" / "neff_7.neff", "tkg bucket 128")
    make_ntff(tmp_path / "run" / "7_vnc_0.ntff", neff, 1)
    named = identify(pair_folder(tmp_path / "run").pairs, {sha256(compiled): "decode 128"})
    assert named["decode 128"].neff == neff


@pytest.mark.parametrize(
    ("executions", "nth", "worker", "name"),
    [
        (1, 1, None, "profile.ntff"),
        (2, 2, None, "profile_exec_2.ntff"),
        (6, 2, None, "profile_exec_6.ntff"),
        (2, 2, 0, "profile_rank_0_exec_2.ntff"),
    ],
)
def test_the_name_capture_will_write_is_known(
    executions: int, nth: int, worker: int | None, name: str
) -> None:
    assert expected_ntff(Path("/x/profile.ntff"), executions, nth, worker).name == name


def test_an_ntff_without_its_neff_is_named(tmp_path: Path) -> None:
    neff = make_neff(tmp_path / "neff_7.neff", "a")
    make_ntff(tmp_path / "7_vnc_0.ntff", neff, 1)
    make_ntff(tmp_path / "8_vnc_0.ntff", neff, 1)
    with pytest.raises(DeviceError, match=r"No NEFF here matches 8_vnc_0\.ntff"):
        pair_folder(tmp_path)


def test_nothing_captured_and_nothing_executed_are_two_errors(tmp_path: Path) -> None:
    neff = make_neff(tmp_path / "neff_7.neff", "a")
    with pytest.raises(DeviceError, match="holds no device profile"):
        pair_folder(tmp_path)
    (tmp_path / "7_vnc_0.ntff").touch()
    with pytest.raises(DeviceError, match="is empty: no core executed"):
        pair_folder(tmp_path)
    neff.unlink()
    make_ntff(tmp_path / "8_vnc_0.ntff", make_neff(tmp_path / "away" / "x.neff", "a"), 1)
    (tmp_path / "away" / "x.neff").unlink()
    with pytest.raises(DeviceError, match="no NEFF to read them with"):
        pair_folder(tmp_path)
