"""Arguments that only the kernel's own file can make: `ActFnType.SiLU`, `Config(bs=1, d_head=128)`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.errors import BadKernel

MADE_OF = (ast.Name, ast.Attribute, ast.Call, ast.Constant, ast.Tuple, ast.List, ast.UnaryOp, ast.USub)
"""What an expression may consist of: names, calls of them, and literals."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A value by the names a kernel's file knows, made where the kernel is loaded."""

    text: str

    def __repr__(self) -> str:
        return self.text

    def value(self, names: Mapping[str, Any]) -> Any:
        """The value under these names. Raises `BadKernel`."""
        try:
            return _value(ast.parse(self.text, mode="eval").body, names)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            known = f"name {error}" if isinstance(error, KeyError) else str(error)
            raise BadKernel(
                f"the argument {self.text} cannot be made: {known}",
                "use classes and constants that the kernel's file defines or imports",
            ) from None


def is_expression(text: str) -> bool:
    """Whether a text is one: it has a name in it, nothing but what `MADE_OF` lists, and nothing private."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval").body))
    except SyntaxError:
        return False
    allowed = (*MADE_OF, ast.keyword, ast.expr_context)
    private = any(str(getattr(n, "id", getattr(n, "attr", ""))).startswith("_") for n in nodes)
    named = any(isinstance(n, ast.Name) for n in nodes)
    return named and not private and all(isinstance(n, allowed) for n in nodes)


def made(arguments: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with every expression replaced by its value."""
    return {
        name: value.value(names) if isinstance(value, Expression) else value
        for name, value in arguments.items()
    }


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return names[name]
        case ast.Attribute(value=owner, attr=name):
            return getattr(_value(owner, names), name)
        case ast.Call(func=function, args=positional, keywords=keywords):
            named = {k.arg: _value(k.value, names) for k in keywords if k.arg is not None}
            return _value(function, names)(*[_value(a, names) for a in positional], **named)
        case ast.Tuple(elts=parts):
            return tuple(_value(part, names) for part in parts)
        case ast.List(elts=parts):
            return [_value(part, names) for part in parts]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
    raise ValueError(f"{ast.unparse(node)} is neither a name, a call nor a literal")
