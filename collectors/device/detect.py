"""The checks of `collectors doctor` for the device chain, each with the command that mends what it found."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from collectors.device.host import Host
from collectors.device.variables import contradicting, ignored
from collectors.device.versions import beyond_table, fitting_releases, parse_version, releases, releases_with
from collectors.errors import DeviceError, UsageError

# A compiled Qwen3-30B-A3B with its shards takes about 60 GB (bf16 weights once more, per rank).
MODEL_BYTES = 64_000_000_000
CACHES = ("/var/tmp/neuron-compile-cache", "/tmp/nxd_model")  # noqa: S108 (the SDK's own places)
SETUP_GUIDE = "https://awsdocs-neuron.readthedocs-hosted.com/en/latest/setup/index.html"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: `ok` is None when it cannot be told; `mend` is the command or step that mends it."""

    name: str
    ok: bool | None
    detail: str
    mend: str = ""


def checks(host: Host | None = None) -> list[Finding]:
    """Every check of the device chain, in the order a person would mend them."""
    machine = host or Host()
    return [check(machine) for check in CHECKS]


def device_present(host: Host | None = None) -> bool:
    """Whether this machine has a Neuron device whose driver is loaded."""
    return bool((host or Host()).devices)


def require_device(host: Host | None = None) -> None:
    """Raise `DeviceError` naming everything that keeps this machine from profiling on a device."""
    machine = host or Host()
    missing = [finding for finding in map(_ask(machine), ESSENTIAL) if finding.ok is False]
    if missing:
        raise DeviceError(
            f"This machine cannot profile on a device: {'; '.join(each.detail for each in missing)}.",
            f"{missing[0].mend} (`collectors doctor` lists the rest; `--backend simulator` needs no device.)",
        )


def require_target(host: Host, target: str) -> None:
    """Raise `UsageError` when this machine is known to be another: its kernels would not run."""
    if host.target and host.target != target:
        raise UsageError(f"This machine is {host.target}, not {target}.", f"Use --target {host.target}.")


def require_model_stack(host: Host | None = None) -> None:
    """Raise `DeviceError` unless the packages that run the challenge's model are there."""
    finding = inference(host or Host())
    if finding.ok is False:
        raise DeviceError(f"The model cannot run here: {finding.detail}.", finding.mend)


def device(host: Host) -> Finding:
    """Is there a device node?"""
    if not host.devices:
        where = f" on this {host.instance_type}" if host.instance_type else ""
        return Finding(
            "device",
            False,
            f"no Neuron device (/dev/neuron*){where}",
            f"Start a trn2 or trn3 instance from the Neuron DLAMI: {SETUP_GUIDE}",
        )
    cores = sum(int(row.get("nc_count", 0)) for row in host.neuron_ls)
    named = f", {host.instance_type}" if host.instance_type else ""
    counted = f", {cores} NeuronCores" if cores else ""
    return Finding("device", True, f"{len(host.devices)} Neuron devices{counted}{named}")


def driver(host: Host) -> Finding:
    """Is the kernel module loaded?"""
    if host.driver is None:
        return Finding(
            "driver", False, "the neuron kernel module is not loaded", "sudo apt-get install aws-neuronx-dkms"
        )
    return Finding("driver", True, f"neuron {host.driver}")


def runtime(host: Host) -> Finding:
    """Is the runtime library there?"""
    if host.runtime is None:
        return Finding(
            "runtime",
            False,
            "no libnrt in /opt/aws/neuron/lib",
            "sudo apt-get install aws-neuronx-runtime-lib",
        )
    version = host.packages.get("aws-neuronx-runtime-lib", "")
    return Finding("runtime", True, f"{host.runtime.name} {version}".strip())


def tools(host: Host) -> Finding:
    """Is there a profiler, and does the collector know its release?"""
    if not host.tools:
        return Finding(
            "profiler",
            False,
            "neither neuron-explorer nor neuron-profile on PATH or in /opt/aws/neuron/bin",
            "sudo apt-get install aws-neuronx-tools",
        )
    tool = host.tools[0]
    found = ", ".join(f"{each.name} {each.version} ({each.path})" for each in host.tools)
    if beyond_table(tool.version):
        newest = releases()[-1].sdk
        return Finding(
            "profiler", None, f"{found}: newer than SDK {newest}, the newest known", "Upgrade this package."
        )
    return Finding("profiler", True, found)


def one_release(host: Host) -> Finding:
    """Do the installed packages belong to one SDK release?"""
    known = {n: v for n, v in host.packages.items() if any(n in row.packages for row in releases())}
    if not known:
        return Finding("versions", None, "no Neuron package found", f"Install the Neuron SDK: {SETUP_GUIDE}")
    fitting = fitting_releases(known)
    if fitting and host.target and host.target not in fitting[-1].targets:
        detail = f"SDK {fitting[-1].sdk} does not support {host.target}"
        return Finding("versions", False, detail, "Install SDK 2.29 or newer.")
    if fitting:
        return Finding("versions", True, f"all of SDK {' or '.join(row.sdk for row in fitting)}")
    listed = ", ".join(
        f"{name} {version} ({_belongs(name, version)})" for name, version in sorted(known.items())
    )
    return Finding(
        "versions",
        False,
        f"packages of several releases: {listed}",
        "Install all of them from one SDK release.",
    )


def tools_read_runtime(host: Host) -> Finding:
    """Are the tools at least as new as the runtime? Older tools cannot read the NTFF it writes."""
    library = host.packages.get("aws-neuronx-runtime-lib")
    written_by = releases_with("aws-neuronx-runtime-lib", library) if library else ()
    if not written_by or not host.tools:
        return Finding("tools and runtime", None, "cannot tell: the tools or the runtime are not installed")
    tool = host.tools[0]
    ok = tool.release.version >= written_by[0].version
    detail = f"tools of SDK {tool.release.sdk}, runtime of SDK {written_by[0].sdk}"
    return Finding(
        "tools and runtime", ok, detail, "" if ok else "sudo apt-get install --upgrade aws-neuronx-tools"
    )


def inference(host: Host) -> Finding:
    """Can the challenge's model run? It needs NxD Inference on torch-neuronx."""
    wanted = ("torch-neuronx", "neuronx-distributed-inference")
    missing = [name for name in wanted if name not in host.packages]
    if not missing:
        return Finding("NxD Inference", True, f"{host.packages[wanted[1]]} in {host.interpreter}")
    return Finding(
        "NxD Inference",
        False,
        f"no {' and no '.join(missing)} in {host.interpreter}",
        "Point NKI_DASHBOARD_NEURON_PYTHON at an NxD Inference environment (SDK 2.31 is the last with one).",
    )


def kernel_compiler(host: Host) -> Finding:
    """Is NKI there, and is it one this collector's table knows?"""
    version = host.packages.get("nki")
    if version is None:
        return Finding(
            "nki", False, f"no nki in {host.interpreter}", f"Set up an NKI environment: {SETUP_GUIDE}"
        )
    row = next((row for row in releases() if parse_version(row.nki) == parse_version(version)[:2]), None)
    if row is None:
        return Finding("nki", None, f"nki {version} is in no release the collector knows")
    alone = "compiles a kernel alone" if row.nki_standalone else "compiles kernels through torch_neuronx only"
    return Finding("nki", True, f"nki {version} of SDK {row.sdk}; {alone}")


def ignored_variables(host: Host) -> Finding:
    """Variables set too late to be seen."""
    late = ignored(host.environ)
    if not late:
        return Finding("variables set too late", True, "none")
    listed = "; ".join(f"{misfit.name} {misfit.why}" for misfit in late)
    return Finding("variables set too late", False, listed, "Set them in the shell, before Python starts.")


def conflicting_variables(host: Host) -> Finding:
    """Variables of the shell that would change a run."""
    found = contradicting(host.environ, host.target)
    if not found:
        return Finding("variables", True, "nothing in the environment changes a run")
    listed = "; ".join(f"{misfit.name} {misfit.why}" for misfit in found)
    return Finding("variables", False, listed, "; ".join(misfit.mend for misfit in found))


def disk(host: Host) -> Finding:
    """Is there room for a compiled model and its profiles?"""
    folder = Path(host.environ.get("NKI_DASHBOARD_WORK_DIR", tempfile.gettempdir()))
    free = host.free_bytes(folder)
    detail = (
        f"{free / 1e9:.0f} GB free under {folder}; a compiled model takes about {MODEL_BYTES / 1e9:.0f} GB"
    )
    mend = "" if free >= MODEL_BYTES else "Free some space, or point NKI_DASHBOARD_WORK_DIR at a larger disk."
    return Finding("disk", free >= MODEL_BYTES, detail, mend)


def caches(host: Host) -> Finding:
    """Which compile caches exist; graphs in them keep the debug information they were compiled with."""
    found = [path for path in CACHES if (host.root / path.lstrip("/")).exists()]
    if not found:
        return Finding("compile caches", True, "none: every graph will be compiled with debug information")
    detail = f"{' and '.join(found)}: graphs there keep the debug information they were compiled with"
    return Finding("compile caches", None, detail, f"rm -rf {' '.join(found)} when source lines are missing")


CHECKS: tuple[Callable[[Host], Finding], ...] = (
    device,
    driver,
    runtime,
    tools,
    one_release,
    tools_read_runtime,
    kernel_compiler,
    inference,
    conflicting_variables,
    ignored_variables,
    disk,
    caches,
)
ESSENTIAL: tuple[Callable[[Host], Finding], ...] = (device, driver, runtime, tools)


def _ask(host: Host) -> Callable[[Callable[[Host], Finding]], Finding]:
    return lambda check: check(host)


def _belongs(package: str, version: str) -> str:
    rows = releases_with(package, version)
    return f"SDK {'/'.join(row.sdk for row in rows)}" if rows else "no known release"
