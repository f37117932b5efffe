"""The section of docs/nki-surface.md about the first dialect: every name it executes."""

from __future__ import annotations

from types import ModuleType

from simulator import nki_beta
from simulator.nki_beta import compiler, functions, isa, language

PACKAGES: tuple[tuple[str, ModuleType], ...] = (
    ("neuronxcc.nki", nki_beta),
    ("neuronxcc.nki.isa", isa),
    ("neuronxcc.nki.language", language),
    ("neuronxcc.nki.compiler", compiler),
)
MODULES_THEMSELVES = frozenset({"Kernel", "compiler", "isa", "language", "typing"})


def names(label: str, module: ModuleType) -> list[str]:
    """The names a kernel may use: defined in the module, or offered in its `__all__`."""
    offered = set(getattr(module, "__all__", ())) - MODULES_THEMSELVES
    offered |= {n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__}
    if label == "neuronxcc.nki.language":
        offered |= functions.FUNCTIONS.keys() | functions.REDUCTIONS.keys() | {"Tensor"}
    return sorted(name for name in offered if not name.startswith("_"))


def section() -> list[str]:
    """Markdown lines."""
    lines = [
        "",
        "## The first dialect (`neuronxcc.nki`, up to SDK 2.26)",
        "",
        "A second front end onto the same instructions: calls return tiles, loads and stores are transfers,",
        "indices and masks are affine. It executes what public kernels use: the names below and nl's",
        "dtypes. Any other is refused with a sentence. What its compiler changes (`simulator/compiler/`) is",
        "changed before a kernel is timed, but not under `nki.compiler.skip_middle_end_transformations`.",
    ]
    for label, module in PACKAGES:
        lines += ["", f"`{label}`: " + ", ".join(f"`{name}`" for name in names(label, module)) + "."]
    return lines
