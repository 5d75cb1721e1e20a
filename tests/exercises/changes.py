"""Wrong answers as changes of the notebook's solution, so that the mistake is all that one reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


class Change(NamedTuple):
    """The notebook's solution with other words in some places; made by `but`."""

    pairs: tuple[tuple[str, str], ...]

    def of(self, solution: str) -> str:
        for old, new in self.pairs:
            assert solution.count(old) == 1, f"{old!r} is not once in the solution:\n{solution}"
            solution = solution.replace(old, new)
        return solution


def but(*words: str) -> Change:
    """The solution that is in the notebook, but with a mistake.

    Args:
        *words: what is there once, and what to write in its place, by turns.
    """
    return Change(tuple(zip(words[::2], words[1::2], strict=True)))


def solution(chapter: str, name: str) -> str:
    """The solution of an exercise, as in the notebook, without the call of its check."""
    (path,) = NOTEBOOKS.glob(f"{chapter}_*.ipynb")
    for each in json.loads(path.read_text("utf-8"))["cells"]:
        source = "".join(each["source"])
        if "solution" in each["metadata"].get("tags", ()) and f"checks.{name}(" in source:
            return source.partition(f"checks.{name}(")[0].removeprefix("# Solution\n")
    raise LookupError(f"{path.name} has no solution of {name}")
