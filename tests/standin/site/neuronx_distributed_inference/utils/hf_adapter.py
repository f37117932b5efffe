"""Stand-in for neuronx_distributed_inference.utils.hf_adapter: a prefill call, then a decode call a token."""

import types

import torch

KNOWN = {
    "input_ids",
    "attention_mask",
    "generation_config",
    "min_new_tokens",
    "max_new_tokens",
    "top_k",
    "do_sample",
    "sampling_params",
    "max_length",
    "return_dict_in_generate",
    "output_scores",
}


def load_pretrained_config(path):
    """What the model's configuration class calls to read the checkpoint's configuration."""
    return lambda config: None


class HuggingFaceGenerationAdapter:
    """Drives a model's two sub-models."""

    def __init__(self, model):
        self.model = model

    def generate(self, **given):
        """Generate exactly max_new_tokens."""
        assert set(given) <= KNOWN, sorted(set(given) - KNOWN)
        assert self.model.fresh, "generate() without reset() reads the last prompt's cache"
        self.model.fresh = False
        ids, mask = given["input_ids"], given["attention_mask"]
        assert ids.shape[1] + given["max_new_tokens"] <= self.model.neuron_config.seq_len
        scores = [self.model.context_encoding_model(ids, mask)]
        for _ in range(given["max_new_tokens"] - 1):
            mask = torch.cat((mask, torch.ones((1, 1), dtype=mask.dtype)), dim=1)
            scores.append(self.model.token_generation_model(ids[:, -1:], mask))
        return types.SimpleNamespace(scores=scores)
