"""The program of the child process: the challenge's model on NxD Inference, one pass a process.

    python -m collectors.device.model PASS SPEC EVENTS_FD

PASS is `compile`, `reference` (NxD Inference's own model: compile, load, save logits), `time` or `profile`;
SPEC a JSON file written by `collectors.device.capture`. What it measures goes to the pipe EVENTS_FD as JSON
lines; everything printed, by NxD Inference, the compiler and the runtime too, is the log.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collectors.device.events import CHECK, FACTS, FAILED, Events
from collectors.device.generation import DECODE, PREFILL, Loaded, generate_few, time_prompt
from kernels.plugged import plugged_slots

CONTEST_MODEL = "qwen_with_nki"
MODEL_CLASS = "NeuronQwen3MoeForCausalLM"
PLUG_IN = "kernels.neuron_model"
WHOLE = "whole"
"""A file beside the compiled model, written when its compilation has ended well."""
# What main.py's command line gives when nothing is typed, less what does not reach the model.
CHALLENGE_DEFAULTS: dict[str, Any] = {
    "tp_degree": 4,
    "moe_tp_degree": 1,
    "moe_ep_degree": 1,
    "enable_bucketing": True,
    "cc_pipeline_tiling_factor": 2,
    "blockwise_matmul_config": {"use_torch_block_wise": True},
}
SAMPLING = {
    "do_sample": True,
    "top_k": 20,
    "top_p": 0.95,
    "temperature": 0.6,
    "pad_token_id": 2,
    "dynamic": False,
}


def main(argv: list[str]) -> int:
    """Run one pass; 0 when it succeeded. A failure becomes an event, its traceback goes to the log."""
    name, spec_file, descriptor = argv
    events = Events(int(descriptor))
    spec = json.loads(Path(spec_file).read_text(encoding="utf-8"))
    try:
        PASSES[name](spec, events)
    except Exception as error:
        traceback.print_exc()
        events.emit(FAILED, phase=events.phase_name, error=f"{type(error).__name__}: {error}")
        return 1
    return 0


def compile_pass(spec: dict[str, Any], events: Events) -> None:
    """Trace, compile and shard the plugged model."""
    model = _import_and_build(spec, events)
    _compile(model, spec, events)


def reference_pass(spec: dict[str, Any], events: Events) -> None:
    """Compile and load NxD Inference's own model and save its logits for the prompt."""
    from collectors.device.accuracy import save_reference

    with events.phase("import"):
        model_class = importlib.import_module(
            "neuronx_distributed_inference.models.qwen3_moe.modeling_qwen3_moe"
        ).NeuronQwen3MoeForCausalLM
    model = build(model_class, spec)
    _compile(model, spec, events)
    loaded = _load(model, spec, events)
    with events.phase("reference"):
        tokens = save_reference(loaded, spec["prompt"], Path(spec["reference"]))
    events.emit(FACTS, reference_tokens=tokens)


def time_pass(spec: dict[str, Any], events: Events) -> None:
    """Load, check the logits when a reference is given, and time the generations without a profiler."""
    loaded = _load(_import_and_build(spec, events), spec, events)
    if spec.get("reference"):
        from collectors.device.accuracy import validate

        with events.phase("accuracy"):
            passed, status = validate(loaded, spec["prompt"], Path(spec["reference"]))
        events.emit(CHECK, passed=passed, detail=status)
    time_prompt(loaded, spec["prompt"], int(spec["repeat"]), events)
    _report_share(events)


def profile_pass(spec: dict[str, Any], events: Events) -> None:
    """Load and generate a few tokens while the runtime records; the environment has switched that on."""
    loaded = _load(_import_and_build(spec, events), spec, events)
    with events.phase("profile"):
        generate_few(loaded, spec["prompt"], int(spec["profile_tokens"]))


PASSES: dict[str, Callable[[dict[str, Any], Events], None]] = {
    "compile": compile_pass,
    "reference": reference_pass,
    "time": time_pass,
    "profile": profile_pass,
}


def model_class(spec: dict[str, Any]) -> Any:
    """The class to run: the user's own clone of the challenge, or this project's plug-in with its kernels."""
    if spec.get("contest_dir"):
        sys.path.insert(0, spec["contest_dir"])
        return getattr(importlib.import_module(spec.get("contest_module", CONTEST_MODEL)), MODEL_CLASS)
    plug_in: Any = importlib.import_module(PLUG_IN)
    plug_in.CHOICE = spec["kernels"]
    return getattr(plug_in, MODEL_CLASS)


def plugged_kernels(spec: dict[str, Any]) -> dict[str, str]:
    """The slots that run the chosen kernels on a device; NxD Inference's own code runs in the others."""
    if spec.get("contest_dir"):
        return {}
    return plugged_slots(spec["kernels"])


def build(chosen: Any, spec: dict[str, Any]) -> Any:
    """An instance of a model class, configured as the challenge configures it."""
    from neuronx_distributed_inference.models.config import to_torch_dtype
    from neuronx_distributed_inference.utils.hf_adapter import load_pretrained_config
    from neuronx_distributed_inference.utils.random import set_random_seed

    set_random_seed(0)
    lengths = {"seq_len": spec["seq_len"], "max_length": spec["seq_len"], "batch_size": spec["batch"]}
    wanted = {**CHALLENGE_DEFAULTS, **lengths, "torch_dtype": to_torch_dtype("bfloat16"), **spec["flags"]}
    neuron_config = chosen.get_neuron_config_cls()(**wanted)
    config = chosen.get_config_cls()(neuron_config, load_config=load_pretrained_config(spec["model_path"]))
    return chosen(spec["model_path"], config)


def _import_and_build(spec: dict[str, Any], events: Events) -> Any:
    with events.phase("import"):
        chosen = model_class(spec)
    events.emit(FACTS, kernels=plugged_kernels(spec))
    return build(chosen, spec)


def _compile(model: Any, spec: dict[str, Any], events: Events) -> None:
    """Compile a model once: what an earlier pass finished stays, what one left half done goes."""
    place = Path(spec["compiled_path"])
    if (place / WHOLE).exists():
        return
    for folder in (place, Path(os.environ["BASE_COMPILE_WORK_DIR"])):
        shutil.rmtree(folder, ignore_errors=True)
    with events.phase("compile"):
        model.compile(spec["compiled_path"])
    (place / WHOLE).touch()


def _load(model: Any, spec: dict[str, Any], events: Events) -> Loaded:
    """Put a compiled model on the device, warm its graphs up apart where this NxD Inference lets us."""
    from transformers import AutoTokenizer, GenerationConfig

    separate = "skip_warmup" in inspect.signature(model.load).parameters
    with events.phase("load"):
        model.load(spec["compiled_path"], **({"skip_warmup": True} if separate else {}))
    if separate:
        with events.phase("warm up graphs"):
            model.warmup()
    tokenizer = AutoTokenizer.from_pretrained(spec["model_path"], padding_side="right")
    tokenizer.pad_token = tokenizer.eos_token
    model.neuron_config.pad_token_id = tokenizer.pad_token_id
    generation_config = GenerationConfig.from_pretrained(spec["model_path"])
    generation_config.update(**SAMPLING)  # type: ignore[no-untyped-call]
    buckets = {name: list(getattr(model, name).neuron_config.buckets) for name in (PREFILL, DECODE)}
    events.emit(FACTS, buckets=buckets)
    return Loaded(model, tokenizer, generation_config)


def _report_share(events: Events) -> None:
    from collectors.device.nki_share import nki_share

    try:
        macs = nki_share(Path(os.environ["BASE_COMPILE_WORK_DIR"]))
    except ValueError as reason:
        events.emit(FACTS, nki_share_missing=str(reason))
    else:
        events.emit(FACTS, nki_flops_share=macs.share, nki_macs=macs.nki, total_macs=macs.total)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
