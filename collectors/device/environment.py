"""The environment of a pass on the device, complete before its process starts.

The runtime reads its inspect variables and the compiler its debug variables once, when torch or nki is
imported; a later `os.environ[...] =` is silently ignored. So the work happens in a child process, and this
module makes the environment the child is born with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from collectors.device.variables import INSPECT
from collectors.device.versions import table
from collectors.errors import DeviceError

DeviceProfile = Literal["model", "session", "off"]


def base_environment(
    environ: Mapping[str, str], *, target: str, work: Path, source: Path, debug: bool = True
) -> dict[str, str]:
    """The variables every pass needs: target, compile folder, debug information, no profiling.

    `source` is put first on PYTHONPATH so that the child, in whichever Python, finds this project. Compile
    output goes to `work`, where two models of one comparison do not overwrite each other.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith(INSPECT)}
    kept.pop("NKI_SIMULATOR", None)
    path = [str(source), *filter(None, [environ.get("PYTHONPATH", "")])]
    prepared = {
        "NEURON_PLATFORM_TARGET_OVERRIDE": target,
        "BASE_COMPILE_WORK_DIR": f"{work / 'compile'}/",
        "PYTHONPATH": ":".join(path),
        "PYTHONUNBUFFERED": "1",
    }
    return kept | prepared | (dict(table()["environment"]["before_compile"]) if debug else {})


def profiling_environment(
    base: Mapping[str, str], output: Path, *, device_profile: DeviceProfile, dge_notifications: bool
) -> dict[str, str]:
    """`base` with the runtime's profiling on, writing below `output` (created; an absolute path)."""
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    rows = table()["environment"]
    inspect = dict(rows["before_import"])
    inspect["NEURON_RT_INSPECT_DEVICE_PROFILE"] = rows["device_profile"][device_profile]
    inspect["NEURON_RT_INSPECT_OUTPUT_DIR"] = str(output)
    inspect["TORCH_NEURONX_NEFF_CACHE_DIR"] = str(output / "neffs")
    if dge_notifications:
        inspect["NEURON_RT_ENABLE_DGE_NOTIFICATIONS"] = "1"
    return {**base, **inspect}


def kernel_environment(base: Mapping[str, str], artifacts: Path, lnc: int) -> dict[str, str]:
    """`base` for one kernel: NKI keeps its NEFF in `artifacts`, logical cores are of `lnc` physical ones."""
    if lnc not in (1, 2):
        raise DeviceError(
            f"A logical core of {lnc} physical cores does not exist.", "Use --lnc 1 or --lnc 2."
        )
    return {
        **base,
        "NKI_ARTIFACTS_DIR": str(artifacts.resolve()),
        "NEURON_LOGICAL_NC_CONFIG": str(lnc),
        "NEURON_RT_VIRTUAL_CORE_SIZE": str(lnc),
    }
