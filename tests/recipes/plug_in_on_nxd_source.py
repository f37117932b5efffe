"""Build the plug-in against the real source of NxD Inference on a CPU: config, state dict, model.

python tests/recipes/plug_in_on_nxd_source.py CLONE_OF_neuronx-distributed CLONE_OF_its_inference

Only what needs a device or AWS's index is replaced by stand-ins (torch_xla, torch_neuronx, libneuronxla,
neuronxcc, nki, nkilib, and object storage clients). Prints a line a step; exits 1 on failure.
"""

from __future__ import annotations

import enum
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import os
import sys
import types
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

STOOD_IN = frozenset(
    [
        "torch_xla",
        "torch_neuronx",
        "libneuronxla",
        "neuronxcc",
        "nkilib",
        "nki",
        "boto3",
        "botocore",
        "awscrt",
        "s3torchconnector",
        "tenacity",
    ]
)
OTHER_MODELS = tuple(
    f"neuronx_distributed_inference.{name}"
    for name in ("models.mllama", "models.llama4", "models.pixtral", "utils.constants")
)
"""Of NxD Inference itself: other models, and their list, which need libraries for images."""
LAYERS, HIDDEN, HEADS, EXPERTS, INNER, VOCABULARY = 2, 256, 4, 16, 64, 512


class StandIn(types.ModuleType):
    """A module any attribute of which exists."""

    __path__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = MagicMock(name=f"{self.__name__}.{name}")
        setattr(self, name, value)
        return value


class AnyClass:
    """A namespace any class of which exists."""

    def __getattr__(self, name: str) -> type:
        return type(name, (), {})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds stand-ins for the modules that are not there."""

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in STOOD_IN or fullname.startswith(OTHER_MODELS):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = StandIn(spec.name)
        module.__version__ = "2.9.0"
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def stand_in(clones: list[Path]) -> None:
    """Make the clones importable, with stand-ins for what they need and this machine does not have."""
    root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(clone / "src") for clone in clones] + [str(root)]
    sys.meta_path.insert(0, Finder())
    os.environ["NXD_CPU_MODE"] = "1"
    known = importlib.metadata.version
    importlib.metadata.version = lambda name: "0.9.0" if "neuron" in name or "xla" in name else known(name)
    import torch
    import torch_neuronx.utils
    import transformers.generation

    strategies = importlib.import_module("nkilib.core.moe.moe_cte.moe_cte_utils")
    strategies.BlockShardStrategy = enum.Enum("BlockShardStrategy", ["HI_LO", "PING_PONG"])
    torch_neuronx.utils.get_platform_target = lambda *_: "trn3"
    torch.classes.__dict__["neuron"] = AnyClass()
    tracer = types.ModuleType("transformers.utils.fx")
    tracer.HFTracer = type("HFTracer", (), {})  # type: ignore[attr-defined]
    sys.modules.setdefault("transformers.utils.fx", tracer)
    for name in ("SampleDecoderOnlyOutput", "SampleEncoderDecoderOutput"):
        if not hasattr(transformers.generation, name):
            setattr(transformers.generation, name, transformers.generation.GenerateDecoderOnlyOutput)


def without_markers() -> None:
    """Layer boundaries, hints to the compiler alone, pass their argument on."""
    from neuronx_distributed_inference.models import layer_boundary_marker as markers

    for marker in (markers.ModuleMarkerStartWrapper, markers.ModuleMarkerEndWrapper):
        marker.forward = lambda _, *values: values[0] if len(values) == 1 else values


def checkpoint() -> dict[str, Any]:
    """A random checkpoint with Hugging Face's names for Qwen3-MoE."""
    import torch

    shapes = {
        "embed_tokens.weight": (VOCABULARY, HIDDEN),
        "lm_head.weight": (VOCABULARY, HIDDEN),
        "norm.weight": (HIDDEN,),
    }
    for layer in range(LAYERS):
        at = f"layers.{layer}"
        attention = {
            "q": (HEADS * 128, HIDDEN),
            "k": (128, HIDDEN),
            "v": (128, HIDDEN),
            "o": (HIDDEN, HEADS * 128),
        }
        shapes |= {f"{at}.self_attn.{name}_proj.weight": shape for name, shape in attention.items()}
        shapes |= {f"{at}.self_attn.{name}_norm.weight": (128,) for name in "qk"}
        shapes |= {f"{at}.{name}_layernorm.weight": (HIDDEN,) for name in ("input", "post_attention")}
        shapes[f"{at}.mlp.gate.weight"] = (EXPERTS, HIDDEN)
        for expert in range(EXPERTS):
            for name, shape in {
                "gate": (INNER, HIDDEN),
                "up": (INNER, HIDDEN),
                "down": (HIDDEN, INNER),
            }.items():
                shapes[f"{at}.mlp.experts.{expert}.{name}_proj.weight"] = shape
    return {name: torch.randn(shape).bfloat16() for name, shape in shapes.items()}


def configuration(plug_in: Any) -> Any:
    """The plug-in's configuration of a small Qwen3-MoE at one rank."""
    import torch

    config_class = plug_in.get_config_cls()
    neuron = config_class.get_neuron_config_cls()(
        tp_degree=1, batch_size=1, seq_len=128, torch_dtype=torch.bfloat16, enable_bucketing=False
    )
    return config_class(
        neuron,
        head_dim=128,
        hidden_act="silu",
        hidden_size=HIDDEN,
        max_position_embeddings=256,
        moe_intermediate_size=INNER,
        norm_topk_prob=True,
        num_attention_heads=HEADS,
        num_experts=EXPERTS,
        num_experts_per_tok=8,
        num_hidden_layers=LAYERS,
        num_key_value_heads=1,
        rms_norm_eps=1e-6,
        rope_scaling=None,
        rope_theta=1e4,
        tie_word_embeddings=False,
        vocab_size=VOCABULARY,
        pad_token_id=0,
        output_attentions=False,
        output_hidden_states=False,
        use_cache=True,
    )


def build(plug_in: Any, config: Any) -> Any:
    """The model class on one CPU rank."""
    import torch.distributed
    from neuronx_distributed.parallel_layers import parallel_state

    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1"}
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=1, skip_collective_init=True)
    return plug_in._model_cls(config)


def mismatches(model: Any, weights: dict[str, Any]) -> list[str]:
    """Kernel parameters that no weight fits, among the parts the plug-in replaces."""
    wrong = []
    for name, value in model.state_dict().items():
        ours = (
            name.endswith((".mlp.router_weight", "layernorm.weight", "proj.weight"))
            and "self_attn" not in name
        )
        if (ours or name == "norm.weight") and (name not in weights or weights[name].shape != value.shape):
            wrong.append(name)
    return wrong


def main(clones: list[Path]) -> int:
    """Run the steps on the two clones."""
    stand_in(clones)
    import qwen

    plug_in = qwen.NeuronQwen3MoeForCausalLM
    print("imported", plug_in.__mro__[1].__module__)
    config = configuration(plug_in)
    print("configured", type(config).__name__)
    weights = plug_in.convert_hf_to_neuron_state_dict(checkpoint(), config)
    print("converted", len(weights), "weights")
    wrong = mismatches(build(plug_in, config), weights)
    print("built; kernel parameters without a fitting weight:", wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:3]]))
