"""What of a kernel can be varied, and how a choice of it is written: `wide:buffers=4:columns=1024`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kernels.errors import UnknownVariant

Setting = int | str
Settings = tuple[tuple[str, Setting], ...]

SEPARATOR = ":"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A keyword argument of a kernel that changes how it works and never what it computes.

    `default` is one of `choices`, and the default in the kernel's signature. `meaning` says in a few words
    what is counted or chosen.
    """

    name: str
    choices: tuple[Setting, ...]
    default: Setting
    meaning: str


def spelled(base: str, settings: Iterable[tuple[str, Setting]]) -> str:
    """A variant's name with its settings, as `--kernels` takes it."""
    return SEPARATOR.join((base, *(f"{name}={value}" for name, value in settings)))


def settings_of(parameters: Iterable[Parameter], values: Mapping[str, Setting]) -> Settings:
    """Values that differ from the defaults, in the order of the declaration."""
    known = ((each, values.get(each.name, each.default)) for each in parameters)
    return tuple((each.name, value) for each, value in known if value != each.default)


def read_settings(where: str, parameters: Iterable[Parameter], texts: Iterable[str]) -> Settings:
    """Settings from texts like "buffers=4". Raises `UnknownVariant` with what `where` declares."""
    known = {each.name: each for each in parameters}
    values: dict[str, Setting] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known:
            declared = ", ".join(known) or "none"
            raise UnknownVariant(f"{where} has no parameter {name!r}", f"its parameters are: {declared}")
        values[name] = _choice(where, known[name], value)
    return settings_of(known.values(), values)


def _choice(where: str, parameter: Parameter, text: str) -> Setting:
    for choice in parameter.choices:
        if str(choice) == text:
            return choice
    offered = ", ".join(map(str, parameter.choices))
    raise UnknownVariant(
        f"{where} cannot run with {parameter.name}={text or 'nothing'}", f"its choices are {offered}"
    )
