"""Attention of the NxD Inference plug-in: everything from the norm to the output projection by kernels.

Both phases run the chosen kernels on the rows of the hidden state and on the whole caches the manager holds,
and give NxD Inference what attention adds and the caches as they are then, so that its manager has nothing
left to write (neuronx-distributed-inference modules/attention/attention_base.py, models/model_base.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from neuronx_distributed.parallel_layers.mappings import reduce_from_tensor_model_parallel_region
from neuronx_distributed_inference.models.qwen3_moe import modeling_qwen3_moe as stock
from neuronx_distributed_inference.modules.kvcache.kv_cache_manager import KVCacheManager
from torch import nn

from kernels.neuron_checks import cache_rows
from kernels.neuron_parts import RankShare, ever_reads, kernels_for, launch, row_of

HEAD = 128


class WrittenCaches(KVCacheManager):  # type: ignore[misc]
    """The stock manager of caches that kernels have written already."""

    def update_kv_by_layer_id(self, *_: Any, kv_per_layer: Any, **__: Any) -> Any:
        """The layer's whole caches, as attention returned them."""
        return kv_per_layer


class KernelAttention(stock.NeuronQwen3MoEAttention):  # type: ignore[misc]
    """The stock attention with kernels in place of its projections and all between them.

    `norm` holds the weight of the norm before it, which the kernels apply.
    """

    def __init__(self, config: Any, norm: nn.Module, choice: Mapping[str, str]) -> None:
        super().__init__(config)
        del self.qkv_proj, self.o_proj
        self._choice = choice
        # in a list, so that its weight is registered once, by the layer
        self._norm = [norm]
        hidden, heads = config.hidden_size, self.num_heads
        shapes = {
            "qkv": (hidden, (heads + 2) * HEAD),
            "o_proj": (heads * HEAD, hidden),
            "qkv_by_core": (2, hidden, (heads // 2 + 2) * HEAD),
            "o_proj_by_core": (2, HEAD, heads, hidden // 256, HEAD),
        }
        self.laid = nn.ModuleDict(
            {
                name: RankShare("weight", shape, torch.bfloat16, self.tp_degree)
                for name, shape in shapes.items()
                if ever_reads(choice, "attention", name)
            }
        )

    def forward(
        self, hidden_states: torch.Tensor, *, is_for_context_encoding: bool, **given: Any
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor], torch.Tensor, torch.Tensor]:
        """[1, S, H] before the norm to what attention adds, the updated caches, and cos and sin [S, 64]."""
        values = self.offered(hidden_states, is_for_context_encoding=is_for_context_encoding, **given)
        phase = "prefill" if is_for_context_encoding else "decode"
        for kernel in kernels_for(self._choice, "attention", phase, values["hidden"].shape[0]):
            launch(kernel, values)
        added = reduce_from_tensor_model_parallel_region(
            values["added"], process_group=self.tensor_model_parallel_group
        ).reshape(hidden_states.shape)
        return added, (values["k_cache"], values["v_cache"]), values["cos"], values["sin"]

    def offered(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        *_: Any,
        cos_cache: torch.Tensor | None = None,
        sin_cache: torch.Tensor | None = None,
        rotary_position_ids: torch.Tensor | None = None,
        kv_mgr: Any,
        idx: int,
        is_for_context_encoding: bool,
        kvcache_buffer: Any = None,
        **__: Any,
    ) -> dict[str, Any]:
        """What kernels of attention read, by the names of `wiring`.

        In decode the bucket is the width of the mask and the new token's row is `position_ids`; a prompt is
        written from row 0 on.
        """
        rows = hidden_states.reshape(-1, hidden_states.shape[-1])
        if cos_cache is None or sin_cache is None:
            places = position_ids if rotary_position_ids is None else rotary_position_ids
            turns = self.rotary_emb(hidden_states.float(), places)
            cos_cache, sin_cache = (turn[0, :, : HEAD // 2].contiguous() for turn in turns)
        caches = kv_mgr._fetch_cache(idx, kvcache_buffer)
        first = position_ids[:, :1]
        values: dict[str, Any] = {name: share.weight for name, share in self.laid.items()}
        values |= {
            "hidden": rows,
            "input_norm": row_of(self._norm[0], rows),
            "q_weight": row_of(self.q_layernorm, rows),
            "k_weight": row_of(self.k_layernorm, rows),
            "cos": cos_cache,
            "sin": sin_cache,
            "eps": self.rms_norm_eps,
            "k_cache": caches[0].data,
            "v_cache": caches[1].data,
            "position": (torch.zeros_like(first) if is_for_context_encoding else first).to(torch.uint32),
            "bucket": cache_rows(attention_mask.shape[-1]),
        }
        return values
