"""The program of the child process that times a NEFF on the device with nrtpy.

    python -m collectors.device.bench_program SPEC EVENTS_FD

`NrtpyModel.benchmark(mode="device")` times every execution by device-side tracing, without the host
(neuron-runtime/nrtpy/model.rst). nrtpy cannot be installed beside nki, so this runs in a Python of its own.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any

from collectors.device.events import FAILED, Events
from collectors.device.kernel_program import argument


def main(argv: list[str]) -> int:
    """Time the NEFF; 0 when it succeeded."""
    spec_file, descriptor = argv
    events = Events(int(descriptor))
    spec = json.loads(Path(spec_file).read_text(encoding="utf-8"))
    try:
        run(spec, events)
    except Exception as error:
        traceback.print_exc()
        events.emit(FAILED, phase=events.phase_name, error=f"{type(error).__name__}: {error}")
        return 1
    return 0


def run(spec: dict[str, Any], events: Events) -> None:
    """Warm up, execute, and report every duration in nanoseconds."""
    from nrtpy import NrtpyModel, NrtpyTensor  # type: ignore[import-not-found]

    with events.phase("load"):
        model = NrtpyModel.load_from_neff(spec["neff"])
    arrays = {name: argument(given) for name, given in spec["arguments"].items() if "file" in given}
    inputs = {
        name: NrtpyTensor.from_numpy(array, name=name)
        for name, array in arrays.items()
        if name in model.input_tensors_info
    }
    with events.phase("bench"):
        result = model.benchmark(
            inputs=inputs, warmup_iter=spec["warmup"], benchmark_iter=spec["repeat"], mode="device"
        )
    events.samples("kernel_ns", [milliseconds * 1e6 for milliseconds in result.durations_ms])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
