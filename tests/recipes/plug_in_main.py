"""The challenge's main.py, unchanged, with the plug-in as its model, on the real source of NxD Inference.

python tests/recipes/plug_in_main.py CLONES MODULE_FILE FOLDER [argument of main.py]...

CLONES holds neuronx-distributed, neuronx-distributed-inference and nki-moe. MODULE_FILE becomes
`qwen_with_nki`: this repository's qwen.py, or a file `collectors bundle` wrote. FOLDER receives a small random
Qwen3-MoE with a tokenizer, what main.py writes, and what it looks for in /tmp/nxd_model. Four ranks of one
process stand in for the device (nxd_device.py); kernels are executed by the simulator.
"""

from __future__ import annotations

import builtins
import copy
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import executed
import nxd_device
from plug_in_on_nxd_source import stand_in

WORKDIR = "/tmp/nxd_model"  # noqa: S108 - the folder main.py has in its text
SIZES = {
    "vocab_size": 512,
    "hidden_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_experts": 16,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 256,
    "intermediate_size": 256,
    "norm_topk_prob": True,
    "max_position_embeddings": 1024,
    "rope_theta": 1e6,
    "tie_word_embeddings": False,
}


VOCABULARY = [f"w{number}" for number in range(3, 512)]


def make_model(folder: Path) -> None:
    """A Qwen3-MoE of random bf16 weights with a tokenizer of whole words, as Hugging Face saves them."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

    torch.manual_seed(0)
    model = Qwen3MoeForCausalLM(Qwen3MoeConfig(**SIZES, dtype="bfloat16", pad_token_id=2, eos_token_id=1))
    with torch.no_grad():
        for name, held in model.named_parameters():
            scale = 1.0 if "embed" in name else held.shape[-1] ** -0.5
            noise = torch.randn(held.shape)
            held.copy_(1 + 0.1 * noise if "norm" in name else noise * scale)
    model.bfloat16().save_pretrained(folder)
    words = {word: number for number, word in enumerate(["?", "!", "_", *VOCABULARY])}
    plain = Tokenizer(WordLevel(words, unk_token="?"))
    plain.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="!", pad_token="_").save_pretrained(folder)


def logit_validation(
    input_ids: Any, generate_fn: Any, expected_logits: Any, tol_map: Any, divergence_difference_tol: float
) -> tuple[bool, list[Any], str]:
    """As torch-neuronx has it: logits are compared up to where tokens differ, then from there on again."""
    import torch

    from kernels.small_model import judge_step

    assert set(tol_map) == {None, 1000, 50, 5}
    tokens = expected_logits.argmax(dim=2)
    start, worst = 0, 0.0
    while start < len(tokens):
        actual = generate_fn(torch.cat([input_ids, tokens[:start].T], dim=1))
        for step, (found, wanted) in enumerate(zip(actual, expected_logits[start:], strict=True), start):
            passed, share, detail = judge_step(found[0].float().numpy(), wanted[0].float().numpy())
            worst = max(worst, share)
            if not passed:
                return False, [], f"Test failed at batch 0 token {step}. {detail}"
            if found.argmax() != tokens[step]:
                break
        start = step + 1
    return True, [], f"worst error {worst:.2f} of its tolerance"


def older_transformers() -> None:
    """What NxD Inference expects of transformers before version 5: rotary settings, and a mask of ones."""
    from transformers import GenerationMixin, Qwen3MoeConfig

    new = Qwen3MoeConfig.to_dict

    def to_dict(config: Any) -> dict[str, Any]:
        return {**new(config), "rope_theta": SIZES["rope_theta"], "rope_scaling": None}

    Qwen3MoeConfig.to_dict = to_dict  # type: ignore[method-assign]
    Qwen3MoeConfig.rope_scaling, Qwen3MoeConfig.rope_theta = None, SIZES["rope_theta"]
    GenerationMixin.generate = generate


def generate(
    adapter: Any,
    input_ids: Any,
    generation_config: Any,
    attention_mask: Any,
    max_new_tokens: int,
    **given: Any,
) -> Any:
    """GenerationMixin.generate up to `_sample`, which NxD Inference has its own of."""
    import torch
    from transformers.generation import LogitsProcessorList, MaxLengthCriteria, StoppingCriteriaList

    config = copy.deepcopy(generation_config)
    for name in ("do_sample", "top_k", "output_scores", "return_dict_in_generate"):
        if name in given:
            setattr(config, name, given[name])
    config._pad_token_tensor = torch.tensor(config.pad_token_id)
    length = input_ids.shape[1] + max_new_tokens
    return adapter._sample(
        input_ids,
        logits_processor=LogitsProcessorList(),
        stopping_criteria=StoppingCriteriaList([MaxLengthCriteria(length)]),
        generation_config=config,
        attention_mask=attention_mask,
    )


def validate_and_count() -> None:
    """What main.py and NxD Inference take from torch_neuronx: the comparison of logits, and HLO modules."""
    import torch_neuronx.pyhlo.hlo_pb2 as messages
    import torch_neuronx.testing.validation as validation

    class HloModuleProto:
        def ParseFromString(self, data: bytes) -> None:  # noqa: N802 (protobuf's name)
            self.computations = json.loads(data)["computations"]

    validation.logit_validation = logit_validation
    messages.HloModuleProto = HloModuleProto


def redirect(folder: Path) -> None:
    """What main.py looks for in its fixed folder lies in `folder`, where NxD Inference is told to work."""
    os.environ["BASE_COMPILE_WORK_DIR"] = str(folder)
    opened, listed = builtins.open, os.listdir

    def there(path: Any) -> Any:
        return str(path).replace(WORKDIR, str(folder)) if isinstance(path, str) else path

    builtins.open = lambda path, *rest, **named: opened(there(path), *rest, **named)  # type: ignore[assignment]
    os.listdir = lambda path=".": listed(there(path))  # type: ignore[assignment]


def load_module(file: Path) -> Any:
    """The plug-in as main.py will find it; its kernels are executed from where they stand."""
    spec = importlib.util.spec_from_file_location("qwen_with_nki", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["qwen_with_nki"] = module
    spec.loader.exec_module(module)
    if hasattr(module, "function_of"):
        vars(module)["function_of"] = lambda kernel: executed.Executed(kernel, file=str(file))
    else:
        import kernels.neuron_parts as parts

        parts.function_of = executed.Executed  # type: ignore[assignment]
    return module


def main(clones: Path, file: Path, folder: Path, arguments: list[str]) -> int:
    """Run main.py in `folder` and print what ran."""
    stand_in([clones / "neuronx-distributed", clones / "neuronx-distributed-inference"])
    from plug_in_generates import without_markers

    without_markers()
    validate_and_count()
    nxd_device.install_device()
    model = folder / "model"
    make_model(model)
    older_transformers()
    redirect(folder / "nxd_model")
    for name in ("prompts.txt", "prompt_data_trn3.csv"):
        (folder / name).write_bytes((clones / "nki-moe" / name).read_bytes())
    os.chdir(folder)
    load_module(file)
    sys.path.insert(0, str(clones / "nki-moe"))
    import main as challenge

    assert Path(challenge.__file__).samefile(clones / "nki-moe/main.py")
    sys.argv = [
        "main.py",
        "--model-path",
        str(model),
        "--compiled-model-path",
        str(folder / "traced"),
        *arguments,
    ]
    challenge.main()
    print("launched", dict(sorted(executed.launched.items())))
    for device in nxd_device.devices:
        print("ran", dict.fromkeys(device.calls))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve(), sys.argv[4:]))
