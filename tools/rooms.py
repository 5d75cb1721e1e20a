"""Draw the rooms of `src/helpers` and the imports between them into ARCHITECTURE.md, as a Mermaid diagram.

`python3 tools/rooms.py` writes it; `tests/test_house.py` compares it with the code.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HELPERS = ROOT / "src" / "helpers"
PLACE = re.compile(r"(?<=<!-- rooms -->\n).*?(?=<!-- /rooms -->)", re.DOTALL)


def room(path: Path, helpers: Path = HELPERS) -> str:
    """The room that a file belongs to: its folder, or its own name."""
    return path.relative_to(helpers).parts[0].removesuffix(".py")


def arrows(helpers: Path = HELPERS) -> set[tuple[str, str]]:
    """Which room imports which other one."""
    found = set()
    for path in sorted(helpers.rglob("*.py")):
        here = room(path, helpers)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers."):
                found.add((here, (node.module or "").split(".")[1]))
    return {(here, there) for here, there in found if here != there and here != "__init__"}


def rooms(helpers: Path = HELPERS) -> list[str]:
    """The names of all rooms."""
    return sorted({room(path, helpers) for path in helpers.rglob("*.py")} - {"__init__"})


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
