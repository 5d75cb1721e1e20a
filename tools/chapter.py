"""Begin a chapter: `run.py chapter 06 push_live_updates`.

Writes a notebook that keeps all the rules, the module with its checks, and the tests of its exercises; links
the neighbours to it; and runs it, so that its outputs are there. What you then replace is the content.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = Path(__file__).with_name("chapter_template")

TITLE = """\
# {title}

**Time:** 40 minutes. **You need:** a first handler and a first client, see [chapter 00](00_start_here.ipynb).

**You will** say here what the reader does.

**Afterwards you can** say here what the reader can do then.

{links}"""

SECTION = """\
## How long does one answer take?

Say in two or three sentences what this scene is about.

**Before you run it:** how many messages does the client receive?"""

CLOSING = """\
## What you learned

- One line for each thing.

## In production

Say what differs outside the notebook.

## Sources

- [RFC 6455 §1.2](https://www.rfc-editor.org/rfc/rfc6455#section-1.2) (protocol overview).
- Terms: [glossary](../GLOSSARY.md) and [cheat sheet](../CHEATSHEET.md).

## Stop"""

SETUP = """\
from websockets.asyncio.client import connect

from helpers import BackgroundServer, StopButton, check_guess
from helpers.checks import chapter_{number} as checks"""

GUESS = "guess_messages = ...  # a number"

SCENE = """\
async def echo(connection):
    async for message in connection:
        await connection.send(message)


server = BackgroundServer(echo).start()
async with connect(server.url, proxy=None) as client:
    await client.send("hi")
    received = [await client.recv()]
print(received)
check_guess(guess_messages, len(received), "messages")"""

EXERCISES = [
    (
        "reply to each message",
        "Write a handler that answers each message with the same text and `re: ` in front of it.",
        "async def reply(connection):\n    async for message in connection:\n        ...",
        "`await connection.send(...)` sends a string. Which string?",
        "async def reply(connection):\n    async for message in connection:\n"
        '        await connection.send(f"re: {message}")',
    ),
    (
        "ask several questions",
        "Write a client that connects to `url`, sends each of the `questions`, and returns the answers.",
        "async def ask_all(url, questions):\n"
        "    async with connect(url, proxy=None) as connection:\n        ...",
        "One answer comes for each question. Collect what `recv` returns in a list.",
        "async def ask_all(url, questions):\n    answers = []\n"
        "    async with connect(url, proxy=None) as connection:\n        for question in questions:\n"
        "            await connection.send(question)\n            answers.append(await connection.recv())\n"
        "    return answers",
    ),
    (
        "count the bytes",
        "Write a function that returns how many bytes a text message has on the wire, header not counted.",
        "def payload_size(message):\n    ...",
        "A text message is sent as UTF-8, in which a letter may take more than one byte.",
        "def payload_size(message):\n    return len(message.encode())",
    ),
]


def markdown(text: str) -> dict[str, Any]:
    """A markdown cell."""
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def code(text: str, output: str = "", **metadata: Any) -> dict[str, Any]:
    """A code cell that hasn't been run; `output` is what its last line has shown."""
    shown = [
        {
            "output_type": "execute_result",
            "data": {"text/plain": [output]},
            "metadata": {},
            "execution_count": 1,
        }
    ]
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": metadata,
        "outputs": shown if output else [],
        "source": text.splitlines(keepends=True),
    }


def exercise(
    number: int,
    title: str,
    task: str,
    stub: str,
    hint: str,
    solution: str,
    *,
    said: tuple[str, str] = ("", ""),
) -> list[dict[str, Any]]:
    """The five cells of an exercise, in their order: task, stub, check, hint, solution.

    Args:
        number: which exercise of the chapter it is.
        title: what is to be done, as a heading.
        task: what to write.
        stub: the code to begin with; it has a `...` and defines the name that is checked.
        hint: which way to look.
        solution: the right code, which defines the same name.
        said: what the check has said to the stub, and to the solution.
    """
    name = re.findall(r"^(?:async )?def (\w+)|^(\w+) =", stub, re.MULTILINE)[-1]
    call = "checks.{0}({0})".format(*filter(None, name))
    return [
        markdown(f"## Exercise {number}: {title}\n\n{task}"),
        code(stub),
        code(call, said[0]),
        markdown(f"<details><summary>Hint</summary>\n\n{hint}\n</details>"),
        code(
            f"# Solution\n{solution}\n\n\n{call}",
            said[1],
            tags=["solution"],
            jupyter={"source_hidden": True},
        ),
    ]


def cells(number: str, title: str, links: str) -> list[dict[str, Any]]:
    """All cells of a new chapter."""
    exercises = [cell for at, given in enumerate(EXERCISES, start=1) for cell in exercise(at, *given)]
    return [
        markdown(TITLE.format(title=title, links=links)),
        code(SETUP.format(number=number)),
        markdown(SECTION),
        code(GUESS),
        code(SCENE),
        markdown("One message went out, and one came back. Say why, and what follows from it."),
        *exercises,
        markdown(CLOSING),
        code("StopButton(server)"),
    ]


def title_of(path: Path) -> str:
    """A notebook's H1."""
    first = json.loads(path.read_text("utf-8"))["cells"][0]["source"]
    return "".join(first).splitlines()[0].removeprefix("# ")


def links(book: list[Path], path: Path) -> str:
    """The line with the links to the neighbours of `path` in the book."""
    at = book.index(path)
    parts = []
    if at:
        parts.append(f"← previous: [{title_of(book[at - 1])}]({book[at - 1].name})")
    if at + 1 < len(book):
        parts.append(f"next: [{title_of(book[at + 1])}]({book[at + 1].name}) →")
    return " · ".join(parts)


def relink(book: list[Path], path: Path) -> None:
    """Write a chapter's links to its neighbours again, at its beginning and its end.

    Raises:
        ValueError: its first cell has no line of links.
    """
    notebook = json.loads(path.read_text("utf-8"))
    text = "".join(notebook["cells"][0]["source"])
    line = re.search(r"^.*\b(?:previous|next): \[.*$", text, re.MULTILINE)
    if line is None:
        raise ValueError(f"the first cell of {path.name} has no line with `previous:` or `next:`")
    text = text.replace(line[0], links(book, path))
    notebook["cells"][0]["source"] = text.splitlines(keepends=True)
    last = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"][-1]
    closing = re.sub(r"\n+Next: \[.*$", "", "".join(last["source"]))
    for following in book[book.index(path) + 1 :][:1]:
        closing += f"\n\nNext: [{title_of(following)}]({following.name})"
    last["source"] = closing.splitlines(keepends=True)
    write(path, notebook)


def write(path: Path, notebook: dict[str, Any]) -> None:
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8", newline="\n")


def begin(number: str, name: str, root: Path = ROOT) -> list[Path]:
    """Write a chapter's notebook, checks and tests, and link its neighbours.

    Args:
        number: two digits.
        name: a verb and its object in small letters, like `push_live_updates`.
        root: the folder of the workbook.

    Returns:
        What was written: notebook, checks, tests.

    Raises:
        ValueError: the number or the name has another form, or the chapter is there already.
    """
    if not re.fullmatch(r"\d\d", number) or not re.fullmatch(r"[a-z]+(_[a-z]+)+", name):
        raise ValueError(f"write it like `chapter 06 push_live_updates`, not `chapter {number} {name}`")
    if there := sorted((root / "notebooks").glob(f"{number}_*.ipynb")):
        raise ValueError(f"there is a chapter {number} already: {there[0].name}")
    title = name.replace("_", " ").capitalize()
    notebook = root / "notebooks" / f"{number}_{name}.ipynb"
    others = sorted((root / "notebooks").glob("*.ipynb"))
    content = {
        "cells": [],
        "metadata": {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    book = sorted([*others, notebook])
    content["cells"] = [
        {"id": f"{number}-{at:02}", **cell}
        for at, cell in enumerate(cells(number, title, links(book, notebook)))
    ]
    write(notebook, content)
    for neighbour in book[max(0, book.index(notebook) - 1) : book.index(notebook) + 2]:
        relink(book, neighbour)
    checks = root / "src" / "helpers" / "checks" / f"chapter_{number}.py"
    tests = root / "tests" / "exercises" / f"test_{number}_{name}.py"
    for path, template in ((checks, "checks.py.txt"), (tests, "tests.py.txt")):
        text = (TEMPLATES / template).read_text("utf-8").replace("{chapter}", f"{number}_{name}")
        path.write_text(text, "utf-8", newline="\n")
    return [notebook, checks, tests]


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print("usage: run.py chapter 06 push_live_updates", file=sys.stderr)
        return 2
    try:
        written = begin(arguments[0], arguments[1])
    except ValueError as error:
        print(f"chapter: {error}", file=sys.stderr)
        return 1
    for path in written:
        print(f"wrote {path.relative_to(ROOT)}")
    import record

    status = record.main([arguments[0]])
    print(
        textwrap.dedent("""
        What is left for you: the content of these three files; a row in README's table of chapters; a line
        in CHANGELOG.md. Then `run.py record NN` and `run.py test -k NN`.""")
    )
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
