"""The challenge's main.py, unchanged, with the plug-in as its model, on the real source of NxD Inference.

python tests/recipes/plug_in_main.py CLONES MODULE_FILE FOLDER [argument of main.py]...

CLONES holds neuronx-distributed, neuronx-distributed-inference and nki-moe. MODULE_FILE becomes
`qwen_with_nki`: this repository's qwen.py, or a file `collectors bundle` wrote. FOLDER, where prompts.txt
and prompt_data_trn3.csv of a run lie, receives a small random Qwen3-MoE with a tokenizer, what main.py
writes, and what it looks for in /tmp/nxd_model. Four ranks of one process stand in for the device
(nxd_device.py); kernels are executed by the simulator.
"""

from __future__ import annotations

import builtins
import copy
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import executed
import nxd_device
from nxd_source import stand_in, without_markers
from random_model import make_model, older_transformers

WORKDIR = "/tmp/nxd_model"
"""The folder main.py has in its text."""


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
            found = json.loads(data, object_hook=lambda fields: SimpleNamespace(**fields))
            self.computations = found.computations

    validation.logit_validation = logit_validation
    messages.HloModuleProto = HloModuleProto


def redirect(folder: Path) -> None:
    """What main.py looks for in its fixed folder lies in `folder`, where NxD Inference is told to work."""
    nxd_device.work_in(folder)
    opened, listed = builtins.open, os.listdir

    def there(path: Any) -> Any:
        return path.replace(WORKDIR, str(folder)) if isinstance(path, str) else path

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
    from transformers import GenerationMixin

    without_markers()
    older_transformers()
    GenerationMixin.generate = generate
    validate_and_count()
    nxd_device.install_device()
    make_model(folder / "model", ranks=4, seed=0)
    redirect(folder / "nxd_model")
    os.chdir(folder)
    load_module(file)
    sys.path.insert(0, str(clones / "nki-moe"))
    import main as challenge

    assert Path(challenge.__file__).samefile(clones / "nki-moe/main.py")
    paths = ["--model-path", str(folder / "model"), "--compiled-model-path", str(folder / "traced")]
    sys.argv = ["main.py", *paths, *arguments]
    challenge.main()
    print("launched", dict(sorted(executed.launched.items())))
    for (graph, bucket), share in nxd_device.devices[-1].shares().items():
        print(f"ran {graph} bucket {bucket}: {share:.6f} of its multiply-accumulates in kernels")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve(), sys.argv[4:]))
