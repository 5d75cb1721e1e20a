"""Finds the `...` that a stub has where the reader writes, apart from what Python itself uses `...` for."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Literal

from helpers.readers_code import call_of


def holes(code: object) -> Literal["nothing else", "some", "none"]:
    """Whether there is still a `...` to be replaced.

    Not counted: `except Error: ...`, `case _: ...`, `Callable[..., None]`, annotations and defaults.

    Args:
        code: the reader's function, or an object that is called.

    Returns:
        "nothing else": nothing of the reader's own is there, so there is nothing to try. "some": there is
        code too, so it has to be tried: in `async for _ in connection: ...` the `...` may be what is meant.
    """
    if code is ...:
        return "nothing else"
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(call_of(code)))))
    except (OSError, TypeError, SyntaxError):
        return "none"
    if not any(_is_hole(node) for node in _stub_places(tree)):
        return "none"
    return "some" if any(map(_does_something, ast.walk(tree))) else "nothing else"


def _stub_places(node: ast.AST) -> list[ast.AST]:
    """All nodes, except in the places where `...` has a meaning."""
    found = [node]
    for name, value in ast.iter_fields(node):
        children = [
            child for child in (value if isinstance(value, list) else [value]) if isinstance(child, ast.AST)
        ]
        if name in ("annotation", "returns", "slice", "defaults", "kw_defaults"):
            continue
        if isinstance(node, ast.ExceptHandler | ast.match_case | ast.ClassDef) and name == "body":
            children = [child for child in children if not _is_hole(getattr(child, "value", None))]
        for child in children:
            found += _stub_places(child)
    return found


def _is_hole(node: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


def _does_something(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Return):
        return isinstance(node.value, ast.Call | ast.BinOp | ast.Subscript | ast.Compare | ast.IfExp)
    return isinstance(node, ast.Await | ast.AugAssign | ast.Raise | ast.If | ast.While | ast.Try | ast.Match)
