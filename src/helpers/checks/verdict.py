"""What a check says: right, or not yet and which way to look."""

from __future__ import annotations

import html
import reprlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """The answer to an answer. True when it is right; shows itself as text and as HTML.

    Args:
        right: whether the reader's code does what the exercise asks.
        said: what happened, in a sentence.
        hint: which way to look; empty where it is right.
        points: what belongs to the sentence, one below the other.
    """

    right: bool
    said: str
    hint: str = ""
    points: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.right

    def __str__(self) -> str:
        mark = "✓" if self.right else "✗ not yet:"
        below = [*(f"• {point}" for point in self.points), *([f"→ {self.hint}"] if self.hint else [])]
        return "\n  ".join([f"{mark} {self.said}", *below])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        colour = "--jp-success-color1, #2e7d32" if self.right else "--jp-warn-color1, #b26a00"
        mark = "✓" if self.right else "✗ not yet:"
        points = "".join(f"<li>{_marked(point)}</li>" for point in self.points)
        points = f'<ul style="margin: 4px 0">{points}</ul>' if points else ""
        hint = f'<div style="margin-top: 4px">→ {_marked(self.hint)}</div>' if self.hint else ""
        return (
            f'<div role="status" style="border-left: 4px solid var({colour}); padding: 6px 12px">'
            f"<b>{mark}</b> {_marked(self.said)}{points}{hint}</div>"
        )


UNFINISHED = Verdict(False, "there is still a `...`", "put your own lines in its place")


class NotYet(Exception):
    """Ends a trial: the answer isn't right yet.

    Args:
        said: what was expected and what came.
        hint: which way to look.
        sure: whether this is the reason; otherwise what raised or blocked elsewhere explains it better.
    """

    def __init__(self, said: str, hint: str, *, sure: bool = False) -> None:
        super().__init__(said)
        self.sure = sure
        self.verdict = Verdict(False, said, hint)


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 120
        self.maxlist = self.maxtuple = 8


def shown(value: object) -> str:
    """A value for a sentence: as in code, between backticks, not too long, whatever its `repr` does."""
    return f"`{_Short().repr(value)}`"


def _marked(text: str) -> str:
    """Text as HTML, with whatever is between backticks as code."""
    parts = html.escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
