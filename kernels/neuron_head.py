"""Head of the NxD Inference plug-in: the final norm and the rank's columns of the vocabulary by kernels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from neuronx_distributed.parallel_layers.mappings import gather_from_tensor_model_parallel_region
from neuronx_distributed.parallel_layers.parallel_state import get_tensor_model_parallel_group

from kernels.neuron_parts import Passing, RankShare, kernels_for, launch, row_of
from kernels.registry import Variant

NORM = "final_norm"


class KernelNorm(Passing):
    """The final norm of every row by its kernel, unless the kernel of the head applies it."""

    def __init__(self, hidden_size: int, eps: float, choice: Mapping[str, str]) -> None:
        super().__init__(hidden_size, eps)
        self._choice = choice
        self._apart = bool(_norms(head_kernels(choice)))

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[1, S, H] normed, or as it is. NxD Inference gives it every row of a prompt's bucket."""
        if not self._apart:
            return hidden_states
        rows = hidden_states.reshape(-1, hidden_states.shape[-1])
        values: dict[str, Any] = {"hidden": rows, NORM: row_of(self, rows), "eps": self.variance_epsilon}
        phase = "decode" if len(rows) == 1 else "prefill"
        for kernel in _norms(kernels_for(self._choice, "head", phase, len(rows))):
            launch(kernel, values)
        normed: torch.Tensor = values["normed"]
        return normed.reshape(hidden_states.shape)


class KernelHead(RankShare):
    """Logits of one position, a share of the vocabulary on each rank.

    `norm` holds the final norm's weight. `gather_output` and `tensor_parallel_group` are read by NxD
    Inference, which samples from the shares where it samples on the device.
    """

    def __init__(self, config: Any, norm: KernelNorm, choice: Mapping[str, str], gather_output: bool) -> None:
        ranks = config.neuron_config.tp_degree
        super().__init__("weight", (config.hidden_size, config.vocab_size // ranks), torch.bfloat16, ranks)
        self.gather_output = gather_output
        self.tensor_parallel_group = get_tensor_model_parallel_group()
        kernels = head_kernels(choice)
        self._kernels = [kernel for kernel in kernels if kernel not in _norms(kernels)]
        # in a list, so that its weight is registered once, by the model
        self._norm = [norm]

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """[1, 1, H] to logits [1, 1, V] in fp32, or the rank's share of them."""
        row, norm = hidden_states.reshape(1, -1), self._norm[0]
        values: dict[str, Any] = {
            "hidden": row,
            "normed": row,
            NORM: row_of(norm, row),
            "eps": norm.variance_epsilon,
            "lm_head": self.weight,
            "last": torch.zeros((1, 1), dtype=torch.int32, device=row.device).to(torch.uint32),
        }
        for kernel in self._kernels:
            launch(kernel, values)
        logits: torch.Tensor = values["logits"].reshape(1, 1, -1)
        if not self.gather_output:
            return logits
        gathered: torch.Tensor = gather_from_tensor_model_parallel_region(
            logits, process_group=self.tensor_parallel_group
        )
        return gathered


def _norms(kernels: Iterable[Variant]) -> tuple[Variant, ...]:
    return tuple(kernel for kernel in kernels if kernel.covers == (NORM,))


def head_kernels(choice: Mapping[str, str]) -> tuple[Variant, ...]:
    """The kernels of one row, which is what NxD Inference gives the head in both phases."""
    return kernels_for(choice, "head", "decode", 1)
