"""Greedy tokens of the plug-in on the real source of NxD Inference, on a CPU, against transformers.

python tests/recipes/plug_in_generates.py CLONES [--kernels CHOICE] [--ranks 1] [--seed 0] [--prompt 20]
    [--seq-len 128] [--steps 32] [--change NAME=VALUE]...

CLONES holds neuronx-distributed and neuronx-distributed-inference. The application, its configuration, its
checkpoint conversion and sharding, its graphs, buckets and caches are theirs; ranks of one process stand in
for the device (nxd_device.py), and every kernel is executed by the simulator. Tokens must be those of
transformers in fp32, or tie with them in bf16, and logits within the challenge's tolerance of transformers in
fp32 or in bf16: where two experts nearly tie, bf16 may route a token elsewhere than fp32 does, and
transformers' own bf16 leaves the tolerance around fp32 there too. A change is of the model, of the
configuration NxD Inference is given, or of the checkpoint it loads (`without=WEIGHT`). Prints what ran and
the worst errors; exits 1 when a step is further off or a token differs.
"""

from __future__ import annotations

import argparse
import ast
import copy
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import nxd_device
from executed import Executed, launched
from nxd_source import stand_in, without_markers
from random_model import VOCABULARY, make_model, older_transformers

BF16_STEP = 2.0**-8
"""Logits closer than this, relatively, are one number in bf16, which NxD Inference's own head gives."""
OF_MODEL = ("tie_word_embeddings", "norm_topk_prob")
"""Changes that are of the model."""


class Reference:
    """A transformers model fed as the plug-in is, with the experts decode has in the chosen kernels."""

    def __init__(self, model: Any, fp8: bool, ranks: int) -> None:
        self.prompt, self.decode = model, with_fp8_experts(model, ranks) if fp8 else model
        self.past: Any = None

    def step(self, tokens: list[int]) -> Any:
        """Logits of the last of `tokens`, which follow those before."""
        import torch

        model = self.prompt if self.past is None else self.decode
        with torch.no_grad():
            out = model(torch.tensor([tokens]), past_key_values=self.past, use_cache=True)
        self.past = out.past_key_values
        return out.logits[0, -1].float().numpy()


def with_fp8_experts(model: Any, ranks: int) -> Any:
    """A copy whose experts have the values fp8 holds, by the NumPy layout the kernels are tested with."""
    import torch

    from kernels.layouts import dequantised, quantised

    made = copy.deepcopy(model)
    for name, held in made.named_parameters():
        if ".mlp.experts." not in name:
            continue
        width = 1 if "gate_up" in name else 2
        parts = held.data.chunk((2 if width == 1 else 1) * ranks, dim=width)
        values = [dequantised(b, s[:, None, None]) for b, s in (quantised(p.float().numpy()) for p in parts)]
        held.data = torch.cat([torch.from_numpy(v) for v in values], dim=width).to(held.dtype)
    return made


def application(plug_in: Any, folder: Path, asked: argparse.Namespace, changed: dict[str, Any]) -> Any:
    """The plug-in configured, compiled and loaded as the challenge does it."""
    import torch
    from neuronx_distributed_inference.utils.hf_adapter import load_pretrained_config

    settings = {
        "tp_degree": asked.ranks,
        "batch_size": 1,
        "seq_len": asked.seq_len,
        "max_length": asked.seq_len,
        "torch_dtype": torch.bfloat16,
        "enable_bucketing": True,
        "blockwise_matmul_config": {"use_torch_block_wise": True},
    }
    neuron_config = plug_in.get_neuron_config_cls()(**{**settings, **changed})
    config = plug_in.get_config_cls()(neuron_config, load_config=load_pretrained_config(folder))
    model = plug_in(str(folder), config)
    model.compile(str(folder / "traced"))
    model.load(str(folder / "traced"), skip_warmup=True)
    return model


def step(model: Any, tokens: list[int], first: int) -> Any:
    """Logits of the last of `tokens`, at positions from `first`, as the generation adapter asks for them."""
    import torch

    mask = torch.ones((1, first or len(tokens)), dtype=torch.int64)
    places = torch.arange(first, first + len(tokens))[None]
    found = model(input_ids=torch.tensor([tokens]), attention_mask=mask, position_ids=places)
    return found.logits.reshape(-1).float().numpy()


def run(
    model: Any, references: list[Reference], prompt: list[int], steps: int
) -> tuple[float, int, int, str]:
    """Prefill and `steps` decode steps, each fed the greedy token of transformers in fp32.

    The worst error, the tokens that are equal, those of them by a tie, and the errors around fp32 and bf16.
    """
    from kernels.small_model import judge_step

    history, errors, same, ties = list(prompt), [], 0, 0
    for number in range(steps + 1):
        given = history[-1:] if number else history
        actual = step(model, given, len(history) - len(given))
        logits = [reference.step(given) for reference in references]
        errors.append(tuple(judge_step(actual, expected)[1] for expected in logits))
        token, chosen = int(logits[0].argmax()), int(actual.argmax())
        tie = chosen != token and logits[0][token] - logits[0][chosen] < BF16_STEP * abs(logits[0][token])
        same, ties = same + (chosen == token or tie), ties + tie
        history.append(token)
    fp32, bf16 = (max(column) for column in zip(*errors, strict=True))
    return max(min(pair) for pair in errors), same, ties, f"around fp32 {fp32:.2f}, bf16 {bf16:.2f}"


def changes(texts: list[str]) -> dict[str, Any]:
    """NAME=VALUE texts, values as Python writes them or plain words."""
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found


def spoil(folder: Path, weight: str) -> None:
    """Take a weight out of the checkpoint."""
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if k != weight}, path)


def main(asked: argparse.Namespace) -> int:
    """Run the recipe and print its findings."""
    stand_in([asked.clones / "neuronx-distributed", asked.clones / "neuronx-distributed-inference"])

    import kernels.neuron_model as plugged
    import kernels.neuron_parts as parts
    from kernels.registry import kernel_choice

    without_markers()
    older_transformers()
    nxd_device.install_device()
    parts.function_of = Executed
    plugged.CHOICE = kernel_choice(asked.kernels)
    changed = changes(asked.change)
    of_model = {name: changed.pop(name) for name in OF_MODEL if name in changed}
    without = changed.pop("without", None)
    with tempfile.TemporaryDirectory() as place:
        nxd_device.work_in(Path(place, "work"))
        exact = make_model(Path(place), asked.ranks, asked.seed, **of_model)
        if without:
            spoil(Path(place), without)
        model = application(plugged.NeuronQwen3MoeForCausalLM, Path(place), asked, changed)
        fp8 = plugged.CHOICE["experts_decode"] == "fp8"
        references = [Reference(each, fp8, asked.ranks) for each in (exact, copy.deepcopy(exact).bfloat16())]
        prompt = [int(t) for t in np.random.default_rng(5 + asked.seed).integers(3, VOCABULARY, asked.prompt)]
        worst, same, ties, around = run(model, references, prompt, asked.steps)
    print("launched", dict(sorted(launched.items())))
    (device,) = nxd_device.devices
    for (graph, bucket), share in device.shares().items():
        print(f"ran {graph} bucket {bucket}: {share:.6f} of its multiply-accumulates in kernels")
    print(f"worst error as a share of its tolerance: {worst:.2f}; {around}")
    print(f"greedy tokens equal: {same} of {asked.steps + 1}, of them {ties} by a tie in bf16")
    return 0 if worst <= 1 and same == asked.steps + 1 else 1


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clones", type=Path)
    parser.add_argument("--kernels", default="tuned")
    parser.add_argument("--change", action="append", default=[])
    for name, default in (("ranks", 1), ("seed", 0), ("prompt", 20), ("seq-len", 128), ("steps", 32)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(arguments()))
