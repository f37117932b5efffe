"""Stand-in for the two classes of transformers a pass uses: a word is a token."""

import copy
import types

import torch


class AutoTokenizer:
    """Splits on spaces."""

    eos_token, pad_token, pad_token_id = "</s>", None, 2

    @classmethod
    def from_pretrained(cls, path, padding_side):
        """A tokenizer."""
        assert padding_side == "right"
        return cls()

    def __call__(self, prompts, padding, return_tensors):
        """Token ids and mask of one prompt."""
        assert padding is True
        assert return_tensors == "pt"
        ids = torch.tensor([[len(word) for word in prompts[0].split()]])
        return types.SimpleNamespace(input_ids=ids, attention_mask=torch.ones_like(ids))


class GenerationConfig:
    """A bag of settings."""

    def __init__(self):
        self.eos_token_id = [1]

    @classmethod
    def from_pretrained(cls, path):
        """A configuration."""
        return cls()

    def update(self, **settings):
        """Set fields."""
        self.__dict__.update(copy.deepcopy(settings))
