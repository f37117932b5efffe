"""Which names in a piece of code mean a module's globals."""

from __future__ import annotations

import ast
from collections.abc import Iterable

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def global_names(node: ast.AST) -> list[ast.Name]:
    """Every use of a name that no enclosing function, class or comprehension binds."""
    found = _Globals()
    found.visit(node)
    return found.names


def bound_names(node: ast.AST) -> set[str]:
    """Every name bound by a scope inside `node`."""
    names = {child.arg for child in ast.walk(node) if isinstance(child, ast.arg)}
    for child in ast.walk(node):
        if isinstance(child, (*FUNCTIONS, ast.ClassDef, *COMPREHENSIONS)):
            names |= _bound(ast.iter_child_nodes(child))
    return names


class _Globals(ast.NodeVisitor):
    """Walks code with the names its scopes bind; a class's names are seen by its own statements alone."""

    def __init__(self) -> None:
        self.names: list[ast.Name] = []
        self._scopes: list[tuple[bool, set[str]]] = []

    def visit_Name(self, node: ast.Name) -> None:
        innermost = len(self._scopes) - 1
        if not any(
            node.id in names and (not is_class or at == innermost)
            for at, (is_class, names) in enumerate(self._scopes)
        ):
            self.names.append(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node, node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._each([*node.decorator_list, *node.bases, *node.keywords])
        self._inside(node.body, is_class=True, names=_bound(node.body))

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, COMPREHENSIONS):
            self._inside(ast.iter_child_nodes(node), is_class=False, names=_bound(node.generators))
        else:
            super().generic_visit(node)

    def _function(self, node: ast.FunctionDef | ast.Lambda, body: Iterable[ast.AST]) -> None:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        outside: list[ast.AST | None] = [*arguments.defaults, *arguments.kw_defaults]
        outside += [a.annotation for a in every]
        if isinstance(node, ast.FunctionDef):
            outside += [*node.decorator_list, node.returns]
        self._each([part for part in outside if part is not None])
        body = list(body)
        self._inside(body, is_class=False, names=_bound(body) | {a.arg for a in every})

    def _inside(self, nodes: Iterable[ast.AST], *, is_class: bool, names: set[str]) -> None:
        self._scopes.append((is_class, names))
        self._each(nodes)
        self._scopes.pop()

    def _each(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def _bound(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that statements bind in their own scope."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        if not isinstance(node, (*FUNCTIONS, *COMPREHENSIONS, ast.ClassDef)):
            names |= _bound(ast.iter_child_nodes(node))
    return names
