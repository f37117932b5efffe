"""Modules of a package put into one file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from collectors.bundling.modules import BundleError, Definition, Import, Module, read

Name = tuple[str, str]
"""A module and a name it defines."""


class Inliner:
    """Reads a package's modules as they are needed; `replaced` are sources that stand in for some of them."""

    def __init__(self, package: str, source_of: Callable[[str], str], replaced: Mapping[str, str]) -> None:
        self._inside = f"{package}."
        self._source_of = source_of
        self._replaced = replaced
        self._modules: dict[str, Module] = {}

    def text(self, roots: Sequence[Name], guarded: Iterable[str]) -> str:
        """Source that defines `roots` and all they use, under their own names.

        Modules that import from a package of `guarded` are defined only where the first of these is
        installed. Raises `BundleError`.
        """
        wanted = self._reached(roots)
        names = _final_names(wanted, roots)
        order = self._ordered(wanted)
        optional = [m for m in order if self._needs(m, tuple(guarded))]
        always = [m for m in order if m not in optional]
        parts = ["\n".join(self._imports(wanted, always))]
        parts += [self._rendered(d, names) for m in always for d in self._of(m, wanted)]
        if not optional:
            return _spaced(parts, 2)
        inner = ["\n".join(self._imports(wanted, optional, already=always))]
        inner += [self._rendered(d, names) for m in optional for d in self._of(m, wanted)]
        package = next(iter(guarded))
        parts[0] = f"import importlib.util\n{parts[0]}"
        parts.append(f'if importlib.util.find_spec("{package}") is not None:\n{_indented(_spaced(inner, 1))}')
        return _spaced(parts, 2)

    def module(self, name: str) -> Module:
        """A module of the package, read once."""
        if name not in self._modules:
            self._modules[name] = read(name, self._replaced.get(name) or self._source_of(name))
        return self._modules[name]

    def _target(self, module: str, name: str) -> Name | Import | None:
        """What a global name of a module is: a definition in the package, an import, or a builtin."""
        found = self.module(module)
        if any(name in d.names for d in found.definitions):
            return module, name
        imported = found.imports.get(name)
        if imported is not None and imported.module.startswith(self._inside):
            return self._target(imported.module, imported.name)
        return imported

    def _definition(self, name: Name) -> Definition:
        for definition in self.module(name[0]).definitions:
            if name[1] in definition.names:
                return definition
        raise BundleError(f"{name[0]} defines no {name[1]}", "check what imports it")

    def _reached(self, roots: Iterable[Name]) -> dict[Name, Definition]:
        """Every definition the roots need, by each of its names."""
        reached: dict[Name, Definition] = {}
        ahead = list(roots)
        while ahead:
            name = ahead.pop()
            if name in reached:
                continue
            definition = self._definition(name)
            reached |= {(name[0], each): definition for each in definition.names}
            targets = (self._target(name[0], use.name) for use in definition.uses)
            ahead += [target for target in targets if isinstance(target, tuple)]
        return reached

    def _ordered(self, wanted: Mapping[Name, Definition]) -> list[str]:
        """Modules after those they import, directly or through others."""
        order: dict[str, None] = {}

        def place(module: str) -> None:
            for imported in self.module(module).imports.values():
                if imported.module.startswith(self._inside) and imported.module not in order:
                    place(imported.module)
            order.setdefault(module)

        needed = {module for module, _ in wanted}
        for module in sorted(needed):
            place(module)
        return [module for module in order if module in needed]

    def _of(self, module: str, wanted: Mapping[Name, Definition]) -> list[Definition]:
        return [d for d in self.module(module).definitions if (module, d.names[0]) in wanted]

    def _needs(self, module: str, packages: tuple[str, ...]) -> bool:
        return any(i.module.partition(".")[0] in packages for i in self.module(module).imports.values())

    def _imports(
        self, wanted: Mapping[Name, Definition], modules: Iterable[str], already: Iterable[str] = ()
    ) -> list[str]:
        """Import statements of what `modules` use and `already` did not import."""
        before = self._imported(wanted, already)
        bound = {name: i for name, i in self._imported(wanted, modules).items() if name not in before}
        plain = sorted(
            f"import {i.module}" + ("" if name == i.module else f" as {name}")
            for name, i in bound.items()
            if not i.name
        )
        grouped: defaultdict[str, list[str]] = defaultdict(list)
        for name, i in bound.items():
            if i.name:
                grouped[i.module].append(i.name if name == i.name else f"{i.name} as {name}")
        return plain + [
            f"from {module} import {', '.join(sorted(n))}" for module, n in sorted(grouped.items())
        ]

    def _imported(self, wanted: Mapping[Name, Definition], modules: Iterable[str]) -> dict[str, Import]:
        bound: dict[str, Import] = {}
        for module in modules:
            for definition in self._of(module, wanted):
                for use in definition.uses:
                    target = self._target(module, use.name)
                    if not isinstance(target, Import):
                        continue
                    if bound.setdefault(use.name, target) != target:
                        raise BundleError(
                            f"{use.name} is imported from {bound[use.name].module} and {target.module}",
                            "import it under one name everywhere",
                        )
        return bound

    def _rendered(self, definition: Definition, names: Mapping[Name, str]) -> str:
        """The definition's text with the names it uses as they are in the file."""
        module = self.module(definition.module)
        lines = [line.encode() for line in module.lines]
        for use in sorted(definition.uses, key=lambda u: (u.line, u.column), reverse=True):
            target = self._target(definition.module, use.name)
            if not isinstance(target, tuple) or names[target] == use.name:
                continue
            if names[target] in definition.bound:
                raise BundleError(
                    f"{definition.module}:{use.line} would read its own {names[target]} for the imported one",
                    "call one of them something else",
                )
            line, old = lines[use.line - 1], use.name.encode()
            if line[use.column : use.column + len(old)] != old:
                raise BundleError(
                    f"{definition.module}:{use.line} uses {use.name} inside a string", "take it out of there"
                )
            new = names[target].encode()
            lines[use.line - 1] = line[: use.column] + new + line[use.column + len(old) :]
        return b"\n".join(lines[definition.first_line - 1 : definition.last_line]).decode()


def _final_names(wanted: Mapping[Name, Definition], roots: Iterable[Name]) -> dict[Name, str]:
    """A name of its own for everything: roots keep theirs, and of the others those nobody shares."""
    holders: defaultdict[str, list[Name]] = defaultdict(list)
    for name in wanted:
        holders[name[1]].append(name)
    kept = set(roots)
    final: dict[Name, str] = {}
    for plain, owners in holders.items():
        keeper = next((o for o in owners if o in kept), None)
        for owner in owners:
            alone = len(owners) == 1 or owner == keeper
            final[owner] = plain if alone else _qualified(owner[0], plain)
    if len(set(final.values())) != len(final):
        raise BundleError("two definitions of the package cannot be told apart", "rename one of them")
    return final


def _qualified(module: str, name: str) -> str:
    bare = name.lstrip("_")
    own = module.rpartition(".")[2]
    joined = f"{own.upper()}_{bare}" if bare.isupper() else f"{own}_{bare}"
    return "_" * (len(name) - len(bare)) + joined


def _spaced(parts: Iterable[str], blank: int) -> str:
    """Parts one after another, with `blank` lines around whatever is longer than a line or two."""
    text, before = "", ""
    for part in parts:
        apart = any(p.startswith(("def ", "class ", "@", "#", "if ", "import ")) for p in (before, part))
        text += ("\n" * (blank if apart else 0) if text else "") + part.rstrip() + "\n"
        before = part
    return text


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.split("\n"))
