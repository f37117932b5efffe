"""The challenge's file: the plug-in model of `kernels.neuron_model` with the kernels of a choice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version

from collectors.bundling.formatted import formatted
from collectors.bundling.inline import Inliner, Name
from kernels.plugged import MAX_TOKENS, PARTS, PHASES, Rows, rows_of
from kernels.registry import Variant
from kernels.wiring import WIRING, reads

MODEL = "kernels.neuron_model"
ROOTS: tuple[Name, ...] = (
    (MODEL, "Qwen3MoeInferenceConfig"),
    (MODEL, "NeuronQwen3MoeModel"),
    (MODEL, "NeuronQwen3MoeForCausalLM"),
)
GUARDED = ("neuronx_distributed_inference", "neuronx_distributed")
Runs = Mapping[tuple[str, str], Rows]
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
    runs = {(part, phase): rows_of(choice, part, phase) for part in PARTS for phase in PHASES}
    included = dict.fromkeys(
        (kernel, phase) for (_, phase), rows in runs.items() for _, kernels in rows for kernel in kernels
    )
    variants = list(dict.fromkeys(kernel for kernel, _ in included))
    replaced = {
        "kernels.functions": _functions(variants),
        "kernels.plugged": _plugged(runs),
        "kernels.wiring": _wiring(variants),
        "kernels.neuron_forms": _forms(variants),
    }
    inliner = Inliner("kernels", _source, replaced)
    kernels = [(kernel.module, kernel.function) for kernel in variants]
    text = inliner.text([*ROOTS, *dict.fromkeys(kernels)], GUARDED)
    whole = HEADER.format(version=version("nki-dashboard"), choice=spelled) + text
    return Submission(formatted(whole), tuple(included))


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


def _plugged(runs: Runs) -> str:
    """`kernels.plugged` with everything resolved."""
    lines = [
        "from collections.abc import Mapping",
        "from kernels.registry import Variant",
        "CHOICE: Mapping[str, str] = {}",
        f"MAX_TOKENS = {MAX_TOKENS}",
        "Rows = tuple[tuple[int, tuple[Variant, ...]], ...]",
        "RUNS: Mapping[tuple[str, str], Rows] = {",
    ]
    for key, rows in runs.items():
        lines.append(f"    {_literal(key)}: (")
        for most, kernels in rows:
            made = "".join(f"            {_variant(kernel)},\n" for kernel in kernels)
            lines.append(f"        ({most}, (\n{made}        )),")
        lines.append("    ),")
    lines += [
        "}",
        '"""Kernels of each part and phase, with the most tokens they run on."""',
        "",
        "def rows_of(choice: Mapping[str, str], part: str, phase: str) -> Rows:",
        '    """Kernels of a part in a phase, with the most tokens they run on."""',
        "    return RUNS[part, phase]",
    ]
    return "\n".join(lines)


def _variant(kernel: Variant) -> str:
    settings = f", settings={_literal(kernel.settings)}" if kernel.settings else ""
    place = _literal((kernel.slot, kernel.name, "", kernel.function))[1:-1]
    return f'Variant({place}, {_literal(kernel.covers)}, ""{settings})'


def _wiring(variants: Iterable[Variant]) -> str:
    """`kernels.wiring` with the rows of the file's kernels."""
    keys = {(v.slot, v.function) for v in variants}
    rows = (f"    {_literal(key)}: {_literal(row)}," for key, row in WIRING.items() if key in keys)
    return _table("kernels.wiring", "WIRING", lambda _: rows)


def _forms(variants: Collection[Variant]) -> str:
    """`kernels.neuron_forms` with the forms of weights the file's kernels read."""

    def kept(rows: Iterable[str]) -> Iterable[str]:
        return (row for row in rows if reads(variants, row.split('"')[1]))

    return _table("kernels.neuron_forms", "FORMS", kept)


def _table(module: str, name: str, rows: Callable[[Iterable[str]], Iterable[str]]) -> str:
    """A module's source with other rows in the mapping of that name."""
    own = _source(module)
    start = own.index(f"\n{name}:")
    first, end = own.index("= {\n", start) + 4, own.index("\n}\n", start)
    return own[:first] + "\n".join(rows(own[first:end].split("\n"))) + own[end:]


def _literal(value: object) -> str:
    return repr(value).replace("'", '"')
