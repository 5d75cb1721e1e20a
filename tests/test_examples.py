"""The examples in the docstrings of helpers run, as the cells that they are copied into.

Each has everything that `from helpers import …` gives and what its module knows. What it takes for granted,
such as a server, is made for it, and comparisons are cut short by their options.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import itertools
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_page import FakePage
from fastapi import FastAPI
from shared import echo
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, broadcast

import helpers
from helpers.background.lifetime import Background
from helpers.background.parent import Parent
from helpers.clients.client import Client
from helpers.wire import events

HELPERS = Path(helpers.__file__).parent
SECTIONS = re.compile(r"^(?:Args|Attributes|Returns|Yields|Raises):$", re.MULTILINE)
INDENTED = re.compile(r"(?<=\n\n) {4}.*(?:\n+ {4}.*)*")


def code_in(docstring: str) -> list[str]:
    """The indented blocks of a docstring, without its sections."""
    return [textwrap.dedent(block) for block in INDENTED.findall(SECTIONS.split(docstring)[0])]


def documented(tree: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    """The classes and functions of a module, by their names with dots, and their docstrings."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            place = f"{name}:{node.name}" if ":" not in name else f"{name}.{node.name}"
            yield place, ast.get_docstring(node) or ""
            yield from documented(node, place)


def examples() -> dict[str, list[str]]:
    """What each docstring shows, by its place, such as `helpers.background.tap:tapped`."""
    found = {}
    for path in sorted(HELPERS.rglob("*.py")):
        module = ".".join(path.relative_to(HELPERS.parent).with_suffix("").parts)
        for place, docstring in documented(ast.parse(path.read_text("utf-8")), module):
            if code := code_in(docstring):
                found[place] = code
    return found


EXAMPLES = examples()


NUMBERS = itertools.count(1)


async def room(connection: ServerConnection) -> None:
    async for message in connection:
        broadcast(connection.server.connections, message)


def count(parent: Parent, what: str) -> str:
    parent.report(f"one of {what}")
    return str(parent.order().result())


async def fetch_all(urls: list[str], progress: Callable[[int], object]) -> int:
    progress(len(urls))
    return len(urls)


async def visit(url: str) -> None:
    async with connect(url, proxy=None) as connection:
        await connection.send("hi")
        await connection.recv()


def watched(tap: Any) -> Any:
    """A timeline of a tap to which somebody connects."""
    timeline = helpers.WireTimeline(tap)
    timeline.visitor = asyncio.create_task(visit(tap.url))
    return timeline


def shown_in_a_browser(*arguments: Any) -> Any:
    """A panel for the browser; in its page somebody presses Connect."""
    web = helpers.BrowserClient(*arguments)
    page = FakePage(web)
    page.says("hello")
    for state in ("connecting", "open"):
        page.state(state)
    page.batch(("received", "hi"))
    return web


def a_server() -> helpers.BackgroundServer:
    return helpers.BackgroundServer(echo, page="echo.html", name=f"server {next(NUMBERS)}").start()


async def an_open_client() -> Client:
    ann = Client("Ann", a_server())
    await ann.connect()
    return ann


MADE: dict[str, Callable[[], Any]] = {
    "ann": an_open_client,
    "app": FastAPI,
    "chat_page": a_server,
    "coroutine": lambda: asyncio.sleep(0),
    "guess_connections": int,
    "me": object,
    "server": a_server,
    "timeline": lambda: watched(helpers.tapped(a_server()).start()),
    "urls": lambda: ["http://127.0.0.1:8000"],
}
"""What is made for an example that names it."""

GIVEN: dict[str, Any] = {
    "asyncio": asyncio,
    "count": count,
    "count_to": range,
    "echo": echo,
    "events": events,
    "fetch_all": fetch_all,
    "loop": room,
    "room": room,
    "sys": sys,
    "time": SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 20)),
    "BrowserClient": shown_in_a_browser,
    "Race": partial(helpers.Race, events=2, gap=0.01, poll_every=0.1),
    "WireTimeline": watched,
    "compare_fan_out": partial(helpers.compare_fan_out, messages=1),
    "compare_push": partial(helpers.compare_push, gap=0.01, poll_every=0.1),
    "compare_requests": partial(helpers.compare_requests, round_trip=0),
    "one_never_reads": partial(helpers.one_never_reads, seconds=0.5),
}


@pytest.fixture(autouse=True)
def all_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What an example has started is stopped; and it has a folder of its own, with a page."""
    monkeypatch.chdir(tmp_path)
    Path("echo.html").write_text("<p>echo</p>", "utf-8")
    before = set(Background._running.values())
    yield
    for background in set(Background._running.values()) - before:
        background.stop()


def test_every_public_name_has_an_example() -> None:
    assert [
        name for name in helpers.__all__ if not code_in(inspect.getdoc(getattr(helpers, name)) or "")
    ] == []


@pytest.mark.parametrize("place", EXAMPLES)
def test_an_example_runs(place: str) -> None:
    async def main() -> None:
        names = {name: getattr(helpers, name) for name in helpers.__all__}
        names |= vars(importlib.import_module(place.partition(":")[0])) | GIVEN
        for name, make in MADE.items():
            if re.search(rf"\b{name}\b", "\n".join(EXAMPLES[place])):
                names[name] = await make() if inspect.iscoroutinefunction(make) else make()
        for number, code in enumerate(EXAMPLES[place], 1):
            compiled = compile(code, f"<{place}, {number}>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(compiled, names)
            if inspect.isawaitable(result):
                await result

    asyncio.run(asyncio.wait_for(main(), 30))
