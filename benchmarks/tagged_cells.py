"""The code of a notebook's tagged cells, for benchmarks and tests: there is no second copy of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
ROOM = NOTEBOOKS / "05_broadcast_to_a_room.ipynb"


def run_tagged_cells(notebook: Path, tag: str) -> dict[str, Any]:
    """Run the code cells that have a tag, in their order, in a namespace of their own.

    Args:
        notebook: the file.
        tag: such as `"room"`. The cells must do with each other: no other cell is run.

    Returns:
        What they define, by name. Functions among it can be copied into a child process.

    Raises:
        ValueError: no code cell has this tag.
    """
    namespace: dict[str, Any] = {"__name__": f"cells of {notebook.stem}"}  # no module: copied, not imported
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    tagged = [
        (number, "".join(cell["source"]))
        for number, cell in enumerate(cells)
        if cell["cell_type"] == "code" and tag in cell["metadata"].get("tags", [])
    ]
    if not tagged:
        raise ValueError(f"{notebook.name} has no code cell with the tag {tag!r}")
    for number, code in tagged:
        exec(compile(code, f"{notebook.name}, cell {number}", "exec"), namespace)
    return namespace


def the_room() -> Callable[[ServerConnection], Any]:
    """The handler that chapter 05 ends with, from its cells tagged `room`."""
    room: Callable[[ServerConnection], Any] = run_tagged_cells(ROOM, "room")["room"]
    return room
