"""The checks of the device chain, the SDK table behind them, and the report."""

import json
from pathlib import Path

import pytest
from standin.machine import behave, machine

from collectors import device
from collectors.device.detect import Finding, require_device
from collectors.device.host import Host, json_in
from collectors.device.variables import contradicting, ignored
from collectors.device.versions import fitting_releases, formats, release, releases, releases_with
from collectors.errors import DeviceError


def with_packages(host: Host, **packages: str) -> Host:
    host.__dict__["packages"] = {name.replace("_", "-"): version for name, version in packages.items()}
    return host


def finding(host: Host, name: str) -> Finding:
    return next(found for found in device.checks(host) if found.name == name)


def test_a_bare_machine_is_told_what_to_install(tmp_path: Path) -> None:
    host = Host(tmp_path, {"PATH": ""})
    failed = {found.name for found in device.checks(host) if found.ok is False}
    assert {"device", "driver", "runtime", "profiler", "nki", "NxD Inference"} <= failed
    assert all(found.mend for found in device.checks(host) if found.ok is False)
    with pytest.raises(
        DeviceError, match=r"no Neuron device.*not loaded.*no libnrt.*neither neuron-explorer"
    ):
        require_device(host)


def test_a_whole_machine_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    behave(monkeypatch)
    host = machine(tmp_path)
    require_device(host)
    assert finding(host, "device").detail == "1 Neuron devices, 4 NeuronCores, trn2.48xlarge"
    assert finding(host, "profiler").ok
    assert host.target == "trn2"
    assert device.device_present(host)


def test_tools_in_awss_own_folder_are_found_without_path(tmp_path: Path) -> None:
    tool = tmp_path / "opt/aws/neuron/bin/neuron-explorer"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\necho neuron-explorer 2.32.0.495-1666fb8\n")
    tool.chmod(0o755)
    found = Host(tmp_path, {"PATH": ""}).tool()
    assert (found.path, found.release.sdk) == (tool, "2.32")


def test_packages_of_one_release_fit_and_of_two_do_not(tmp_path: Path) -> None:
    good = with_packages(machine(tmp_path), nki="0.3.0", neuronx_cc="2.24.5133.0+58f8de22")
    assert finding(good, "versions").detail == "all of SDK 2.29"
    mixed = with_packages(machine(tmp_path), nki="0.5.0", neuronx_cc="2.24.5133.0")
    assert finding(mixed, "versions").ok is False
    assert "nki 0.5.0 (SDK 2.31)" in finding(mixed, "versions").detail


def test_a_release_that_does_not_know_the_chip_is_named(tmp_path: Path) -> None:
    host = with_packages(machine(tmp_path, instance="trn3pd98.3xlarge"), nki="0.2.0")
    assert host.target == "trn3"
    assert finding(host, "versions").detail == "SDK 2.28 does not support trn3"


def test_tools_older_than_the_runtime_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    behave(monkeypatch, version="2.29.18.0")
    host = with_packages(machine(tmp_path), aws_neuronx_runtime_lib="2.33.10.0")
    assert finding(host, "tools and runtime").detail == "tools of SDK 2.29, runtime of SDK 2.31"
    assert finding(host, "tools and runtime").ok is False


def test_a_tool_from_the_future_is_used_and_said_to_be_unknown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    behave(monkeypatch, version="2.40.1.0")
    host = machine(tmp_path)
    assert host.tool().release.sdk == releases()[-1].sdk
    assert finding(host, "profiler").ok is None


def test_sdk_2_32_has_no_nxd_inference_any_more() -> None:
    with_model = [row.sdk for row in releases() if "neuronx-distributed-inference" in row.packages]
    assert with_model == ["2.27", "2.28", "2.29", "2.30", "2.31"]


def test_torch_neuronx_is_placed_by_its_own_series_after_torchs() -> None:
    assert [row.sdk for row in releases_with("torch-neuronx", "2.9.0.2.13.99999")] == ["2.29"]
    assert fitting_releases({"torch-neuronx": "2.9.0.2.13.24727", "nki": "0.2.0"}) == ()


def test_the_old_tool_never_wrote_parquet_and_ended_with_2_29() -> None:
    assert "parquet" not in formats("neuron-profile", release("2.28"))
    assert formats("neuron-profile", release("2.30")) == ()
    assert "parquet" in formats("neuron-explorer", release("2.27"))


def test_tools_older_than_the_table_are_an_error() -> None:
    with pytest.raises(DeviceError, match=r"older than SDK 2\.27"):
        release("2.26.14.0")


def test_variables_set_after_an_import_are_ignored_by_the_runtime() -> None:
    now = {"NEURON_RT_INSPECT_ENABLE": "1", "NKI_DEBUG_INFO": "True", "HOME": "/x"}
    assert ignored(now, initial={}, imported=["json"]) == ()
    late = ignored(now, initial={"NKI_DEBUG_INFO": "True"}, imported=["nki"])
    assert [misfit.name for misfit in late] == ["NEURON_RT_INSPECT_ENABLE"]
    assert "after nki was imported" in late[0].why


def test_variables_that_change_a_run_are_named() -> None:
    found = contradicting(
        {
            "NKI_SIMULATOR": "1",
            "NEURON_PLATFORM_TARGET_OVERRIDE": "trn3",
            "NEURON_RT_INSPECT_DEVICE_PROFILE": "1",
            "NEURON_RT_NUM_CORES": "4",
        },
        "trn2",
    )
    assert {misfit.name for misfit in found} == {
        "NKI_SIMULATOR",
        "NEURON_PLATFORM_TARGET_OVERRIDE",
        "NEURON_RT_INSPECT_DEVICE_PROFILE",
    }
    assert contradicting({"NEURON_PLATFORM_TARGET_OVERRIDE": "trn2"}, "trn2") == ()


def test_the_report_holds_the_checks_and_only_neuron_variables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    behave(monkeypatch)
    host = machine(tmp_path, NKI_DEBUG_INFO="True", PRIVATE_THING="secret")
    written = json.loads(device.write_report(tmp_path / "report.json", host).read_text())
    assert written["variables"]["NKI_DEBUG_INFO"] == "True"
    assert "secret" not in json.dumps(written)
    assert {row["name"] for row in written["checks"]} >= {"device", "profiler", "disk"}
    assert written["devices"][0]["neuroncore_ids"] == [0, 1, 2, 3]


def test_a_report_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="cannot be written"):
        device.write_report(tmp_path / "no" / "report.json", Host(tmp_path, {"PATH": ""}))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('WARN[0000] {note}\n{"n_1": {"a": 1}}\nINFO[0001] done [1]', {"n_1": {"a": 1}}),
        ('[{"neuron_device": 0}]', [{"neuron_device": 0}]),
        ("INFO[0000] nothing", None),
        ("", None),
    ],
)
def test_json_is_found_between_log_lines(text: str, value: object) -> None:
    assert json_in(text) == value
