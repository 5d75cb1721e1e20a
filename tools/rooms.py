"""Draw the rooms of `src/helpers` and the imports between them into ARCHITECTURE.md, as a Mermaid diagram.

`python3 tools/rooms.py` writes it; `tests/test_house.py` compares it with the code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HELPERS = ROOT / "src" / "helpers"
PLACE = re.compile(r"(?<=<!-- rooms -->\n).*?(?=<!-- /rooms -->)", re.DOTALL)


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in the file it does."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str:
    """The room of a module such as `helpers.wire.tap`; empty for the package and for other packages."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == "helpers" else ""


def files(helpers: Path = HELPERS) -> Iterator[tuple[Path, str]]:
    """The Python files of the helpers, each with its room. The list of public names belongs to none."""
    for path in sorted(helpers.rglob("*.py")):
        room = path.relative_to(helpers).parts[0].removesuffix(".py")
        if room != "__init__":
            yield path, room


def rooms(helpers: Path = HELPERS) -> list[str]:
    """The names of all rooms."""
    return sorted({room for _, room in files(helpers)})


def arrows(helpers: Path = HELPERS) -> set[tuple[str, str]]:
    """Which room imports which other one."""
    known = rooms(helpers)
    found = {(here, room_of(module)) for path, here in files(helpers) for module in imports(path)}
    return {(here, there) for here, there in found if here != there and there in known}


def diagram(helpers: Path = HELPERS) -> str:
    """The rooms as boxes, with an arrow to each room that one imports."""
    rows = ["```mermaid", "flowchart TD", *(f"    {name}" for name in rooms(helpers))]
    rows += [f"    {here} --> {there}" for here, there in sorted(arrows(helpers))]
    return "\n".join([*rows, "```", ""])


def main() -> None:
    path = ROOT / "ARCHITECTURE.md"
    text = path.read_text("utf-8")
    new, count = PLACE.subn(lambda _: diagram(), text)
    if count != 1:
        raise SystemExit("rooms: ARCHITECTURE.md needs one `<!-- rooms -->` … `<!-- /rooms -->`")
    path.write_text(new, "utf-8", newline="\n")
    print(diagram())


if __name__ == "__main__":
    main()
