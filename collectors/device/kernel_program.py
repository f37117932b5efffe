"""The program of the child process that runs one NKI kernel, so that its NEFF is kept.

    python -m collectors.device.kernel_program SPEC EVENTS_FD

From NKI 0.3 on a kernel called with NumPy arrays compiles alone and leaves `kernel.neff` in
NKI_ARTIFACTS_DIR, which must be set before nki is imported (neuron-runtime/nrtpy tutorials). Before that, or
where it leaves none, torch_neuronx.trace compiles it and leaves `graph.neff` in its compiler_workdir
(nki/guides/use-neuron-profile).
"""

from __future__ import annotations

import importlib.util
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from collectors.device.events import FACTS, FAILED, Events
from simulator.expressions import Expression, made


def main(argv: list[str]) -> int:
    """Run the kernel once; 0 when it succeeded. A failure becomes an event, its traceback goes to the log."""
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
    """Compile and execute the kernel on its arguments; report what came out and where the NEFF is."""
    with events.phase("import"):
        kernel = load(Path(spec["file"]), spec["function"], spec["paths"])
    arguments = {name: argument(given) for name, given in spec["arguments"].items()}
    arguments = made(arguments, vars(sys.modules[Path(spec["file"]).stem]))
    launched = kernel[spec["lnc"]] if spec["lnc"] > 1 else kernel
    folder = Path(spec["artifacts"])
    with events.phase("compile and execute"):
        result = (alone if spec["standalone"] else traced)(launched, arguments, spec)
        if spec["standalone"] and newest_neff(folder) is None:
            result = traced(launched, arguments, spec)
    outputs = result if isinstance(result, (tuple, list)) else [result]
    events.emit(FACTS, outputs=[described(output) for output in outputs])
    neff = newest_neff(folder)
    events.emit(FACTS, neff=str(neff) if neff else None)


def newest_neff(folder: Path) -> Path | None:
    """The NEFF a compilation left last."""
    found = sorted(folder.rglob("*.neff"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def load(file: Path, function: str, paths: Sequence[str] = ()) -> Any:
    """The kernel of a file; modules beside the file, and in `paths`, import as they are."""
    sys.path[:0] = [str(file.parent), *paths]
    found = importlib.util.spec_from_file_location(file.stem, file)
    if found is None or found.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[file.stem] = module
    found.loader.exec_module(module)
    return getattr(module, function)


def argument(given: dict[str, Any]) -> Any:
    """An argument from the spec: a scalar, names of the kernel's file, or an array of raw bytes."""
    if "expression" in given:
        return Expression(given["expression"])
    if "value" in given:
        return given["value"]
    import ml_dtypes  # noqa: F401 (registers bfloat16 and the fp8 names with NumPy)
    import numpy as np

    return np.fromfile(given["file"], dtype=np.dtype(given["dtype"])).reshape(given["shape"])


def alone(kernel: Callable[..., Any], arguments: dict[str, Any], _: dict[str, Any]) -> Any:
    """Call the kernel with NumPy arrays."""
    return kernel(**arguments)


def traced(kernel: Callable[..., Any], arguments: dict[str, Any], spec: dict[str, Any]) -> Any:
    """Compile the kernel through torch_neuronx and call the traced module."""
    import torch
    import torch_neuronx

    tensors = {name: as_tensor(value) for name, value in arguments.items() if hasattr(value, "shape")}
    scalars = {name: value for name, value in arguments.items() if name not in tensors}

    class Launch(torch.nn.Module):
        def forward(self, *inputs: Any) -> Any:
            return kernel(**dict(zip(tensors, inputs, strict=True)), **scalars)

    module = torch_neuronx.trace(
        Launch(),
        tuple(tensors.values()),
        compiler_args=f"--lnc={spec['lnc']}",
        compiler_workdir=spec["artifacts"],
    )
    return module(*tensors.values())


def as_tensor(array: Any) -> Any:
    """A torch tensor of an array, bfloat16 by way of its bits."""
    import numpy as np
    import torch

    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def described(output: Any) -> dict[str, Any]:
    """Shape, dtype and the two facts that unmask a kernel that computes nothing: finite, not all zeros."""
    import numpy as np

    values = np.asarray(output.float() if hasattr(output, "float") else output).astype(np.float32)
    return {
        "shape": list(values.shape),
        "dtype": str(output.dtype),
        "finite": bool(np.isfinite(values).all()),
        "nonzero": bool(values.any()),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
