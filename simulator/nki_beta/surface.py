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
    """The public names of a module, without what it is made of."""
    found = {
        name
        for name, value in vars(module).items()
        if name.islower()
        and not name.startswith("_")
        and not isinstance(value, ModuleType)
        and name not in MODULES_THEMSELVES
        and _is_its_own(label, module, name, value)
    }
    if label == "neuronxcc.nki.language":
        found |= functions.FUNCTIONS.keys() | functions.REDUCTIONS.keys() | {"Tensor"}
    return sorted(found)


def _is_its_own(label: str, module: ModuleType, name: str, value: object) -> bool:
    """Whether a kernel is meant to use a name: it is defined there, or offered in `__all__`."""
    return name in getattr(module, "__all__", ()) or getattr(value, "__module__", "") == module.__name__


def section() -> list[str]:
    """Markdown lines."""
    lines = [
        "",
        "## The first dialect (`neuronxcc.nki`, up to SDK 2.26)",
        "",
        "A second front end onto the same instructions: calls return tiles, loads and stores are transfers, indices",
        "and masks are affine. It executes what public kernels use, which is below and nl's dtypes; any other name",
        "is refused with a sentence. As its compiler does, it leaves out loads that were made before, merges and",
        "places copies, and describes internal transfers in hardware, but not under",
        "`nki.compiler.skip_middle_end_transformations`.",
    ]
    for label, module in PACKAGES:
        lines += ["", f"`{label}`: " + ", ".join(f"`{name}`" for name in names(label, module)) + "."]
    return lines
