"""A small random Qwen3-MoE as Hugging Face saves it, and what NxD Inference expects of older transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

VOCABULARY, LAYERS, ROPE_THETA = 512, 2, 1e4
ROUTER = 4.0
"""How much wider than other weights the router's are spread."""
WORDS = ["?", "!", "_", *(f"w{number}" for number in range(3, VOCABULARY))]
"""The tokens, by id; the second ends a text, the third pads."""


def make_model(folder: Path, ranks: int, seed: int, **changed: Any) -> Any:
    """Save a model of one key/value head and two query heads a rank, with a tokenizer; returns it in fp32.

    Its weights are those bf16 represents exactly, and are saved so.
    """
    import torch
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 256,
        "intermediate_size": 64 * ranks,
        "moe_intermediate_size": 64 * ranks,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2 * ranks,
        "num_key_value_heads": ranks,
        "head_dim": 128,
        "num_experts": 16,
        "num_experts_per_tok": 8,
        "norm_topk_prob": True,
        "rope_theta": ROPE_THETA,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": False,
        "pad_token_id": 2,
        "eos_token_id": 1,
        "dtype": "bfloat16",
    }
    torch.manual_seed(seed)
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**{**settings, **changed}))
    with torch.no_grad():
        for name, held in model.named_parameters():
            noise = torch.randn(held.shape)
            held.copy_(1 + 0.1 * noise if "norm" in name else noise * _scale(name, held.shape[-1]))
    model.bfloat16().save_pretrained(folder)
    _save_tokenizer(folder)
    return model.float().eval()


def _scale(name: str, fan_in: int) -> float:
    """Standard deviation of a weight; a router decides, so that few tokens' eighth and ninth experts tie."""
    if "embed" in name:
        return 1.0
    return float((ROUTER if "mlp.gate." in name else 1.0) * fan_in**-0.5)


def _save_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    plain = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    plain.pre_tokenizer = Whitespace()
    _, end, pad = WORDS[:3]
    PreTrainedTokenizerFast(tokenizer_object=plain, eos_token=end, pad_token=pad).save_pretrained(folder)


def older_transformers() -> None:
    """Rotary settings where transformers before version 5 has them."""
    from transformers import Qwen3MoeConfig

    new = Qwen3MoeConfig.to_dict

    def to_dict(config: Any) -> dict[str, Any]:
        return {**new(config), "rope_theta": ROPE_THETA, "rope_scaling": None}

    Qwen3MoeConfig.to_dict = to_dict  # type: ignore[method-assign]
    Qwen3MoeConfig.rope_scaling, Qwen3MoeConfig.rope_theta = None, ROPE_THETA
