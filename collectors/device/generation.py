"""Timed generation of a prompt, as the challenge's benchmark does it. Runs in the child process.

aws-neuron/nki-moe main.py `benchmark_sampling` and NxD Inference utils/benchmark.py: the raw prompt, exactly
`seq_len - prompt tokens` new tokens, reset + generate once to warm up and then `repeat` times under the
clock, with hooks around the context-encoding and token-generation graphs. Every sample is kept.
"""

from __future__ import annotations

import copy
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from collectors.device.events import Events

PREFILL, DECODE = "context_encoding_model", "token_generation_model"


@dataclass
class Loaded:
    """A model on the device with its tokenizer and generation configuration."""

    model: Any
    tokenizer: Any
    generation_config: Any

    @property
    def neuron_config(self) -> Any:
        """The NxD Inference configuration of the model."""
        return self.model.neuron_config


@dataclass
class CallTimes:
    """Nanoseconds of every call of a sub-model, by the bucket it ran in, in order of execution."""

    started: int = 0
    by_bucket: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def before(self, *_: Any) -> None:
        """Forward pre-hook."""
        self.started = time.perf_counter_ns()

    def after(self, module: Any, inputs: tuple[Any, ...], _: Any) -> None:
        """Forward hook."""
        elapsed = time.perf_counter_ns() - self.started
        self.by_bucket[bucket_of(module, inputs)].append(float(elapsed))

    def take(self) -> dict[int, list[float]]:
        """What was collected since the last take."""
        taken, self.by_bucket = dict(self.by_bucket), defaultdict(list)
        return taken


def bucket_of(module: Any, inputs: tuple[Any, ...]) -> int:
    """The bucket NxD Inference runs a call in: the first longer than the attention mask, else the largest.

    `ModelWrapper._get_seq_bucket` with its "first_fit" strategy; the mask is the second input.
    """
    length = int(inputs[1].shape[1])
    buckets = [int(bucket) for bucket in module.neuron_config.buckets]
    return next((bucket for bucket in buckets if length < bucket), buckets[-1])


def encode(loaded: Loaded, prompt: str) -> tuple[Any, Any]:
    """Token ids and attention mask of the raw prompt: no chat template."""
    inputs = loaded.tokenizer([prompt], padding=True, return_tensors="pt")
    return inputs.input_ids, inputs.attention_mask


def parameters(loaded: Loaded, prompt: str, new_tokens: int | None = None) -> dict[str, Any]:
    """The arguments of `generate` for a prompt; `new_tokens` defaults to all that fit the sequence length."""
    from neuronx_distributed_inference.modules.generation.sampling import prepare_sampling_params

    config = copy.deepcopy(loaded.generation_config)
    if loaded.model.on_device_sampling:
        config.eos_token_id = []
    ids, mask = encode(loaded, prompt)
    neuron_config = loaded.neuron_config
    neuron_config.max_new_tokens = new_tokens or neuron_config.seq_len - ids.shape[1]
    sampling = prepare_sampling_params(
        batch_size=neuron_config.batch_size,
        top_k=_listed(config.top_k),
        top_p=_listed(config.top_p),
        temperature=_listed(config.temperature),
    )
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "generation_config": config,
        "min_new_tokens": neuron_config.max_new_tokens,
        "max_new_tokens": neuron_config.max_new_tokens,
        "top_k": 1,
        "do_sample": not neuron_config.enable_fused_speculation,
        "sampling_params": sampling,
        "max_length": None,
    }


def time_prompt(loaded: Loaded, prompt: str, repeat: int, events: Events) -> None:
    """Warm up once, then generate `repeat` times and report end-to-end and per-call nanoseconds of each."""
    adapter = _adapter(loaded.model)
    wanted = parameters(loaded, prompt)
    events.emit(
        "facts",
        prompt_tokens=int(wanted["input_ids"].shape[1]),
        new_tokens=int(wanted["max_new_tokens"]),
        async_mode=bool(getattr(loaded.neuron_config, "async_mode", False)),
    )
    with events.phase("warm up"):
        loaded.model.reset()
        adapter.generate(**wanted)
    collectors = {PREFILL: CallTimes(), DECODE: CallTimes()}
    handles = [
        handle for name, times in collectors.items() for handle in _hook(getattr(loaded.model, name), times)
    ]
    with events.phase("generate"):
        for repetition in range(repeat):
            started = time.perf_counter_ns()
            loaded.model.reset()
            adapter.generate(**wanted)
            elapsed = time.perf_counter_ns() - started
            events.samples("e2e_ns", [float(elapsed)], repetition=repetition)
            _report(collectors, repetition, events)
    for handle in handles:
        handle.remove()
    loaded.model.reset()


def generate_few(loaded: Loaded, prompt: str, new_tokens: int) -> None:
    """Generate a few tokens: what a profiling pass watches."""
    loaded.model.reset()
    _adapter(loaded.model).generate(**parameters(loaded, prompt, new_tokens))
    loaded.model.reset()


def _report(collectors: dict[str, CallTimes], repetition: int, events: Events) -> None:
    for name, metric in ((PREFILL, "prefill_ns"), (DECODE, "decode_ns")):
        for bucket, values in collectors[name].take().items():
            events.samples(metric, values, repetition=repetition, bucket=bucket)


def _hook(module: Any, times: CallTimes) -> list[Any]:
    return [module.register_forward_pre_hook(times.before), module.register_forward_hook(times.after)]


def _adapter(model: Any) -> Any:
    from neuronx_distributed_inference.utils.hf_adapter import HuggingFaceGenerationAdapter

    return HuggingFaceGenerationAdapter(model)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
