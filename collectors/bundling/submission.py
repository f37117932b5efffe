"""The challenge's file: the plug-in model of `kernels.neuron_model` with the kernels of a choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version

from collectors.bundling.inline import Inliner, Name
from kernels.plugged import attention_kernels, moe_kernels, norm_kernel
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
Resolved = Mapping[tuple[str, int], tuple[Variant, ...]]
Select = Callable[[Mapping[str, str], str, int], tuple[Variant, ...]]
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
    halves = {"ATTENTION": _resolved(attention_kernels, choice), "MOE": _resolved(moe_kernels, choice)}
    included = {(norm_kernel(), "prefill"): None}
    for half in halves.values():
        included |= {(kernel, phase): None for (phase, _), kernels in half.items() for kernel in kernels}
    variants = list(dict.fromkeys(kernel for kernel, _ in included))
    replaced = {
        "kernels.functions": _functions(variants),
        "kernels.plugged": _plugged(halves),
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


def _resolved(kernels_of: Select, choice: Mapping[str, str]) -> Resolved:
    """The kernels of half a layer for each phase and number of tokens."""
    keys = [("decode", 1), *(("prefill", tokens) for tokens in PREFILL_TOKENS)]
    return {key: kernels_of(choice, *key) for key in keys}


def _plugged(halves: Mapping[str, Resolved]) -> str:
    """`kernels.plugged` with everything resolved."""
    lines = [
        "from collections.abc import Mapping",
        "from kernels.registry import Variant",
        "CHOICE: Mapping[str, str] = {}",
    ]
    for name, half in halves.items():
        lines.append(f"{name} = {{")
        for (phase, tokens), kernels in half.items():
            made = "".join(f"        {_variant(kernel)},\n" for kernel in kernels)
            lines.append(f'    ("{phase}", {tokens}): (\n{made}    ),')
        lines += ["}", '"""Kernels of each phase and bucket, chosen when this file was written."""', ""]
    for function, name in (("attention_kernels", "ATTENTION"), ("moe_kernels", "MOE")):
        lines += [
            f"def {function}(choice: Mapping[str, str], phase: str, tokens: int) -> tuple[Variant, ...]:",
            '    """The kernels of half a layer, in order."""',
            f"    return {name}[phase, tokens]",
            "",
        ]
    lines += [
        "def norm_kernel() -> Variant:",
        '    """The kernel of a norm that stands alone."""',
        f"    return {_variant(norm_kernel())}",
    ]
    return "\n".join(lines)


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
