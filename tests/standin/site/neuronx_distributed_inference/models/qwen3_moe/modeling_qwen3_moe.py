# ruff: noqa: T201 (the log lines are what is stood in for)
"""Stand-in for NxD Inference's Qwen3-MoE: the methods the challenge's main.py uses, their files and logs.

Buckets of 4, 8 and the sequence length stand for 128, 256 and 640. Under NEURON_RT_INSPECT_ENABLE, read when
torch_neuronx is imported and never later, loading leaves a NEFF and an NTFF a graph in the runtime's layout.
"""

import hashlib
import json
import os
import sys
import types
from pathlib import Path

import torch
import torch_neuronx

sys.path.insert(0, str(Path(__file__).resolve().parents[5]))

from standin import tool

GRAPHS = ("context_encoding_model", "token_generation_model")


class MoENeuronConfig:
    """Keeps what it is given."""

    def __init__(self, **given):
        assert given["tp_degree"] == 4
        assert given["torch_dtype"] is torch.bfloat16
        self.on_device_sampling = self.async_mode = self.enable_fused_speculation = False
        self.__dict__.update(given)
        self.buckets = [4, 8, given["seq_len"]]


class Qwen3MoeInferenceConfig:
    """The model's configuration."""

    def __init__(self, neuron_config, load_config):
        self.neuron_config = neuron_config
        load_config(self)


class SubModel(torch.nn.Module):
    """A graph a bucket; refuses to run before it is loaded."""

    def __init__(self, owner):
        super().__init__()
        self.owner = [owner]
        self.neuron_config = owner.neuron_config

    def forward(self, ids, mask):
        """Logits of the last token."""
        assert self.owner[0].loaded, "Forward called before load. Run load() before calling forward"
        return self.owner[0].scale * torch.linspace(1, 2, 16).reshape(1, 16)


class NeuronQwen3MoeForCausalLM:
    """The model."""

    scale = 1.0
    name = "stock"

    @classmethod
    def get_neuron_config_cls(cls):
        """The Neuron configuration class."""
        return MoENeuronConfig

    @classmethod
    def get_config_cls(cls):
        """The configuration class."""
        return Qwen3MoeInferenceConfig

    def __init__(self, path, config):
        assert (Path(path) / "config.json").exists()
        self.config, self.neuron_config = config, config.neuron_config
        self.loaded = self.fresh = self.on_device_sampling = False
        self.context_encoding_model, self.token_generation_model = SubModel(self), SubModel(self)

    def compile(self, path):
        """Leave graph.neff and one HLO module a bucket, and model.pt."""
        assert os.environ["NKI_DEBUG_INFO"] == "True"
        if "compile" in os.environ.get("NXD_STANDIN_FAIL", ""):
            print("Compiler status FAIL")
            raise RuntimeError("neuronx-cc ended with an error")
        for graph in GRAPHS:
            for index in range(len(self.neuron_config.buckets)):
                self._compile_bucket(Path(os.environ["BASE_COMPILE_WORK_DIR"]) / graph / f"_tp0_bk{index}")
        print("Neuron: Generated all HLOs in 90.19 seconds")
        print("Neuron: Finished Compilation for all HLOs in 140.30 seconds")
        Path(path).mkdir(parents=True, exist_ok=True)
        (Path(path) / "model.pt").write_text(self.name)

    def _compile_bucket(self, folder):
        graph = f"{self.name} {folder.parent.name} {folder.name}"
        tool.make_neff(folder / "graph.neff", graph)
        (folder / "model.MODULE_1+2.hlo_module.pb").write_text(json.dumps(hlo(128, 3 * 128 * 128 * 128)))

    def load(self, path, start_rank_id=None, local_ranks_size=None, skip_warmup=False):
        """Put the compiled model on the device."""
        assert (Path(path) / "model.pt").read_text() == self.name
        seen = torch_neuronx.SEEN_AT_IMPORT
        if seen.get("NEURON_RT_INSPECT_ENABLE") == "1" and "record" not in os.environ.get(
            "NXD_STANDIN_FAIL", ""
        ):
            self._record(Path(seen["NEURON_RT_INSPECT_OUTPUT_DIR"]) / f"i-0f_pid_{os.getpid()}")
        print("Neuron: Done Sharding weights in 263.22")
        print("Neuron: Finished weights loading in 288.81 seconds")
        self.loaded = True
        if not skip_warmup:
            self.warmup()

    def _record(self, folder):
        """Core 0 ran every graph; the other three cores of the process were never used."""
        for neff in Path(os.environ["BASE_COMPILE_WORK_DIR"]).rglob("graph.neff"):
            identity = int(hashlib.sha256(neff.read_bytes()).hexdigest()[:12], 16)
            copy = folder / f"neff_{identity}.neff"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(neff.read_bytes())
            tool.make_ntff(folder / f"{identity}_instid_0_vnc_0.ntff", copy, 1)
            for core in (1, 2, 3):
                (folder / f"{identity}_instid_0_vnc_{core}.ntff").touch()

    def warmup(self):
        """Run every graph once."""
        print("Neuron: Warmup completed in 2.04 seconds.")

    def reset(self):
        """Forget the last prompt."""
        self.fresh = True


def hlo(size, nki_macs):
    """A module with one dot [size, size] x [size, size] and one NKI call."""
    import base64

    square = types.SimpleNamespace(dimensions=[size, size])
    config = base64.b64encode(json.dumps({"mac_count": nki_macs}).encode()).decode()
    numbers = {
        "lhs_contracting_dimensions": [1],
        "rhs_contracting_dimensions": [0],
        "lhs_batch_dimensions": [],
        "rhs_batch_dimensions": [],
    }
    rows = [
        {"id": 1, "opcode": "parameter", "shape": vars(square)},
        {
            "id": 2,
            "opcode": "dot",
            "shape": vars(square),
            "operand_ids": [1, 1],
            "dot_dimension_numbers": numbers,
        },
        {
            "id": 3,
            "opcode": "custom-call",
            "custom_call_target": "AwsNeuronCustomNativeKernel",
            "shape": vars(square),
            "backend_config": config,
        },
    ]
    return {"computations": [{"instructions": rows}]}
