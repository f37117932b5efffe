"""The challenge's file: the plug-in model of `kernels.neuron_model` with the kernels of a choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version

from collectors.bundling.inline import Inliner, Name
from kernels.plugged import moe_kernels, norm_kernel
from kernels.registry import Variant
from kernels.wiring import WIRING

MODEL = "kernels.neuron_model"
ROOTS: tuple[Name, ...] = (
    (MODEL, "Qwen3MoeInferenceConfig"),
    (MODEL, "NeuronQwen3MoeModel"),
    (MODEL, "NeuronQwen3MoeForCausalLM"),
)
GUARDED = ("neuronx_distributed_inference", "neuronx_distributed")
PREFILL_TOKENS = (128, 256, 640)
"""The buckets of the challenge, whose prompts decide which variants run."""
HEADER = '''"""Qwen3-30B-A3B for NxD Inference with NKI kernels, in one file.

Written by `collectors bundle` of nki-dashboard {version}, kernels: {choice}.
Licence: Apache-2.0 (https://www.apache.org/licenses/LICENSE-2.0).
"""

from __future__ import annotations

'''


@dataclass(frozen=True, slots=True)
class Submission:
    """The file's text, and the variants in it with the phase each runs in."""

    text: str
    kernels: tuple[tuple[Variant, str], ...]


def submission(choice: Mapping[str, str], spelled: str) -> Submission:
    """The file for a choice of kernels. Raises `BundleError` or `UnknownVariant`."""
    phases = {"decode": {1: moe_kernels(choice, "decode", 1)}}
    phases["prefill"] = {tokens: moe_kernels(choice, "prefill", tokens) for tokens in PREFILL_TOKENS}
    included = {(norm_kernel(), "prefill"): None}
    for phase, chosen in phases.items():
        included |= {(kernel, phase): None for kernels in chosen.values() for kernel in kernels}
    variants = list(dict.fromkeys(kernel for kernel, _ in included))
    replaced = {
        "kernels.functions": _functions(variants),
        "kernels.plugged": _plugged(phases),
        "kernels.wiring": _wiring(variants),
    }
    inliner = Inliner("kernels", _source, replaced)
    kernels = [(kernel.module, kernel.function) for kernel in variants]
    text = inliner.text([*ROOTS, *dict.fromkeys(kernels)], GUARDED)
    return Submission(HEADER.format(version=version("nki-dashboard"), choice=spelled) + text, tuple(included))


def _source(module: str) -> str:
    return resources.files("kernels").joinpath(f"{module.rpartition('.')[2]}.py").read_text("utf-8")


def _functions(variants: Iterable[Variant]) -> str:
    """`kernels.functions` over the functions of the file."""
    places = dict.fromkeys((v.module, v.function) for v in variants)
    imports = [f"from {module} import {function}" for module, function in places]
    entries = dict.fromkeys(f'    ("{v.slot}", "{v.function}"): {v.function},' for v in variants)
    return "\n".join(
        [
            *imports,
            "from typing import Any",
            "from kernels.registry import Variant",
            "FUNCTIONS = {",
            *entries,
            "}",
            "",
            "def function_of(kernel: Variant) -> Any:",
            '    """The kernel function of a variant."""',
            "    return FUNCTIONS[kernel.slot, kernel.function]",
        ]
    )


def _plugged(phases: Mapping[str, Mapping[int, tuple[Variant, ...]]]) -> str:
    """`kernels.plugged` with everything resolved."""
    rows = []
    for phase, chosen in phases.items():
        for tokens, kernels in chosen.items():
            made = "".join(f"        {_variant(kernel)},\n" for kernel in kernels)
            rows.append(f'    ("{phase}", {tokens}): (\n{made}    ),')
    return "\n".join(
        [
            "from collections.abc import Mapping",
            "from kernels.registry import Variant",
            "CHOICE: Mapping[str, str] = {}",
            "CHOSEN = {",
            *rows,
            "}",
            '"""The kernels of each phase and bucket, chosen when this file was written."""',
            "",
            "def moe_kernels(choice: Mapping[str, str], phase: str, tokens: int) -> tuple[Variant, ...]:",
            '    """The kernels of the second half of a layer, in order."""',
            "    return CHOSEN[phase, tokens]",
            "",
            "def norm_kernel() -> Variant:",
            '    """The kernel of a norm that stands alone."""',
            f"    return {_variant(norm_kernel())}",
        ]
    )


def _variant(kernel: Variant) -> str:
    settings = f", settings={_literal(kernel.settings)}" if kernel.settings else ""
    place = _literal((kernel.slot, kernel.name, "", kernel.function))[1:-1]
    return f'Variant({place}, {_literal(kernel.covers)}, ""{settings})'


def _wiring(variants: Iterable[Variant]) -> str:
    """`kernels.wiring` with the rows of the file's kernels."""
    keys = {(v.slot, v.function) for v in variants}
    rows = [f"    {_literal(key)}: {_literal(row)}," for key, row in WIRING.items() if key in keys]
    own = _source("kernels.wiring")
    start = own.index("WIRING:")
    first, end = own.index("{\n", start) + 2, own.index("\n}\n", start)
    return own[:first] + "\n".join(rows) + own[end:]


def _literal(value: object) -> str:
    return repr(value).replace("'", '"')
