"""Shows a piece of a program's source in a notebook, as it is in its file."""

from __future__ import annotations

import ast
import importlib.util
import textwrap
from pathlib import Path

from helpers.arguments import kind


class Source:
    """Source shown as code, read from its file; nothing of it is run.

        Source("apps.chat.room:Room.broadcast", "apps.chat.server:chat")

    Args:
        *places: each a module and what to show of it: a function, a class, a method, or a file next
            to the module; without a colon the whole module.

    Raises:
        LookupError: there is no such place.
    """

    def __init__(self, *places: str) -> None:
        if not places:
            raise TypeError("name a module, or a piece of one: Source('apps.news.server:poll')")
        for place in places:
            kind(place, "a place", str, words="a string like 'apps.news.server:poll'")
        found = [_find(place) for place in places]
        self.text = "\n\n\n".join(text for text, _ in found)
        self._language = found[-1][1]

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return f"```{self._language}\n{self.text}\n```"


def _find(place: str) -> tuple[str, str]:
    module, _, name = place.partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"there is no module {module!r}")
    file = Path(spec.origin)
    beside = file.parent / name
    if name and beside.is_file():
        return beside.read_text("utf-8").strip("\n"), beside.suffix.removeprefix(".")
    source = file.read_text("utf-8")
    return (_piece(source, name, place) if name else source.strip("\n")), "python"


def _piece(source: str, name: str, place: str) -> str:
    node: ast.AST = ast.parse(source)
    for part in name.split("."):
        bodies = ast.iter_child_nodes(node)
        found = next((child for child in bodies if getattr(child, "name", None) == part), None)
        if found is None:
            raise LookupError(f"there is no {place!r}")
        node = found
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return textwrap.dedent("\n".join(source.splitlines()[first - 1 : node.end_lineno]))
