"""The plug-in model for NxD Inference: its Qwen3-MoE with every slot on our kernels.

Imported only where neuronx-distributed-inference is installed (through `qwen`). The embedding, the residual
adds, the collectives, and which row of a prompt is its last stay NxD Inference's own; checkpoints load as
before, into the layouts the chosen kernels read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from neuronx_distributed.parallel_layers.mappings import reduce_from_tensor_model_parallel_region
from neuronx_distributed.parallel_layers.parallel_state import get_tensor_model_parallel_size
from neuronx_distributed_inference.models.qwen3_moe import modeling_qwen3_moe as stock
from torch import nn

from kernels.neuron_attention import KernelAttention, WrittenCaches
from kernels.neuron_checks import check_model, check_settings, check_weights, dimensions, required
from kernels.neuron_head import KernelHead, KernelNorm
from kernels.neuron_parts import Passing, RankShare, ever_reads, kernels_for, launch, row_of
from kernels.neuron_weights import laid_weights, without_replaced
from kernels.plugged import CHOICE

BLOCK, TOP_K = 128, 8


class KernelMoe(nn.Module):
    """Router and experts by the chosen kernels, on the experts' parameters of the module it replaces.

    `norm` holds the weight of the norm before it, which the kernels apply.
    """

    def __init__(self, replaced: Any, norm: Passing, config: Any, choice: Mapping[str, str]) -> None:
        super().__init__()
        self.expert_mlps = replaced.expert_mlps
        self.experts = config.num_experts
        self.router_weight = nn.Parameter(
            torch.empty(config.hidden_size, self.experts, dtype=torch.bfloat16), requires_grad=False
        )
        self._choice = choice
        self._fp32 = ever_reads(choice, "experts", "router_fp32")
        self._fp8 = ever_reads(choice, "experts", "gate_up_fp8")
        ranks = get_tensor_model_parallel_size()
        if self._fp32:
            self.router_fp32 = RankShare("scale", (config.hidden_size, self.experts), torch.float32, ranks)
        if self._fp8:
            operations = replaced.expert_mlps.mlp_op
            shapes = [tuple(side.weight.shape) for side in (operations.gate_up_proj, operations.down_proj)]
            self.gate_up_fp8, self.down_fp8 = (RankShare("weight", s, torch.uint8, ranks) for s in shapes)
            self.expert_scales = RankShare("scale", (self.experts, 3), torch.float32, ranks)
        # in a list, so that its weight is registered once, by the layer
        self._norm = [norm]

    def forward(self, hidden_states: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor]:
        """[1, S, H] before the post-attention norm to the sum over experts and ranks [1, S, H]."""
        values = self.offered(hidden_states)
        tokens = values["hidden"].shape[0]
        for kernel in kernels_for(self._choice, "experts", "prefill" if tokens > 1 else "decode", tokens):
            launch(kernel, values)
        reduced = reduce_from_tensor_model_parallel_region(values["added"])
        return (reduced.reshape(hidden_states.shape),)

    def offered(self, hidden_states: torch.Tensor) -> dict[str, Any]:
        """What kernels of the experts read, by the names of `wiring`."""
        rows = hidden_states.reshape(-1, hidden_states.shape[-1])
        operations = self.expert_mlps.mlp_op
        values: dict[str, Any] = {
            "hidden": rows,
            "post_norm": row_of(self._norm[0], rows),
            "eps": self._norm[0].variance_epsilon,
            "router": self.router_weight,
            "gate_up": operations.gate_up_proj.weight,
            "down": operations.down_proj.weight,
            "num_experts": self.experts,
            "block_size": BLOCK,
        }
        if self._fp32:
            values["router_fp32"] = self.router_fp32.scale
        if self._fp8:
            values |= {"gate_up_fp8": self.gate_up_fp8.weight, "down_fp8": self.down_fp8.weight}
            values["expert_scales"] = self.expert_scales.scale
        if rows.shape[0] == 1:
            values["slot"] = torch.arange(TOP_K, dtype=torch.int32, device=rows.device)[None]
        return values


class Qwen3MoeInferenceConfig(stock.Qwen3MoeInferenceConfig):  # type: ignore[misc]
    """The stock configuration, refused when the kernels cannot run it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_model(self)
        check_settings(self.neuron_config)

    def validate_config(self) -> None:
        """Raise `UnsupportedShape` where this is no configuration of a Qwen3-MoE."""
        required(self, self.get_required_attributes())
        super().validate_config()


class NeuronQwen3MoeDecoderLayer(stock.NeuronQwen3MoeDecoderLayer):  # type: ignore[misc]
    """The stock layer, whose two halves run on kernels that apply the norms before them, or on one."""

    def __init__(self, config: Qwen3MoeInferenceConfig, layer_idx: int, choice: Mapping[str, str]) -> None:
        super().__init__(config, layer_idx)
        norm, post_norm = (Passing(config.hidden_size, config.rms_norm_eps) for _ in range(2))
        self.input_layernorm, self.post_attention_layernorm = norm, post_norm
        self.self_attn: Any = KernelAttention(config, norm, choice)
        self.mlp: Any = KernelMoe(self.mlp, post_norm, config, choice)
        self._whole = kernels_for(choice, "layer", "decode", 1)
        self._last = layer_idx == config.num_hidden_layers - 1

    def forward(self, hidden_states: torch.Tensor, **given: Any) -> tuple[Any, ...]:
        """The stock forward, or one kernel a layer in decode.

        Such a kernel leaves its experts' share to the next layer's, which sums it over the ranks; NxD
        Inference hands it on as the residual, and the last layer adds it.
        """
        if not self._whole or given["is_for_context_encoding"]:
            outputs: tuple[Any, ...] = super().forward(hidden_states, **given)
            return outputs
        values = self.self_attn.offered(hidden_states, **given) | self.mlp.offered(hidden_states)
        pending = given.get("residual")
        values["pending"] = torch.zeros_like(values["hidden"]) if pending is None else pending
        values["ranks"] = get_tensor_model_parallel_size()
        for kernel in self._whole:
            launch(kernel, values)
        hidden, pending = values["hidden"], values["pending"]
        if self._last:
            hidden = hidden + reduce_from_tensor_model_parallel_region(pending)
        caches = (values["k_cache"], values["v_cache"])
        return hidden.reshape(hidden_states.shape), caches, values["cos"], values["sin"], pending


class NeuronQwen3MoeModel(stock.NeuronQwen3MoeModel):  # type: ignore[misc]
    """The stock model with our decoder layers and our head."""

    def init_model(self, config: Qwen3MoeInferenceConfig) -> None:
        """Build the stock model, then all but its embedding anew."""
        super().init_model(config)
        self.layers = nn.ModuleList(
            [NeuronQwen3MoeDecoderLayer(config, index, CHOICE) for index in range(config.num_hidden_layers)]
        )
        self.norm: Any = KernelNorm(config.hidden_size, config.rms_norm_eps, CHOICE)
        self.lm_head: Any = KernelHead(config, self.norm, CHOICE, not self.on_device_sampling)

    def forward(
        self, input_ids: Any, attention_mask: Any, position_ids: Any, *rest: Any, **named: Any
    ) -> list[torch.Tensor]:
        """The stock forward, of a prompt whose padding has position 0.

        NxD Inference pads positions with 1 and takes the row of the largest for the last token's, which is
        another row in a prompt of one token (neuronx-distributed-inference models/model_wrapper.py).
        """
        if input_ids.shape[-1] > 1:
            position_ids = position_ids * attention_mask
        outputs: list[torch.Tensor] = super().forward(input_ids, attention_mask, position_ids, *rest, **named)
        return outputs

    def init_inference_optimization(self, config: Qwen3MoeInferenceConfig) -> None:
        """The stock sampler, and a manager that leaves the caches to the kernels."""
        super().init_inference_optimization(config)
        self.kv_mgr = WrittenCaches(config, self.num_key_value_heads, global_rank=self.rank_util)


class NeuronQwen3MoeForCausalLM(stock.NeuronQwen3MoeForCausalLM):  # type: ignore[misc]
    """What the challenge's main.py loads."""

    _model_cls = NeuronQwen3MoeModel

    @classmethod
    def get_config_cls(cls) -> type[Qwen3MoeInferenceConfig]:
        """The configuration class."""
        return Qwen3MoeInferenceConfig

    @staticmethod
    def update_state_dict_for_tied_weights(state_dict: dict[str, Any]) -> None:
        """The conversion has made the head of a model that shares it with the embedding."""

    @staticmethod
    def convert_hf_to_neuron_state_dict(
        state_dict: dict[str, Any], config: Qwen3MoeInferenceConfig
    ) -> dict[str, Any]:
        """The stock conversion, with weights in the kernels' layouts in place of those they replace.

        Raises `UnsupportedShape` naming a weight that is missing or is not of this configuration.
        """
        model = dimensions(config)
        if any(name.endswith("_scale_inv") for name in state_dict):
            required(config, ["quantization_config"])
            stock.maybe_dequantize_layer(state_dict, config)
        check_weights(state_dict, model, tied=bool(getattr(config, "tie_word_embeddings", False)))
        wanted = [
            value
            for part, value in (
                *(("attention", name) for name in ("qkv", "o_proj", "qkv_by_core", "o_proj_by_core")),
                *(("experts", name) for name in ("router_fp32", "gate_up_fp8")),
            )
            if ever_reads(CHOICE, part, value)
        ]
        laid = laid_weights(state_dict, model, wanted, torch.concatenate, fp8_bytes)
        converted: dict[str, Any] = stock.convert_qwen3_moe_hf_to_neuron_state_dict(state_dict, config)
        return without_replaced(converted) | laid


def fp8_bytes(weight: torch.Tensor) -> torch.Tensor:
    """The bytes of float8_e4m3 of values up to 240, where torch's float8_e4m3fn has the same."""
    return weight.to(torch.float8_e4m3fn).view(torch.uint8)
