"""Logits of the plugged model against NxD Inference's own, as the challenge checks them. Runs in the child.

aws-neuron/nki-moe main.py `check_accuracy_logits`: the reference generates greedily, the candidate is checked
by teacher forcing up to each divergence, with the tolerances below. The reference model runs in a process of
its own and leaves its logits in a file, so that the two never share device memory or compile folders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from collectors.device.generation import Loaded, encode

# Top-k slice of the vocabulary (None: all of it) → (absolute, relative) tolerance; main.py `args.tol_map`.
TOLERANCES: dict[int | None, tuple[float, float]] = {
    None: (1e-5, 0.05),
    1000: (1e-5, 0.03),
    50: (1e-5, 0.03),
    5: (1e-5, 0.03),
}
DIVERGENCE_TOLERANCE = 0.001


def save_reference(loaded: Loaded, prompt: str, path: Path) -> int:
    """Generate greedily and save the logits, [new tokens, batch, vocabulary]; how many tokens they cover."""
    import torch

    ids, mask = encode(loaded, prompt)
    logits = _greedy(loaded, ids, mask)
    torch.save({"input_ids": ids, "logits": logits}, path)
    return int(logits.shape[0])


def validate(loaded: Loaded, prompt: str, path: Path) -> tuple[bool, str]:
    """Whether the model's logits agree with the saved ones, and what the validator said."""
    import torch
    from torch_neuronx.testing.validation import logit_validation

    saved = torch.load(path)
    ids, mask = encode(loaded, prompt)
    if not torch.equal(ids, saved["input_ids"]):
        return False, "The reference was generated for another prompt."
    ones = torch.ones((mask.shape[0], saved["logits"].shape[0]), dtype=mask.dtype)
    whole_mask = torch.cat((mask, ones), dim=1)
    passed, _, status = logit_validation(
        input_ids=ids,
        generate_fn=lambda given: _greedy(loaded, given, whole_mask[:, : given.shape[1]]),
        expected_logits=saved["logits"],
        tol_map=TOLERANCES,
        divergence_difference_tol=DIVERGENCE_TOLERANCE,
    )
    return bool(passed), str(status)


def _greedy(loaded: Loaded, ids: Any, mask: Any) -> Any:
    import torch
    from neuronx_distributed_inference.utils.hf_adapter import HuggingFaceGenerationAdapter

    new_tokens = loaded.neuron_config.seq_len - ids.shape[1]
    loaded.neuron_config.max_new_tokens = new_tokens
    loaded.model.reset()
    with torch.inference_mode():
        outputs = HuggingFaceGenerationAdapter(loaded.model).generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
            generation_config=loaded.generation_config,
        )
    return torch.stack(outputs.scores)
