"""Phrases that mark a translation, or a claim without a source, don't come back into what a reader reads.

The tests read the notebooks' markdown, the pages at the top of the repository, and every string of the
programs: verdicts, hints, what a panel says, docstrings. Code in backticks is left out.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from notebook_rules import prose, source

ROOT = Path(__file__).resolve().parents[1]

AVOID = [
    (
        r"\b(?:stands?|stood|standing)\b(?! (?:on its own|by|for|out|still|up)\b)",
        "is, are; survives, passes",
        "What stands below was recorded.",
    ),
    (r"\bmend(?:s|ed|ing)?\b", "fix, correct", "Break it and mend it."),
    (
        r"(?<!-)\bbeside\b(?! (?:it|them)\b)",
        "next to, alongside, apart from, while",
        "It runs beside the kernel.",
    ),
    (r"\banew\b", "again, re-", "The page was loaded anew."),
    (r"\bfor ever\b", "forever", "It waits for\never."),
    (r"\bcarr(?:y|ies|ied|ying) home\b", "reuse", "Code that you can carry home."),
    (r"\bnot so\b(?=\s*(?:[.,:;)]|$))", "false, wrong", "The claim: not so."),
    (r"\bat last\b", "finally", "At last it ends."),
    (r"\bafter the other\b", "one after another, in turn", "It sends to one after the other."),
    (r"\ba text\b(?! (?:box|editor|field|file|frame|message)\b)", "a string, a message", "Send a text."),
    (r"\bthere came\b", "two more came; got …", "After that there came two."),
    (
        r"\b(?:expected|needed|wanted) (?:is|was)\b",
        "got …, expected …; … is needed",
        "It is 3, expected was 4.",
    ),
    (r"\b(?:append|put|write)\w* .{0,30}\bbehind (?:it|each|them)\b", "append to", "Put the GUID behind it."),
    (r"\bin the place of\b", "in place of, instead of", "Put it in the place of the dots."),
    (r"\bthe moment in which\b", "the moment", "From the moment in which one speaks."),
    (r"\bnot to be had\b", "not available", "Not to be had."),
    (r"\b(?:go|goes|going|went|gone) lost\b", "get lost", "Messages go lost."),
    (r"\bbelongs? into\b", "belongs in", "It belongs into a file."),
    (r"\banswers? back\b", "answer, give feedback", "Exercises answer back."),
    (r"\btells?(?=\s*[.,:;])", "says, shows, tells you", "Its close code tells."),
    (r", also (?:if|when|where)\b", "even if, even when, even where", "It is right, also where they differ."),
    (
        r"\b(?:bytes|ms) an? (?:client|event|message|request|second)\b",
        "bytes per …",
        "It takes 8 bytes a message.",
    ),
    (r"\bunasked\b", "unprompted", "Nobody speaks unasked."),
    (r", for (?:he|it|she|there|they|we|you) \w+", "because", "Cem does, for he sits before Dan."),
    (
        r"(?:^|[.!?] )(?-i:Who)\b[^.!?]*\.(?= |$)",
        "Whoever …, Anyone who …",
        "It ends. Who comes later waits.",
    ),
    (r"\b(?:most|many|all|the) tutorials\b", "name one, with its address", "So most tutorials print."),
    (r"\bin practice\b", "what was measured, or a source", "In practice it is faster."),
    (
        r"(?<!as )(?<!how )(?<!however )\boften\b",
        "how frequently, measured or with a source",
        "Often it is slower.",
    ),
]
"""What not to write, as a regular expression; what to write instead; and a sentence that has it."""


def found(text: str) -> list[str]:
    """The phrases of a text that are in the list, each with what to write instead."""
    flat = re.sub(r"[ \t]*\n(?![ \t]*\n)[ \t]*", " ", text)  # a phrase may go over the end of a line
    return [
        f"{match[0].strip()!r}: write {instead}"
        for phrase, instead, _ in AVOID
        for match in re.finditer(phrase, flat, re.MULTILINE | re.IGNORECASE)
    ]


def strings(path: Path) -> Iterator[tuple[str, str]]:
    """The strings of a module or a script, docstrings included, each with its place."""
    if path.suffix == ".js":
        for match in re.finditer(r"\"[^\"\n]*\"|`[^`]*`", path.read_text("utf-8")):
            yield str(path.relative_to(ROOT)), match[0]
        return
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield f"{path.relative_to(ROOT)}:{node.lineno}", re.sub(r"`[^`\n]*`", "", node.value)


def cells(path: Path) -> Iterator[tuple[str, str]]:
    """The markdown of a notebook, each cell with its number."""
    for number, cell in enumerate(json.loads(path.read_text("utf-8"))["cells"]):
        if cell["cell_type"] == "markdown":
            yield f"{path.name}, cell {number}", prose(source(cell))


NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
PAGES = sorted(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md")
MODULES = sorted(
    path
    for folder in ("src", "apps", "tools")
    for path in ROOT.glob(f"{folder}/**/*")
    if path.suffix in (".py", ".js")
)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_has_none_of_them(path: Path) -> None:
    assert [f"{place}: {phrase}" for place, text in cells(path) for phrase in found(text)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_none_of_them(path: Path) -> None:
    assert found(prose(path.read_text("utf-8"))) == []


def test_no_string_has_one_of_them() -> None:
    assert MODULES
    texts = (each for path in [ROOT / "run.py", *MODULES] for each in strings(path))
    assert [f"{place}: {phrase}" for place, text in texts for phrase in found(text)] == []


@pytest.mark.parametrize(("phrase", "instead", "example"), AVOID)
def test_each_is_found(phrase: str, instead: str, example: str) -> None:
    [problem] = found(example)
    assert problem.endswith(f": write {instead}")


@pytest.mark.parametrize(
    "text",
    [
        "Each chapter stands on its own.",
        "Every claim has its source beside it.",
        "Not so fast!",
        "Send a text message, or a text frame.",
        "Everything behind a lost packet waits.",
        "It tells you what happened.",
        "Who hears it?\n\nNobody.",
        "A room is state: who is there, what was said.",
        "Run it as often as you like, and see how often it fails.",
    ],
)
def test_good_english_is_not_found(text: str) -> None:
    assert found(text) == []
