"""Greedy tokens of the plug-in on the real source of NxD Inference, on a CPU, against transformers.

python tests/recipes/plug_in_generates.py CLONE_OF_neuronx-distributed CLONE_OF_its_inference KERNELS STEPS

The model, its caches and their manager are NxD Inference's; every kernel the plug-in launches is executed by
the simulator on NumPy in place of the device. One rank, a small random checkpoint. Tokens must be those of
transformers in fp32, and logits within the challenge's tolerance of transformers in fp32 or in bf16: where
two experts nearly tie, bf16 may route a token elsewhere than fp32 does, and transformers' own bf16 leaves the
tolerance around fp32 there too. Prints kernels launched and the worst errors; exits 1 when a step is further
off or a token differs.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
from executed import Executed, launched
from plug_in_on_nxd_source import EXPERTS, LAYERS, VOCABULARY, build, configuration, stand_in

PROMPT, BUCKET = 20, 128


def checkpoint_of(reference: Any) -> dict[str, Any]:
    """Weights of a transformers model under the names of a checkpoint, experts one by one, bf16."""
    weights = {k.removeprefix("model."): v.bfloat16() for k, v in reference.state_dict().items()}
    for layer in range(LAYERS):
        at = f"layers.{layer}.mlp.experts"
        if f"{at}.gate_up_proj" not in weights:
            continue
        gate_up, down = weights.pop(f"{at}.gate_up_proj"), weights.pop(f"{at}.down_proj")
        for expert in range(EXPERTS):
            gate, up = gate_up[expert].chunk(2)
            weights |= {f"{at}.{expert}.{n}_proj.weight": w for n, w in (("gate", gate), ("up", up))}
            weights[f"{at}.{expert}.down_proj.weight"] = down[expert]
    return weights


def without_markers() -> None:
    """Layer boundaries, hints to the compiler alone, pass their argument on."""
    from neuronx_distributed_inference.models import layer_boundary_marker as markers

    for marker in (markers.ModuleMarkerStartWrapper, markers.ModuleMarkerEndWrapper):
        marker.forward = lambda _, *values: values[0] if len(values) == 1 else values


def loaded(model: Any, weights: dict[str, Any]) -> Any:
    """The model with the converted weights, cut and cast as NxD does it for rank 0 of 1."""
    import torch
    from neuronx_distributed.trace.trace import get_sharded_checkpoint

    model._apply(lambda t: t.to(torch.bfloat16) if t.is_floating_point() else t)
    for name, parameter in model.named_parameters():
        if name.endswith("scale"):
            parameter.data = parameter.data.float()
    get_sharded_checkpoint(weights, model, 0, 1)
    found = model.load_state_dict(weights, strict=False)
    absent = [name for name in found.missing_keys if "kv_mgr" not in name]
    if absent or found.unexpected_keys:
        raise SystemExit(f"without a weight: {absent}; weights nothing holds: {found.unexpected_keys}")
    return model.eval()


class Reference:
    """A transformers model fed as the plug-in is, with the experts decode has in the chosen kernels."""

    def __init__(self, model: Any, fp8: bool) -> None:
        self.prompt, self.decode = model, with_fp8_experts(model) if fp8 else model
        self.past: Any = None

    def step(self, tokens: list[int]) -> Any:
        """Logits of the last of `tokens`, which follow those before."""
        import torch

        model = self.prompt if self.past is None else self.decode
        with torch.no_grad():
            out = model(torch.tensor([tokens]), past_key_values=self.past, use_cache=True)
        self.past = out.past_key_values
        return out.logits[0, -1].float().numpy()


def with_fp8_experts(model: Any) -> Any:
    """A copy whose experts have the values fp8 holds, by the NumPy layout the kernels are tested with."""
    import torch

    from kernels.layouts import dequantised, quantised

    made = copy.deepcopy(model)
    for name, held in made.named_parameters():
        if ".mlp.experts." not in name:
            continue
        parts = held.data.chunk(2, dim=1) if "gate_up" in name else (held.data,)
        values = [dequantised(b, s[:, None, None]) for b, s in (quantised(p.float().numpy()) for p in parts)]
        held.data = torch.cat([torch.from_numpy(v) for v in values], dim=1).to(held.dtype)
    return made


def step(model: Any, tokens: list[int], first: int, width: int) -> Any:
    """Logits of the last of `tokens`, at positions from `first`, padded to `width`; caches are kept."""
    import torch

    ids = torch.zeros(1, width, dtype=torch.int32)
    ids[0, : len(tokens)] = torch.tensor(tokens)
    places = torch.zeros(1, width, dtype=torch.int32)
    places[0, : len(tokens)] = torch.arange(first, first + len(tokens))
    seen = first + len(tokens) if width > 1 else first
    mask = (torch.arange(BUCKET) < seen).int()[None]
    empty = torch.empty(0)
    with torch.no_grad():
        logits, *caches = model(ids, mask, places, torch.zeros(1, dtype=torch.int32), empty)
    for held, new in zip(model.kv_mgr.past_key_values, caches, strict=True):
        held.data = new
    return logits.reshape(-1).float().numpy()


def main(clones: list[Path], choice: str, steps: int) -> int:
    """Prefill and `steps` decode steps, each fed the greedy token of transformers in fp32."""
    stand_in(clones)

    import kernels.neuron_model as plugged
    import kernels.neuron_parts as parts
    from kernels.registry import kernel_choice
    from kernels.small_model import judge_step, reference_model

    without_markers()
    parts.function_of = Executed
    plugged.CHOICE = kernel_choice(choice)
    plug_in = plugged.NeuronQwen3MoeForCausalLM
    exact = reference_model()
    fp8 = plugged.CHOICE["experts_decode"] == "fp8"
    references = [Reference(each, fp8) for each in (exact, copy.deepcopy(exact).bfloat16())]
    config = configuration(plug_in)
    weights = plug_in.convert_hf_to_neuron_state_dict(checkpoint_of(exact), config)
    model = loaded(build(plug_in, config), weights)
    history = [int(t) for t in np.random.default_rng(5).integers(0, VOCABULARY, PROMPT)]
    errors: list[tuple[float, ...]] = []
    same = 0
    for number in range(steps + 1):
        given = history[-1:] if number else history
        actual = step(model, given, len(history) - len(given), 1 if number else BUCKET)
        logits = [reference.step(given) for reference in references]
        errors.append(tuple(judge_step(actual, expected)[1] for expected in logits))
        token = int(logits[0].argmax())
        same += int(actual.argmax()) == token
        history.append(token)
    worst = max(min(pair) for pair in errors)
    print("launched", dict(sorted(launched.items())))
    fp32, bf16 = (max(column) for column in zip(*errors, strict=True))
    print(f"worst error as a share of its tolerance: {worst:.2f}; around fp32 {fp32:.2f}, bf16 {bf16:.2f}")
    print(f"greedy tokens equal: {same} of {steps + 1}")
    return 0 if worst <= 1 and same == steps + 1 else 1


if __name__ == "__main__":
    sys.exit(main([Path(a) for a in sys.argv[1:3]], sys.argv[3], int(sys.argv[4])))
