"""A module as its definitions, what each uses, and what it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from collectors.bundling.scopes import bound_names, global_names
from collectors.errors import CollectorError


class BundleError(CollectorError):
    """Source that cannot be put into one file, or that the challenge refuses."""


@dataclass(frozen=True, slots=True)
class Import:
    """`from module import name`, or `import module` where `name` is empty."""

    module: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """A name of the module's at a place in its source: line from 1, column in bytes."""

    name: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Definition:
    """A top-level statement that binds names: its lines, comments above it included, and what it uses.

    `bound` are the names its functions and classes bind for themselves.
    """

    module: str
    names: tuple[str, ...]
    first_line: int
    last_line: int
    uses: tuple[Use, ...]
    bound: frozenset[str]


@dataclass(slots=True)
class Module:
    """`imports` by the name they bind here; `definitions` in the order of the source."""

    name: str
    lines: list[str]
    imports: dict[str, Import] = field(default_factory=dict)
    definitions: list[Definition] = field(default_factory=list)


def read(name: str, source: str) -> Module:
    """A module out of its source. Raises `BundleError` at a top-level statement that defines nothing."""
    module = Module(name, source.splitlines())
    statements = ast.parse(source).body
    for statement, following in zip(statements, [*statements[1:], None], strict=True):
        if isinstance(statement, ast.Import | ast.ImportFrom):
            module.imports.update(_imports(statement))
        elif not _is_text(statement):
            last = following if following is not None and _is_text(following) else statement
            module.definitions.append(_definition(module, statement, last))
    return module


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _imports(statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Import]]:
    for alias in statement.names:
        if isinstance(statement, ast.Import):
            yield alias.asname or alias.name, Import(alias.name)
        elif statement.module != "__future__":
            yield alias.asname or alias.name, Import(statement.module or "", alias.name)


def _definition(module: Module, statement: ast.stmt, last: ast.stmt) -> Definition:
    names = tuple(_names(statement))
    if not names:
        raise BundleError(
            f"{module.name}:{statement.lineno} runs a statement that defines nothing",
            "put it into a function",
        )
    decorators = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(d.lineno for d in decorators)])
    while first > 1 and module.lines[first - 2].startswith("#"):
        first -= 1
    uses = [Use(n.id, n.lineno, n.col_offset) for n in global_names(statement)]
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        uses.append(_own_name(module, statement))
    bound = frozenset(bound_names(statement))
    return Definition(module.name, names, first, last.end_lineno or last.lineno, tuple(uses), bound)


def _names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        yield statement.name
        return
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    for target in targets:
        if target is not None:
            yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _own_name(module: Module, statement: ast.FunctionDef | ast.ClassDef) -> Use:
    line = module.lines[statement.lineno - 1].encode()
    return Use(
        statement.name, statement.lineno, line.index(statement.name.encode(), statement.col_offset + 4)
    )
