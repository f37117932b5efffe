"""Attention of the NxD Inference plug-in: the chosen kernels, on the caches its manager holds.

In decode NxD Inference calls `attention_block_tokengen_nki_kernel` with whole caches and takes back what is
added and the updated caches; in prefill it calls `perform_prefill` on rotated queries and keys and writes the
caches itself (neuronx-distributed-inference modules/attention/attention_base.py). What the chosen variants
do not cover around these calls, projections among it, stays NxD Inference's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from neuronx_distributed.parallel_layers.mappings import reduce_from_tensor_model_parallel_region
from neuronx_distributed_inference.models.qwen3_moe import modeling_qwen3_moe as stock
from neuronx_distributed_inference.modules.attention.attention_base import FlashAttentionStrategy
from torch import nn

from kernels.neuron_parts import RankShare, launch
from kernels.plugged import attention_kernels
from kernels.wiring import reads

HEAD = 128
MAX_PREFILL = 640
"""Scores of a row of more columns do not fit the two PSUM banks of the prefill kernels."""


class KernelAttention(stock.NeuronQwen3MoEAttention):  # type: ignore[misc]
    """The stock attention with kernels in both phases, on the parameters it has.

    `norm` holds the weight of the norm before it, which some variants apply themselves.
    """

    def __init__(self, config: Any, norm: nn.Module, choice: Mapping[str, str]) -> None:
        super().__init__(config)
        self._choice = choice
        # in a list, so that its weight is registered once, by the layer
        self._norm = [norm]
        # set after construction: in the configuration they would ask for AWS's kernels
        self.attn_block_tkg_nki_kernel_enabled = True
        self.attn_block_tkg_nki_kernel_cache_update = True
        if reads(attention_kernels(choice, "decode", 1), "qkv_by_core"):
            hidden, columns, ranks = config.hidden_size, (self.num_heads // 2 + 2) * HEAD, self.tp_degree
            tiles = (2, HEAD, self.num_heads, hidden // 256, HEAD)
            self.qkv_by_core = RankShare("weight", (2, hidden, columns), torch.bfloat16, ranks)
            self.output_by_core = RankShare("weight", tiles, torch.bfloat16, ranks)

    def attention_block_tokengen_nki_kernel(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        past_key_value: Any,
        _active_mask: torch.Tensor | None = None,
        cos_cache: torch.Tensor | None = None,
        sin_cache: torch.Tensor | None = None,
        _rmsnorm: Any = None,
        rotary_position_ids: torch.Tensor | None = None,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor], torch.Tensor, torch.Tensor]:
        """One token [1, 1, H] over caches [1, 1, S, 128] to what attention adds, and the updated caches.

        The bucket is the width of the mask; the new token's row is `position_ids`.
        """
        kernels = attention_kernels(self._choice, "decode", 1)
        values: dict[str, Any] = {
            "k_cache": past_key_value[0].data,
            "v_cache": past_key_value[1].data,
            "position": position_ids[:, :1].to(torch.uint32),
            "bucket": attention_mask.shape[-1],
        }
        places = position_ids if rotary_position_ids is None else rotary_position_ids
        angles = (cos_cache, sin_cache)
        whole = reads(kernels, "qkv_by_core")
        if whole:
            angles = self._offer_layer(hidden_states, places, angles, values)
        else:
            angles = self._offer_heads(hidden_states, places, past_key_value, angles, values)
        for kernel in kernels:
            launch(kernel, values)
        if whole:
            added = reduce_from_tensor_model_parallel_region(
                values["added"], process_group=self.tensor_model_parallel_group
            ).reshape(hidden_states.shape)
        else:
            added = self.get_o_proj()(values["attention"].reshape(1, 1, -1))
        return added, (values["k_cache"], values["v_cache"]), *angles

    def perform_prefill(
        self, Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor, q_len: int, bsz: int, attention_mask: Any
    ) -> tuple[torch.Tensor, Any]:
        """Q [1, heads, S, 128], K and V [1, 1, S, 128], rotated, to attention [1, heads, S, 128].

        Prompts the kernels do not run are NxD Inference's own: several, padded on the left, or over 640 long.
        """
        if bsz != 1 or q_len > MAX_PREFILL or self.padding_side != "right":
            return super().perform_prefill(Q, K, V, q_len, bsz, attention_mask)  # type: ignore[no-any-return]
        values: dict[str, Any] = {"q": _by_token(Q), "k": _by_token(K), "v": _by_token(V)}
        for kernel in attention_kernels(self._choice, "prefill", q_len):
            launch(kernel, values)
        heads = values["attention"].reshape(1, q_len, self.num_heads, HEAD)
        return heads.transpose(1, 2), FlashAttentionStrategy.NONE

    def _offer_layer(self, hidden: torch.Tensor, places: Any, angles: Any, values: dict[str, Any]) -> Any:
        """What a kernel of everything from the norm to the output projection reads; cos and sin [1, 64]."""
        if angles[0] is None or angles[1] is None:
            turns = self.rotary_emb(hidden.float(), places)
            angles = tuple(turn[0, :, : HEAD // 2].contiguous() for turn in turns)
        row = hidden.reshape(1, -1)
        weights = (self._norm[0].weight, self.q_layernorm.weight, self.k_layernorm.weight)
        names = ("input_norm", "q_weight", "k_weight")
        values |= {n: w.to(row.dtype).reshape(1, -1) for n, w in zip(names, weights, strict=True)}
        values |= {
            "hidden": row,
            "cos": angles[0],
            "sin": angles[1],
            "qkv_by_core": self.qkv_by_core.weight,
            "o_proj_by_core": self.output_by_core.weight,
            "eps": self.rms_norm_eps,
        }
        return angles

    def _offer_heads(
        self, hidden: torch.Tensor, places: Any, past: Any, angles: Any, values: dict[str, Any]
    ) -> Any:
        """Rotated queries and keys, and values, by NxD Inference's own projections; its cos and sin."""
        q, k, v, cos, sin, _ = self.prep_qkv_tensors(
            places, hidden, past, cos_cache=angles[0], sin_cache=angles[1]
        )
        values |= {"q": _by_token(q), "k": _by_token(k), "v": _by_token(v)}
        return cos, sin


def _by_token(heads: torch.Tensor) -> torch.Tensor:
    """[1, heads, S, 128] to [S, heads * 128]."""
    return heads[0].transpose(0, 1).reshape(heads.shape[2], -1).contiguous()
