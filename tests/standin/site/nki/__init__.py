"""Stand-in for nki: a kernel called on NumPy arrays leaves kernel.neff in NKI_ARTIFACTS_DIR as imported."""

import inspect
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from standin import tool

ARTIFACTS = os.environ.get("NKI_ARTIFACTS_DIR")


def jit(function):
    """A kernel; `kernel[lnc]` picks the number of physical cores."""
    return Kernel(function, 1)


class Kernel:
    """A jitted function."""

    def __init__(self, function, lnc):
        self.function, self.lnc = function, lnc

    def __getitem__(self, lnc):
        """The kernel on `lnc` physical cores."""
        return Kernel(self.function, lnc)

    def __call__(self, **arguments):
        """Compile, keep the NEFF, run."""
        assert str(self.lnc) == os.environ["NEURON_LOGICAL_NC_CONFIG"]
        arrays = [name for name, value in arguments.items() if hasattr(value, "shape")]
        if ARTIFACTS:
            tool.make_neff(Path(ARTIFACTS) / "kernel.neff", inspect.getsource(self.function), tuple(arrays))
        return self.function(**arguments)
