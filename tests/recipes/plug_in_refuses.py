"""What the plug-in refuses on the real source of NxD Inference, and checkpoints it takes in other forms.

python tests/recipes/plug_in_refuses.py CLONES

Prints a sentence a case; exits 1 where one is not refused, is refused in other words, or is not taken.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nxd_source import stand_in, without_markers
from random_model import make_model, older_transformers

Q = "model.layers.0.self_attn.q_proj.weight"
SETTINGS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"batch_size": 8}, "do not run batch 8; they run one sequence"),
    ({"tp_degree": 2}, "1 key/value heads on 2 ranks"),
    ({"seq_len": 1024}, "max_length=1024; they run 2 to 640"),
    ({"seq_len": 200}, "caches of 200 rows"),
    ({"context_encoding_buckets": [1, 64]}, "context_encoding_buckets=[1, 64]"),
    ({"padding_side": "left"}, "padding_side='left'; they run with 'right'"),
    ({"sequence_parallel_enabled": True}, "sequence_parallel_enabled=True"),
    ({"torch_dtype": "float32"}, "torch_dtype='float32'"),
    ({"logical_nc_config": 1}, "logical_nc_config=1"),
)
MODELS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"norm_topk_prob": False}, "norm_topk_prob=False"),
    ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
    ({"head_dim": 64}, "heads of 64"),
    ({"num_experts_per_tok": None}, "without num_experts_per_tok"),
    ({"model_type": "mixtral"}, "the configuration of a mixtral"),
)


def settings(plug_in: Any, **changed: Any) -> Any:
    """NxD Inference's configuration of one rank, with changes."""
    import torch

    if isinstance(kind := changed.get("torch_dtype"), str):
        changed["torch_dtype"] = getattr(torch, kind)
    given = {"tp_degree": 1, "batch_size": 1, "seq_len": 128, "torch_dtype": torch.bfloat16}
    return plug_in.get_neuron_config_cls()(**{**given, **changed})


def configuration(plug_in: Any, folder: Path, neuron_config: Any, changed: dict[str, Any]) -> Any:
    """The plug-in's configuration of the model in `folder`, with changes; None takes a setting away."""
    from neuronx_distributed_inference.utils.hf_adapter import load_pretrained_config

    def load(config: Any) -> None:
        load_pretrained_config(folder)(config)
        for name, value in changed.items():
            if value is None:
                del vars(config)[name]
            else:
                setattr(config, name, value)

    return plug_in.get_config_cls()(neuron_config, load_config=load)


def refusals(plug_in: Any, folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Words of each refusal, and what must be refused."""
    for changed, words in SETTINGS:
        yield words, lambda c=changed: configuration(plug_in, folder, settings(plug_in, **c), {})  # type: ignore[misc]
    for changed, words in MODELS:
        yield words, lambda c=changed: configuration(plug_in, folder, settings(plug_in), c)  # type: ignore[misc]
    config = configuration(plug_in, folder, settings(plug_in), {})
    weights = plug_in_weights(folder)
    name = Q.removeprefix("model.")
    for state, words in (
        ({k: v for k, v in weights.items() if k != Q}, f"the checkpoint has no {name}"),
        (weights | {Q: weights[Q][:-1]}, f"{name} is (255, 256), not (256, 256)"),
        (weights | {Q: as_fp8(weights[Q])[0]}, f"{name} is float8_e4m3fn without scales"),
        ({k: v for k, v in weights.items() if k != "lm_head.weight"}, "the checkpoint has no lm_head.weight"),
    ):
        yield words, lambda s=state: converted(plug_in, s, config)  # type: ignore[misc]


def plug_in_weights(folder: Path) -> dict[str, Any]:
    """The checkpoint as NxD Inference reads it."""
    from neuronx_distributed_inference.modules.checkpoint import load_state_dict

    return dict(load_state_dict(str(folder)))


def converted(plug_in: Any, weights: dict[str, Any], config: Any) -> dict[str, Any]:
    """The conversion, on names without their prefix as `get_state_dict` has them."""
    plain = {name.removeprefix("model."): weight for name, weight in weights.items()}
    result: dict[str, Any] = plug_in.convert_hf_to_neuron_state_dict(plain, config)
    return result


def as_fp8(weight: Any) -> tuple[Any, Any]:
    """A weight as float8 and its scales of blocks of 128 x 128, as fp8 checkpoints have them."""
    import torch

    rows, columns = (size // 128 for size in weight.shape)
    blocks = weight.float().reshape(rows, 128, columns, 128)
    scales = blocks.abs().amax((1, 3)) / 448.0
    held = (blocks / scales[:, None, :, None]).reshape(weight.shape).to(torch.float8_e4m3fn)
    return held, scales


def taken(plug_in: Any, folder: Path) -> list[str]:
    """What is wrong with checkpoints in other forms: fp8 with scales, fp32, a tied head."""
    import torch

    config = configuration(plug_in, folder, settings(plug_in), {})
    weights = plug_in_weights(folder)
    usual = converted(plug_in, weights, config)
    wrong = []
    wide = converted(plug_in, {name: weight.float() for name, weight in weights.items()}, config)
    wrong += [f"fp32 {k}" for k in usual if not torch.equal(usual[k].float(), wide[k].float())]
    config.quantization_config = {"weight_block_size": [128, 128]}
    held, scales = as_fp8(weights[Q])
    small = converted(plug_in, weights | {Q: held, f"{Q}_scale_inv": scales}, config)
    laid = "layers.0.self_attn.laid.qkv.weight"
    if not torch.allclose(small[laid].float(), usual[laid].float(), rtol=0.07, atol=1e-3):
        wrong.append("fp8 projections")
    del config.quantization_config
    config.tie_word_embeddings = True
    tied = converted(plug_in, {k: v for k, v in weights.items() if k != "lm_head.weight"}, config)
    if not torch.equal(tied["lm_head.weight"], weights["model.embed_tokens.weight"].t()):
        wrong.append("tied head")
    return wrong


def main(clones: Path) -> int:
    """Try everything."""
    stand_in([clones / "neuronx-distributed", clones / "neuronx-distributed-inference"])
    import qwen
    from kernels.errors import KernelError

    without_markers()
    older_transformers()
    plug_in = qwen.NeuronQwen3MoeForCausalLM
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_model(folder, ranks=1, seed=0)
        for words, attempt in refusals(plug_in, folder):
            try:
                attempt()
                told = "not refused"
            except KernelError as refused:
                told = str(refused)
            failed += words not in told or "; use" not in told.replace("; leave", "; use")
            print(f"{words!r}: {told}")
        wrong = taken(plug_in, folder)
        print("taken:", wrong or "all")
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
