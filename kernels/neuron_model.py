"""The plug-in model for NxD Inference: its Qwen3-MoE with attention, experts and norms on our kernels.

Imported only where neuronx-distributed-inference is installed (through `qwen`). Projections of a prompt, the
embedding, the head and the collectives stay NxD Inference's own; checkpoints load as before, plus the weights
the chosen kernels read in layouts of their own.
"""

from __future__ import annotations

from typing import Any

import torch
from neuronx_distributed.parallel_layers.mappings import reduce_from_tensor_model_parallel_region
from neuronx_distributed.parallel_layers.parallel_state import get_tensor_model_parallel_size
from neuronx_distributed_inference.models.qwen3_moe import modeling_qwen3_moe as stock
from torch import nn

from kernels.neuron_attention import KernelAttention
from kernels.neuron_parts import RankShare, launch
from kernels.neuron_weights import (
    KernelDimensions,
    add_block_weights,
    add_fp8_experts,
    add_router_weights,
    check_dimensions,
    check_features,
)
from kernels.plugged import CHOICE, attention_kernels, moe_kernels, norm_kernel
from kernels.wiring import reads

BLOCK, TOP_K = 128, 8


class KernelNorm(nn.Module):
    """RMSNorm over the last dimension by the baseline kernel of the norm slots."""

    def __init__(self, hidden_size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size), requires_grad=False)
        self.variance_epsilon = eps

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[..., H] to [..., H]."""
        kernel = norm_kernel()
        rows = hidden_states.reshape(-1, hidden_states.shape[-1])
        weight = self.weight.to(rows.dtype).reshape(1, -1)
        values: dict[str, Any] = {"hidden": rows, "input_norm": weight, "eps": self.variance_epsilon}
        launch(kernel, values)
        result: torch.Tensor = values["normed"].reshape(hidden_states.shape)
        return result


class PromptNorm(KernelNorm):
    """`KernelNorm` of prompts; one token passes, because the kernel of its attention applies the norm."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[1, S, H] normed, or [1, 1, H] as it is."""
        return hidden_states if hidden_states.shape[1] == 1 else super().forward(hidden_states)


class Passing(nn.Module):
    """Holds a norm's weight under the checkpoint's name for it, and passes its input on."""

    def __init__(self, hidden_size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size), requires_grad=False)
        self.variance_epsilon = eps

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """The input."""
        return hidden_states


class KernelMoe(nn.Module):
    """Router and experts by the chosen kernels, on the parameters of the module it replaces."""

    def __init__(self, replaced: Any, norm: Passing, experts: int, hidden_size: int) -> None:
        super().__init__()
        self.router = replaced.router
        self.expert_mlps = replaced.expert_mlps
        self.router_weight = nn.Parameter(
            torch.empty(hidden_size, experts, dtype=torch.bfloat16), requires_grad=False
        )
        self.experts = experts
        self._fp8 = reads(moe_kernels(CHOICE, "decode", 1), "gate_up_fp8")
        if self._fp8:
            operations, ranks = replaced.expert_mlps.mlp_op, get_tensor_model_parallel_size()
            shapes = [tuple(side.weight.shape) for side in (operations.gate_up_proj, operations.down_proj)]
            self.gate_up_fp8, self.down_fp8 = (RankShare("weight", s, torch.uint8, ranks) for s in shapes)
            self.expert_scales = RankShare("scale", (experts, 3), torch.float32, ranks)
        # in a list, so that its weight is registered once, by the layer
        self._norm = [norm]

    def forward(self, hidden_states: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor]:
        """[1, S, H] before the post-attention norm to the sum over experts and ranks [1, S, H]."""
        rows = hidden_states.reshape(-1, hidden_states.shape[-1])
        tokens = rows.shape[0]
        norm = self._norm[0]
        operations = self.expert_mlps.mlp_op
        values: dict[str, Any] = {
            "hidden": rows,
            "post_norm": norm.weight.to(rows.dtype).reshape(1, -1),
            "eps": norm.variance_epsilon,
            "router": self.router_weight,
            "gate_up": operations.gate_up_proj.weight,
            "down": operations.down_proj.weight,
            "num_experts": self.experts,
            "block_size": BLOCK,
        }
        kernels = moe_kernels(CHOICE, "prefill" if tokens > 1 else "decode", tokens)
        if reads(kernels, "router_fp32"):
            values["router_fp32"] = self.router_weight.float()
        if self._fp8:
            values |= {"gate_up_fp8": self.gate_up_fp8.weight, "down_fp8": self.down_fp8.weight}
            values["expert_scales"] = self.expert_scales.scale
        if tokens == 1:
            values["slot"] = torch.arange(TOP_K, dtype=torch.int32, device=rows.device)[None]
        for kernel in kernels:
            launch(kernel, values)
        reduced = reduce_from_tensor_model_parallel_region(values["added"])
        return (reduced.reshape(hidden_states.shape),)


class Qwen3MoeInferenceConfig(stock.Qwen3MoeInferenceConfig):  # type: ignore[misc]
    """The stock configuration, refused when the kernels cannot run it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_dimensions(dimensions(self))
        check_features(self.neuron_config)


def fp8_bytes(weight: torch.Tensor) -> torch.Tensor:
    """The bytes of float8_e4m3 of values up to 240, where torch's float8_e4m3fn has the same."""
    return weight.to(torch.float8_e4m3fn).view(torch.uint8)


def dimensions(config: Any) -> KernelDimensions:
    """What of a configuration decides whether the kernels run it."""
    return KernelDimensions(
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        key_value_heads=config.num_key_value_heads,
        head=config.head_dim,
        experts=config.num_experts,
        top_k=config.num_experts_per_tok,
        inner=config.moe_intermediate_size,
        ranks=config.neuron_config.tp_degree,
        batch=config.neuron_config.batch_size,
    )


class NeuronQwen3MoeDecoderLayer(stock.NeuronQwen3MoeDecoderLayer):  # type: ignore[misc]
    """The stock layer with kernels for its norms, its attention and its mixture of experts.

    The post-attention norm runs inside the routing kernel, so the layer's own becomes the identity; in decode
    so does the norm before attention where the chosen kernel applies it.
    """

    def __init__(self, config: Qwen3MoeInferenceConfig, layer_idx: int) -> None:
        super().__init__(config, layer_idx)
        inside = reads(attention_kernels(CHOICE, "decode", 1), "input_norm")
        norm_class = PromptNorm if inside else KernelNorm
        self.input_layernorm = norm_class(config.hidden_size, config.rms_norm_eps)
        self.self_attn: Any = KernelAttention(config, self.input_layernorm, CHOICE)
        norm = Passing(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = norm
        self.mlp: Any = KernelMoe(self.mlp, norm, config.num_experts, config.hidden_size)


class NeuronQwen3MoeModel(stock.NeuronQwen3MoeModel):  # type: ignore[misc]
    """The stock model with our decoder layers."""

    def init_model(self, config: Qwen3MoeInferenceConfig) -> None:
        """Build the stock model, then every layer anew; the kernels of decode write the caches."""
        super().init_model(config)
        # here and not in the configuration, which NxD Inference would refuse to load again with it
        config.neuron_config.attn_block_tkg_nki_kernel_cache_update = True
        config.neuron_config.kv_cache_tiling = False
        self.layers = nn.ModuleList(
            [NeuronQwen3MoeDecoderLayer(config, index) for index in range(config.num_hidden_layers)]
        )
        self.norm = KernelNorm(config.hidden_size, config.rms_norm_eps)


class NeuronQwen3MoeForCausalLM(stock.NeuronQwen3MoeForCausalLM):  # type: ignore[misc]
    """What the challenge's main.py loads."""

    _model_cls = NeuronQwen3MoeModel

    @classmethod
    def get_config_cls(cls) -> type[Qwen3MoeInferenceConfig]:
        """The configuration class."""
        return Qwen3MoeInferenceConfig

    @staticmethod
    def convert_hf_to_neuron_state_dict(
        state_dict: dict[str, Any], config: Qwen3MoeInferenceConfig
    ) -> dict[str, Any]:
        """The stock conversion, with the weights only the kernels read beside the stock ones."""
        layers = config.num_hidden_layers
        stock.maybe_dequantize_layer(state_dict, config)
        add_router_weights(state_dict, layers, config.hidden_size, config.num_experts)
        if reads(attention_kernels(CHOICE, "decode", 1), "qkv_by_core"):
            add_block_weights(state_dict, layers, dimensions(config), torch.concatenate)
        if reads(moe_kernels(CHOICE, "decode", 1), "gate_up_fp8"):
            add_fp8_experts(state_dict, layers, dimensions(config), torch.concatenate, fp8_bytes)
        converted: dict[str, Any] = stock.convert_qwen3_moe_hf_to_neuron_state_dict(state_dict, config)
        return converted
