"""Stand-in for nrtpy's NrtpyModel and NrtpyTensor."""

import json
import types
from pathlib import Path


class NrtpyTensor:
    """A tensor on the device."""

    @classmethod
    def from_numpy(cls, array, name=None, core_id=0):
        """Copy an array."""
        tensor = cls()
        tensor.array, tensor.name = array, name
        return tensor


class NrtpyModel:
    """A loaded NEFF."""

    @classmethod
    def load_from_neff(cls, path, name=None, core_id=0):
        """Load."""
        model = cls()
        names = json.loads(Path(path).read_text())["inputs"]
        model.input_tensors_info = dict.fromkeys(names)
        return model

    def benchmark(self, inputs, outputs=None, warmup_iter=5, benchmark_iter=5, mode="device"):
        """Made-up durations: 1.00, 1.01, ... microseconds in milliseconds."""
        assert set(inputs) == set(self.input_tensors_info)
        assert mode == "device"
        return types.SimpleNamespace(durations_ms=[0.001 + n * 1e-5 for n in range(benchmark_iter)])
